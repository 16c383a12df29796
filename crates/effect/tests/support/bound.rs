//! Keys of a transaction as owned values.

use effect::KeyspaceId;
use effect::codec::{BindKey, Left};

use super::Bytes;

/// A key of a bind.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    pub written: bool,
    pub read: bool,
    pub keyspace: u16,
    pub db: u8,
    pub key: Bytes,
    pub left: Option<Left>,
}

impl Bound {
    pub fn key(&self) -> BindKey<'_> {
        let Self { written, read, keyspace, db, ref key, left } = *self;
        BindKey { written, read, keyspace: KeyspaceId(keyspace), db, key, left }
    }

    pub fn of(key: &BindKey<'_>) -> Self {
        Self {
            written: key.written,
            read: key.read,
            keyspace: key.keyspace.0,
            db: key.db,
            key: key.key.to_vec(),
            left: key.left,
        }
    }
}
