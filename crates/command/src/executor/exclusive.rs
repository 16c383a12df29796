//! EXEC after WATCH where other replicas have a say: its commands run, what they changed is logged and taken back, and what they
//! answered is kept until the group has decided.
//!
//! *Invariant:* a client sees the replies only if the transaction is committed.

use std::sync::Arc;

use effect::Dot;
use engine::{Context, DbKey, ExclusiveError};
use resp::{Mark, Protocol, Reply};

use super::{Call, Done, Executed, Gap, Host, Queued, fill, refuse};

/// Whether a key's transactions go on in both sides of a partition, and may be undone.
pub type IsUnsafe = Box<dyn Fn(&[u8]) -> bool>;

/// Who decides on a transaction, and what it has read.
pub struct Exclusive {
    /// The nodes that vote on it.
    pub voters: Arc<[u64]>,
    /// What was watched, by logical database.
    pub watched: Vec<DbKey>,
    /// Which keys may be undone after all.
    pub is_unsafe: IsUnsafe,
    /// What its commands name.
    pub(super) named: Vec<DbKey>,
}

impl Exclusive {
    /// A transaction of a client that watches these keys.
    pub fn new(voters: Arc<[u64]>, watched: Vec<DbKey>, is_unsafe: IsUnsafe) -> Self {
        Self { voters, watched, is_unsafe, named: Vec::new() }
    }

    /// A command of it is about to run.
    pub(super) fn name(&mut self, call: &Call<'_>) {
        call.spec.keys.each(&call.args, |at| self.named.extend(call.args.get(at).map(|key| (call.db, key.into()))));
    }

    /// Its commands have run: what they did is logged, and is to be decided.
    pub(super) fn begin(
        self,
        context: &mut Context<'_>,
        gaps: Vec<Gap>,
        mark: Mark,
        reply: &mut Reply<'_>,
    ) -> Executed {
        let read = [self.watched, self.named].concat();
        match context.commit_exclusive(&read, &self.voters, &self.is_unsafe) {
            Ok(begun) => Executed::Undecided(Box::new(Undecided { bind: begun.bind, gaps })),
            Err(error) => {
                reply.rewind(mark);
                Executed::Done(match error {
                    ExclusiveError::Undecided => {
                        reply.null_array();
                        Done { busy: true, ..Done::default() }
                    }
                    ExclusiveError::Refused(refusal) => refuse(&refusal.into(), reply),
                    other => {
                        reply.error(other.to_string());
                        Done { failed: true, ..Done::default() }
                    }
                })
            }
        }
    }
}

/// A transaction that waits for its verdict.
#[derive(Debug)]
pub struct Undecided {
    /// Its bind.
    pub bind: Dot,
    gaps: Vec<Gap>,
}

impl Undecided {
    /// It is committed: runs its session commands and puts their replies among those of the others, which are all of `out`.
    pub fn finish(&self, queue: &[Queued<'_>], protocol: Protocol, host: &mut impl Host, out: &mut Vec<u8>) {
        fill(&self.gaps, queue, protocol, host, out, 0);
    }
}
