//! Why an import failed.

use engine::Refusal;
use thiserror::Error;

/// See the module.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be read, or is damaged.
    #[error(transparent)]
    File(rdb::Error),
    /// The same within the value of a key.
    #[error("key \"{key}\" of database {db}: {source}")]
    Value {
        /// The key, with what is not printable escaped.
        key: String,
        /// The database in the file.
        db: u64,
        /// What is wrong.
        source: rdb::Error,
    },
    /// A collection has a member twice.
    #[error("key \"{key}\" of database {db}: the {kind} that ends at offset {offset} has a member twice")]
    Twice {
        /// The key.
        key: String,
        /// The database in the file.
        db: u64,
        /// The type.
        kind: &'static str,
        /// Where its value ends.
        offset: u64,
    },
    /// Keys are there already, and it was not said what is to become of them.
    #[error(
        "{keys} of the file's keys exist already, the first of them \"{first}\" in database {db}: say --replace or --keep"
    )]
    Exist {
        /// How many.
        keys: u64,
        /// One of them.
        first: String,
        /// Its database.
        db: u8,
    },
    /// A database of the file has a number that is not there.
    #[error("the file has a database {0}, but databases are numbered from 0 to {max}: map it with --db {0}=N", max = crate::limits::DATABASES - 1)]
    Database(u64),
    /// Two databases of the file have become one.
    #[error(
        "databases {0} and {1} of the file both become database {2}: say --replace or --keep, as one key may be in both"
    )]
    Merged(u64, u64, u8),
    /// A key has the name under which large values are put together.
    #[error("a key of the file has a name that imports use for themselves: {0}")]
    Reserved(String),
    /// The database refused a batch.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The database would not let a key be looked at.
    #[error("key \"{key}\" cannot be written: {why}")]
    Stopped {
        /// The key.
        key: String,
        /// What it said.
        why: String,
    },
}

/// Bytes as people read them.
pub(crate) fn shown(key: &[u8]) -> String {
    const MOST: usize = 100;
    let cut = &key[..key.len().min(MOST)];
    format!("{}{}", cut.escape_ascii(), if cut.len() < key.len() { "…" } else { "" })
}
