//! Redis' serialisation of one value: what DUMP answers and RESTORE takes.
//!
//! ```text
//!   ┌─────────┬──────┬──────────────┬─────────────────────────────────┐
//!   │ type u8 │ body │ version u16  │ CRC-64 (Jones) of all before it │     both numbers little-endian
//!   └─────────┴──────┴──────────────┴─────────────────────────────────┘
//! ```
//!
//! Written are the plain encodings, which every Redis since 5 reads; read are those of RDB versions up to
//! [`VERSION_MAX`] for strings, lists, sets, hashes and sorted sets.
//!
//! *Invariant:* a payload comes from outside: whatever it says is checked against the bytes that are there, nothing
//! panics on it, and the memory that it can claim is bounded by [`VALUE_BYTES_MAX`] whatever lengths it announces.

mod crc64;
mod lzf;
mod packed;
mod read;
mod value;
mod write;

use read::Object;
pub(crate) use value::Value;
pub(crate) use write::dump;

/// The newest version of the format that is read: Redis 7.4 and 8.
pub(crate) const VERSION_MAX: u16 = 12;
/// The version that DUMP states, unless the value needs a newer one: Redis 7.0 and everything after it reads it.
pub(crate) const VERSION: u16 = 10;
/// Bytes that one payload may unfold to, each element's bookkeeping included: what one batch can carry.
pub(crate) const VALUE_BYTES_MAX: usize = engine::limits::BATCH_BYTES_MAX;
/// Bytes of the footer: version and checksum.
const FOOTER: usize = 2 + 8;

/// The numbers of the encodings.
mod kinds {
    pub(super) const STRING: u8 = 0;
    pub(super) const LIST: u8 = 1;
    pub(super) const SET: u8 = 2;
    pub(super) const ZSET: u8 = 3;
    pub(super) const HASH: u8 = 4;
    pub(super) const ZSET_2: u8 = 5;
    pub(super) const HASH_ZIPMAP: u8 = 9;
    pub(super) const LIST_ZIPLIST: u8 = 10;
    pub(super) const SET_INTSET: u8 = 11;
    pub(super) const ZSET_ZIPLIST: u8 = 12;
    pub(super) const HASH_ZIPLIST: u8 = 13;
    pub(super) const LIST_QUICKLIST: u8 = 14;
    pub(super) const HASH_LISTPACK: u8 = 16;
    pub(super) const ZSET_LISTPACK: u8 = 17;
    pub(super) const LIST_QUICKLIST_2: u8 = 18;
    pub(super) const SET_LISTPACK: u8 = 20;
    pub(super) const HASH_METADATA_EARLY: u8 = 22;
    pub(super) const HASH_LISTPACK_EX_EARLY: u8 = 23;
    pub(super) const HASH_METADATA: u8 = 24;
    pub(super) const HASH_LISTPACK_EX: u8 = 25;
}

/// Why a payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is cut short, changed on its way, or of a version that is not known.
    Checksum,
    /// Its body is not what its type asks for.
    Format,
}

/// The value in a payload with its footer.
pub(crate) fn restore(payload: &[u8]) -> Result<Value, Refused> {
    let (body, footer) = payload.split_at_checked(payload.len().wrapping_sub(FOOTER)).ok_or(Refused::Checksum)?;
    let (version, sum) = footer.split_at(2);
    let version = u16::from_le_bytes([version[0], version[1]]);
    let covered = &payload[..payload.len() - sum.len()];
    if version > VERSION_MAX || crc64::checksum(covered).to_le_bytes() != sum {
        return Err(Refused::Checksum);
    }
    object(body)
}

/// The value in a payload without its footer.
fn object(body: &[u8]) -> Result<Value, Refused> {
    Object::new(body, VALUE_BYTES_MAX).read().map_err(|_| Refused::Format)
}

/// Reads arbitrary bytes as RESTORE would, as they are and as if their checksum were right: the target of a fuzzer.
/// What is read must fold into a value.
pub fn fuzz_restore(data: &[u8]) {
    let bound = data.len().saturating_mul(256).min(VALUE_BYTES_MAX);
    let unsigned = Object::new(data, bound).read().ok();
    for value in restore(data).ok().into_iter().chain(unsigned) {
        let mut folded = Vec::new();
        if value.fold(effect::Origin::new(1, 1), 0, &mut folded) {
            let read = engine::unfold(effect::Origin::new(1, 1).0, &folded);
            assert_eq!(read.kind(), value.kind(), "a value folds to its own kind");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
