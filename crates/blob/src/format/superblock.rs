//! Two small files: what store this is, and (cache mode) whether it was closed cleanly.

use super::{crc32c, get};

/// Name of the superblock.
pub const STORE_FILE: &str = "STORE";
/// Name under which a new superblock is written before it is renamed.
pub const STORE_TMP: &str = "STORE.tmp";
/// Name of the state file.
pub const STATE_FILE: &str = "STATE";
/// Name under which a new state is written before it is renamed.
pub const STATE_TMP: &str = "STATE.tmp";
/// Name of the lock file.
pub const LOCK_FILE: &str = "LOCK";

const STORE_MAGIC: u64 = u64::from_le_bytes(*b"ANBLOBST");
const STATE_MAGIC: u64 = u64::from_le_bytes(*b"ANBLOBCS");
const VERSION: u32 = 3;

/// What never changes in the life of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Random; part of every record's checksum.
    pub store: u64,
    /// Random seed of the key hash, so that colliding keys cannot be prepared from outside.
    pub seed: u64,
    /// Whether the store was made in durable mode.
    pub durable: bool,
}

impl Superblock {
    /// 40 bytes: magic, version, mode, store, seed, zero, CRC32C.
    pub fn encode(&self) -> [u8; 40] {
        let mut out = [0; 40];
        out[0..8].copy_from_slice(&STORE_MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[12..16].copy_from_slice(&u32::from(self.durable).to_le_bytes());
        out[16..24].copy_from_slice(&self.store.to_le_bytes());
        out[24..32].copy_from_slice(&self.seed.to_le_bytes());
        let crc = crc32c(&out[..36]);
        out[36..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if the bytes are not a superblock of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let valid = bytes.len() == 40
            && get!(u64, bytes, 0) == STORE_MAGIC
            && get!(u32, bytes, 8) == VERSION
            && get!(u32, bytes, 12) <= 1
            && get!(u32, bytes, 36) == crc32c(&bytes[..36]);
        valid.then(|| Self {
            durable: get!(u32, bytes, 12) == 1,
            store: get!(u64, bytes, 16),
            seed: get!(u64, bytes, 24),
        })
    }
}

/// Whether what is in a cache's directory may be believed after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The store was closed, and everything was synced before this was written.
    pub clean: bool,
    /// The boot of the machine under which the store was last open: within one boot, what was written is there.
    pub boot: u128,
}

impl State {
    /// 32 bytes: magic, clean, boot, CRC32C.
    pub fn encode(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out[0..8].copy_from_slice(&STATE_MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&u32::from(self.clean).to_le_bytes());
        out[12..28].copy_from_slice(&self.boot.to_le_bytes());
        let crc = crc32c(&out[..28]);
        out[28..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// `None` if the bytes are not a state.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let valid = bytes.len() == 32
            && get!(u64, bytes, 0) == STATE_MAGIC
            && get!(u32, bytes, 8) <= 1
            && get!(u32, bytes, 28) == crc32c(&bytes[..28]);
        valid.then(|| Self { clean: get!(u32, bytes, 8) == 1, boot: get!(u128, bytes, 12) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_read_back_and_refuse_damage() {
        let superblock = Superblock { store: 1, seed: 2, durable: true };
        let state = State { clean: true, boot: 3 };
        assert_eq!(Superblock::decode(&superblock.encode()), Some(superblock));
        assert_eq!(State::decode(&state.encode()), Some(state));
        for bit in 0..40 * 8 {
            let mut bytes = superblock.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Superblock::decode(&bytes), None);
        }
        for bit in 0..32 * 8 {
            let mut bytes = state.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(State::decode(&bytes), None);
        }
    }
}
