//! Why a transaction was not committed, with the text that a client sees.

use thiserror::Error;

/// How an exclusive transaction ended, but for well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum TxnError {
    /// One of its keys was changed by somebody else: what WATCH is for. EXEC replies with a null, as Redis does; the text is for
    /// logs.
    #[error("a key of the transaction was changed by somebody else")]
    Lost,
    /// It was given up although nobody else changed its keys: other replicas took its node for dead.
    #[error(
        "TXNABORTED the transaction was given up because other replicas did not hear from this node in time; nothing was changed, run it again"
    )]
    Aborted,
    /// No majority of the voters answered in time. It may still be committed.
    #[error(
        "REGIONPARTITIONED no majority of the replicas answered in time; the transaction is undecided and may still take effect, read its keys before you run it again"
    )]
    RegionPartitioned,
    /// Too many transactions are undecided, or a leader did not answer.
    #[error("TRYAGAIN {0}")]
    TryAgain(Why),
}

/// What to try again after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
pub enum Why {
    /// Nothing was done.
    #[error("too many transactions of this node are undecided; nothing was changed")]
    TooMany,
    /// It may have been done.
    #[error(
        "the replica that orders the transactions of these keys did not answer; read the keys before you run it again"
    )]
    NoReply,
    /// Nothing was done: the node is not among the voters.
    #[error("this node does not vote on transactions yet; nothing was changed")]
    NoVoter,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_begin_with_their_prefix() {
        for (error, prefix) in [
            (TxnError::Aborted, "TXNABORTED "),
            (TxnError::RegionPartitioned, "REGIONPARTITIONED "),
            (TxnError::TryAgain(Why::TooMany), "TRYAGAIN too "),
            (TxnError::TryAgain(Why::NoReply), "TRYAGAIN the "),
        ] {
            assert!(error.to_string().starts_with(prefix), "{error}");
        }
    }
}
