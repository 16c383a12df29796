//! What is refused before a store is even looked at.

use std::collections::HashSet;

use crate::error::{BadInput, Error, Part, Result};
use crate::limits::{
    MAX_KEY_BYTES, MAX_MUTATIONS, MAX_PREFIX_BYTES, MAX_READ_SET, MAX_TRANSACTION_BYTES, MAX_VALUE_BYTES,
};
use crate::store::{Mutation, PrefixDelete, RunRow, Source, Transaction};
use crate::timestamp::Timestamp;

fn within(part: Part, size: usize, limit: usize) -> Result<()> {
    if size > limit { Err(Error::TooLarge { part, size, limit }) } else { Ok(()) }
}

pub(crate) fn key(key: &[u8]) -> Result<()> {
    if key.is_empty() {
        return Err(BadInput::EmptyKey.into());
    }
    within(Part::Key, key.len(), MAX_KEY_BYTES)
}

fn commit(at: Timestamp) -> Result<()> {
    if at.can_commit() { Ok(()) } else { Err(BadInput::Timestamp(at).into()) }
}

fn deadline(at: Option<Timestamp>) -> Result<()> {
    at.map_or(Ok(()), commit)
}

/// A transaction that keeps to the limits and whose outcome depends on nothing but the store.
pub(crate) fn transaction(transaction: &Transaction<'_>) -> Result<()> {
    let Transaction { start, commit: at, mutations, read_keys, read_spans } = *transaction;
    commit(at)?;
    match start {
        Some(start) if at <= start => return Err(BadInput::CommitBeforeStart { start, commit: at }.into()),
        None if !read_keys.is_empty() || !read_spans.is_empty() => return Err(BadInput::BlindReads.into()),
        _ => {}
    }
    within(Part::Mutations, mutations.len(), MAX_MUTATIONS)?;
    within(Part::ReadSet, read_keys.len() + read_spans.len(), MAX_READ_SET)?;
    let mut bytes = 0;
    for mutation in mutations {
        key(mutation.key())?;
        bytes += mutation.key().len();
        match *mutation {
            Mutation::Put { value, expire_at, .. } => {
                within(Part::Value, value.len(), MAX_VALUE_BYTES)?;
                deadline(expire_at)?;
                bytes += value.len();
            }
            Mutation::Expire { expire_at, .. } => deadline(expire_at)?,
            Mutation::Delete { .. } => {}
        }
    }
    within(Part::Transaction, bytes, MAX_TRANSACTION_BYTES)?;
    distinct(mutations)
}

fn distinct(mutations: &[Mutation<'_>]) -> Result<()> {
    if mutations.len() < 2 {
        return Ok(());
    }
    let mut seen = HashSet::with_capacity(mutations.len());
    match mutations.iter().find(|mutation| !seen.insert(mutation.key())) {
        Some(twice) => Err(BadInput::DuplicateKey(twice.key().to_vec()).into()),
        None => Ok(()),
    }
}

pub(crate) fn prefix_delete(delete: &PrefixDelete<'_>) -> Result<()> {
    commit(delete.commit)?;
    let bytes = delete.prefix.len() + delete.spare.map_or(0, <[u8]>::len);
    within(Part::Key, bytes, MAX_PREFIX_BYTES)
}

/// Checks the rows of a run one after the other.
pub(crate) struct RunCheck {
    commit: Timestamp,
    last: Vec<u8>,
}

impl RunCheck {
    pub(crate) fn new(at: Timestamp) -> Result<Self> {
        commit(at)?;
        Ok(Self { commit: at, last: Vec::new() })
    }

    pub(crate) fn row(&mut self, row: &RunRow) -> Result<()> {
        if row.value.is_none() && row.expire_at.is_some() {
            return Err(Error::NotSupported("a deadline on a deletion"));
        }
        self.part(&row.key, row.commit, row.expire_at, row.value.as_ref().map_or(0, Vec::len))
    }

    /// A row whose value, if any, has so many bytes.
    pub(crate) fn part(
        &mut self,
        row_key: &[u8],
        at: Timestamp,
        expire_at: Option<Timestamp>,
        value_len: usize,
    ) -> Result<()> {
        key(row_key)?;
        commit(at)?;
        deadline(expire_at)?;
        within(Part::Value, value_len, MAX_VALUE_BYTES)?;
        if at > self.commit {
            return Err(BadInput::Timestamp(at).into());
        }
        if *row_key <= *self.last {
            return Err(BadInput::Unsorted(row_key.to_vec()).into());
        }
        self.last.clear();
        self.last.extend_from_slice(row_key);
        Ok(())
    }
}

/// The log index of a source, `None` for a direct write.
pub(crate) fn log_index(source: Source) -> Result<Option<u64>> {
    match source {
        Source::Direct => Ok(None),
        Source::Log { index: 0 } => Err(Error::NotSupported("log indices count from 1")),
        Source::Log { index } => Ok(Some(index)),
    }
}

/// A horizon that a compaction can have.
pub(crate) fn horizon(at: Timestamp) -> Result<()> {
    if at == Timestamp::LATEST { Err(BadInput::Horizon(at).into()) } else { Ok(()) }
}

/// A commit above everything that readers may have seen.
pub(crate) fn above(commit: Timestamp, floor: Timestamp) -> Result<()> {
    if commit > floor { Ok(()) } else { Err(Error::CommitOrder { commit, floor }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put<'a>(key: &'a [u8], value: &'a [u8]) -> Mutation<'a> {
        Mutation::Put { key, value, expire_at: None }
    }

    fn check(mutations: &[Mutation<'_>]) -> Result<()> {
        transaction(&Transaction { commit: Timestamp(5), mutations, ..Transaction::default() })
    }

    #[test]
    fn sizes_are_bounded_at_their_limits() {
        let longest = vec![1; MAX_KEY_BYTES];
        check(&[put(&longest, b"")]).unwrap();
        let longer = vec![1; MAX_KEY_BYTES + 1];
        let refused = check(&[put(&longer, b"")]).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { part: Part::Key, .. }), "{refused}");

        let value = vec![0; MAX_VALUE_BYTES + 1];
        let refused = check(&[put(b"k", &value)]).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { part: Part::Value, .. }), "{refused}");
        let refused = check(&[put(b"a", &value[1..]), put(b"b", &value[1..])]).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { part: Part::Transaction, .. }), "{refused}");

        let many = vec![put(b"k", b""); MAX_MUTATIONS + 1];
        let refused = check(&many).unwrap_err();
        assert!(matches!(refused, Error::TooLarge { part: Part::Mutations, .. }), "{refused}");
    }

    #[test]
    fn timestamps_that_name_no_moment_are_refused() {
        for at in [Timestamp::ZERO, Timestamp::LATEST] {
            assert!(commit(at).is_err());
            assert!(check(&[Mutation::Put { key: b"k", value: b"", expire_at: Some(at) }]).is_err());
        }
        assert!(horizon(Timestamp::LATEST).is_err());
    }
}
