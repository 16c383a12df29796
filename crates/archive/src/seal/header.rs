//! The header of a sealed object; [the module above](super) draws it.

use std::io::{self, Read};

use super::key::short_hash;
use super::{Error, Fingerprint, Result};
use crate::limits::{LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES};

/// Bytes of an encapsulated key: 1088 of ML-KEM-768, 32 of X25519.
pub(super) const ENCAPSULATED: usize = 1120;
/// Bytes before it: what the key of the object is bound to.
pub(super) const BOUND: usize = 48;
/// Bytes of a header.
pub(super) const BYTES: usize = BOUND + ENCAPSULATED + 4;

const MAGIC: [u8; 8] = *b"\x8bANBSEAL";
const VERSION: u8 = 1;
/// The numbers of the suite, in HPKE's registries.
const SUITE: [(&str, u16); 3] = [("KEM", 0x647a), ("KDF", 0x0001), ("AEAD", 0x0002)];

/// A header that has been checked as far as it can be without a key.
pub(super) struct Header {
    bytes: [u8; BYTES],
}

impl Header {
    /// The part that the key is bound to, for a new object.
    pub(super) fn bound(chunk_bytes: usize, key: Fingerprint, name: &str) -> Result<[u8; BOUND]> {
        if !chunk_bytes.is_power_of_two() || !(LEAST_CHUNK_BYTES..=MOST_CHUNK_BYTES).contains(&chunk_bytes) {
            return Err(Error::BadChunkBytes(chunk_bytes));
        }
        let mut head = [0; BOUND];
        head[..8].copy_from_slice(&MAGIC);
        head[8] = VERSION;
        head[9] = chunk_bytes.trailing_zeros() as u8;
        for (at, (_, id)) in head[10..16].chunks_exact_mut(2).zip(SUITE) {
            at.copy_from_slice(&id.to_be_bytes());
        }
        head[16..32].copy_from_slice(&key.0);
        head[32..48].copy_from_slice(&name_tag(name));
        Ok(head)
    }

    /// A whole header.
    pub(super) fn new(bound: &[u8; BOUND], encapsulated: &[u8; ENCAPSULATED]) -> Self {
        let mut bytes = [0; BYTES];
        bytes[..BOUND].copy_from_slice(bound);
        bytes[BOUND..BYTES - 4].copy_from_slice(encapsulated);
        let sum = checksum(&bytes);
        bytes[BYTES - 4..].copy_from_slice(&sum);
        Self { bytes }
    }

    /// Reads one, and refuses what is none, or is damaged, or needs more than this program knows.
    pub(super) fn read(from: &mut dyn Read) -> Result<Self> {
        let mut bytes = [0; BYTES];
        // The first bytes alone say whether it is ours and whether the rest has this shape.
        fill(from, &mut bytes[..8]).map_err(|e| end_means(e, Error::NotSealed))?;
        if bytes[..8] != MAGIC {
            return Err(Error::NotSealed);
        }
        fill(from, &mut bytes[8..9]).map_err(|e| end_means(e, Error::Truncated { chunk: 0 }))?;
        match bytes[8] {
            VERSION => {}
            0 => return Err(Error::DamagedHeader("its version is zero")),
            found => return Err(Error::NewerVersion { found, known: VERSION }),
        }
        fill(from, &mut bytes[9..]).map_err(|e| end_means(e, Error::Truncated { chunk: 0 }))?;
        if checksum(&bytes) != bytes[BYTES - 4..] {
            return Err(Error::DamagedHeader("its checksum is wrong"));
        }
        for (at, (part, known)) in bytes[10..16].chunks_exact(2).zip(SUITE) {
            let id = u16::from_be_bytes([at[0], at[1]]);
            if id != known {
                return Err(Error::Unsupported { part, id });
            }
        }
        let lg = u32::from(bytes[9]);
        if !(LEAST_CHUNK_BYTES.trailing_zeros()..=MOST_CHUNK_BYTES.trailing_zeros()).contains(&lg) {
            return Err(Error::DamagedHeader("the size of its chunks is none that can be"));
        }
        Ok(Self { bytes })
    }

    /// Refuses another key's object, and one that was sealed under another name.
    pub(super) fn check(&self, at_hand: Fingerprint, name: &str) -> Result<()> {
        let sealed_for = Fingerprint(self.array(16));
        if sealed_for != at_hand {
            return Err(Error::WrongKey { sealed_for, at_hand });
        }
        if self.array(32) != name_tag(name) {
            return Err(Error::WrongName { name: name.to_owned() });
        }
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8; BYTES] {
        &self.bytes
    }

    pub(super) fn bound_part(&self) -> [u8; BOUND] {
        self.array(0)
    }

    pub(super) fn encapsulated(&self) -> [u8; ENCAPSULATED] {
        self.array(BOUND)
    }

    pub(super) fn chunk_bytes(&self) -> usize {
        1 << self.bytes[9]
    }

    fn array<const N: usize>(&self, from: usize) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&self.bytes[from..from + N]);
        part
    }
}

fn name_tag(name: &str) -> [u8; 16] {
    short_hash(b"anabranch object name 1\0", name.as_bytes())
}

fn checksum(bytes: &[u8; BYTES]) -> [u8; 4] {
    let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[..BYTES - 4]);
    (sum as u32).to_be_bytes()
}

/// Fills all of `bytes`; an end before that is `UnexpectedEof`, and an error of ours below stays what it is.
pub(super) fn fill(from: &mut dyn Read, bytes: &mut [u8]) -> io::Result<()> {
    from.read_exact(bytes)
}

/// What an end of the input means here; other errors keep their meaning. (Errors from below that carry one of ours, or
/// of a storage, are no end of the input even if their kind says so.)
pub(super) fn end_means(error: io::Error, meaning: Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof && error.get_ref().is_none_or(is_plain_end) {
        meaning
    } else {
        Error::from_io(error)
    }
}

/// `read_exact` has a static message of its own for the end, which is no error of another type.
fn is_plain_end(inner: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    !inner.is::<Error>() && !inner.is::<crate::storage::Error>()
}
