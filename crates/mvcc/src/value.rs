//! What reads give back.

use std::fmt;
use std::ops::Deref;

use fjall::Slice;

use crate::timestamp::Timestamp;

/// The bytes of a value, shared with the store's block cache and never copied by reading them.
#[derive(Clone)]
pub struct Value {
    bytes: Slice,
    /// Where the value begins in `bytes`: behind the row's header.
    from: usize,
}

impl Value {
    /// The part of `bytes` behind its first `from`.
    pub(crate) fn behind(bytes: Slice, from: usize) -> Self {
        debug_assert!(from <= bytes.len(), "the header was decoded from these bytes");
        Self { bytes, from }
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self { bytes: Slice::from(bytes), from: 0 }
    }
}

impl Deref for Value {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[self.from..]
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

/// A version of a key that is visible where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// When it was committed.
    pub commit: Timestamp,
    /// From when on it is hidden.
    pub expire_at: Option<Timestamp>,
    /// What was stored.
    pub value: Value,
}

/// A key and its visible version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key.
    pub key: Vec<u8>,
    /// Its version.
    pub version: Version,
}
