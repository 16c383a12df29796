//! The store in memory as an image, in the rows that the durable one would have.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::State;
use super::versions::{MemVersion, Versions};
use crate::error::{Error, Result};
use crate::header::Header;
use crate::layout;
use crate::snapshot::{Head, Reader, Writer};
use crate::store::{PrefixDelete, Retention, Snapshot};
use crate::timestamp::Timestamp;
use crate::value::Value;

/// A copy of the state.
pub(super) struct Image {
    pub(super) state: State,
    pub(super) watermark: Timestamp,
}

fn row(version: &MemVersion, successor: Option<Timestamp>) -> Vec<u8> {
    let tombstone = version.value.is_none();
    let header = Header { commit: version.commit, expire_at: version.expire_at, tombstone, successor };
    header.row(version.value.as_deref().unwrap_or_default())
}

impl Snapshot for Image {
    fn last_commit(&self) -> Timestamp {
        self.state.last_commit
    }

    fn write_to(&mut self, out: &mut dyn Write) -> Result<u64> {
        let head = Head {
            retention: self.state.retention,
            last_commit: self.state.last_commit,
            watermark: self.watermark,
            applied_index: self.state.applied_index,
            deletes: Vec::new(),
        };
        let mut writer = Writer::begin(out, &head)?;
        for (key, versions) in &self.state.keys {
            if let Some(newest) = versions.newest() {
                writer.row(&layout::current(key), &row(newest, None))?;
            }
        }
        for (key, versions) in &self.state.keys {
            for pair in versions.0.windows(2) {
                writer.row(&layout::history(key, pair[1].commit), &row(&pair[1], Some(pair[0].commit)))?;
            }
        }
        writer.finish()
    }
}

/// The state that an image describes, and its watermark.
pub(super) fn read(from: &mut dyn Read, retention: Retention) -> Result<(State, Timestamp)> {
    let mut reader = Reader::open(from)?;
    if reader.head().retention != retention {
        return Err(Error::NotSupported("restoring the image of a store with another retention"));
    }
    let watermark = reader.head().watermark;
    let mut keys: BTreeMap<Vec<u8>, Versions> = BTreeMap::new();
    while let Some((row_key, row)) = reader.row()? {
        let (header, at) = Header::decode(&row)?;
        if header.is_garbage(watermark) {
            continue;
        }
        let key = match row_key.split_first() {
            Some((&layout::CURRENT, key)) => key.to_vec(),
            _ => layout::parse_history(&row_key)?.0,
        };
        let value = (!header.tombstone).then(|| Value::from(&row[at..]));
        let version = MemVersion { commit: header.commit, expire_at: header.expire_at, value };
        keys.entry(key).or_default().0.push(version);
    }
    let head = reader.head();
    let mut state = State { retention, keys, last_commit: head.last_commit, applied_index: head.applied_index };
    for delete in &head.deletes {
        let spare = delete.spare.as_deref();
        state.delete_prefix(&PrefixDelete { prefix: &delete.prefix, spare, commit: delete.commit });
    }
    state.collect(watermark);
    Ok((state, watermark))
}
