//! Keys as the index knows them: XXH3-128 with the store's own seed.

use xxhash_rust::xxh3::xxh3_128_with_seed;

/// XXH3-128 of a key. Two keys may share it, by chance or by intent, so every hit compares the stored key too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash {
    /// Upper 64 bits: shard and place in the shard.
    pub hi: u64,
    /// Lower 64 bits.
    pub lo: u64,
}

/// A function from seed and key to 128 bits.
pub type HashFn = fn(u64, &[u8]) -> u128;

/// The hash that stores use.
pub fn xxh3(seed: u64, key: &[u8]) -> u128 {
    xxh3_128_with_seed(key, seed)
}

impl KeyHash {
    /// From 128 bits.
    #[expect(clippy::cast_possible_truncation, reason = "the split into halves is meant")]
    pub fn new(bits: u128) -> Self {
        Self { hi: (bits >> 64) as u64, lo: bits as u64 }
    }

    /// The 16 bytes that footers hold.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..8].copy_from_slice(&self.hi.to_le_bytes());
        out[8..].copy_from_slice(&self.lo.to_le_bytes());
        out
    }

    /// The reverse of [`to_bytes`](Self::to_bytes).
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let (hi, lo) = bytes.split_at(8);
        let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("half of 16 bytes is 8 bytes"));
        Self { hi: word(hi), lo: word(lo) }
    }
}
