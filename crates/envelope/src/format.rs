//! The bytes of what is sealed.
//!
//! ```text
//!   0             4          8              24
//!   ┌─────────────┬──────────┬──────────────┬─────────────────────────────┐
//!   │ data key id │ counter  │ tag          │ ciphertext                  │    integers big-endian
//!   │ u32         │ u32      │ 16 B         │ as long as what was sealed  │
//!   └─────────────┴──────────┴──────────────┴─────────────────────────────┘
//!
//!   nonce   purpose u32 ‖ zero u32 ‖ counter u32
//! ```
//!
//! All that is added stands in front, so that whoever fills a buffer knows every place in it before it is sealed. The purpose
//! is not stored: bytes sealed for one do not open for another.

use std::fmt;

use crate::error::{Error, Result};

/// Bytes that sealing puts in front of the ciphertext.
pub const HEAD_BYTES: usize = 24;
/// Bytes of a nonce of AES-GCM.
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of a tag of AES-GCM.
pub(crate) const TAG_BYTES: usize = 16;

/// Which data key. They are numbered from 1 in the order in which they were drawn; a registry never uses a number again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId(pub u32);

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Purpose {
    /// Values in rows of the store.
    Row = 1,
    /// Payloads of records of the log.
    Record = 2,
}

impl Purpose {
    pub(crate) fn nonce(self, counter: u32) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        nonce[..4].copy_from_slice(&(self as u32).to_be_bytes());
        nonce[8..].copy_from_slice(&counter.to_be_bytes());
        nonce
    }
}

/// Which data key sealed bytes name, whether or not they open.
///
/// # Errors
/// `Short`.
pub fn key_of(sealed: &[u8]) -> Result<DataKeyId> {
    let (head, _) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(Error::Short)?;
    Ok(Head::decode(head).key)
}

/// What stands in front of a ciphertext.
pub(crate) struct Head {
    pub(crate) key: DataKeyId,
    pub(crate) counter: u32,
    pub(crate) tag: [u8; TAG_BYTES],
}

impl Head {
    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(&self.key.0.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.counter.to_be_bytes());
        bytes[8..].copy_from_slice(&self.tag);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [k0, k1, k2, k3, c0, c1, c2, c3, tag @ ..] = *bytes;
        Self {
            key: DataKeyId(u32::from_be_bytes([k0, k1, k2, k3])),
            counter: u32::from_be_bytes([c0, c1, c2, c3]),
            tag,
        }
    }
}
