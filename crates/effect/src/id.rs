//! Who wrote what, where: origins, dots, keyspaces, slots and the hashes that order keys.

use siphasher::sip::SipHasher13;

/// A node and one of its incarnations: node id in the upper 48 bits, incarnation in the lower 16.
///
/// Every start that is not proven clean, every restore and every clone writes under a new incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(pub u64);

impl Origin {
    /// The largest node id.
    pub const MAX_NODE: u64 = (1 << 48) - 1;

    /// The origin of `node` (at most [`Origin::MAX_NODE`]) in its `incarnation`.
    pub fn new(node: u64, incarnation: u16) -> Self {
        assert!(node <= Self::MAX_NODE, "node ids have 48 bits");
        Self(node << 16 | u64::from(incarnation))
    }

    /// The node, without its incarnation.
    pub fn node(self) -> u64 {
        self.0 >> 16
    }

    /// The incarnation, counted from 1.
    pub fn incarnation(self) -> u16 {
        self.0 as u16
    }
}

/// The identity of one effect: gapless per origin and group, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who wrote it.
    pub origin: Origin,
    /// Its number among that origin's effects in the group, from 1.
    pub seq: u64,
}

/// The group that orders an effect. A standalone node has group 0 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A keyspace; ids are never reused. Id 0 is `default`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyspaceId(pub u16);

impl KeyspaceId {
    /// The keyspace that matches every key.
    pub const DEFAULT: Self = Self(0);
}

/// CRC16 of the key or of its `{tag}`, modulo [`Slot::COUNT`], as in Redis Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// How many slots there are.
    pub const COUNT: usize = 16384;

    /// The slot of `key`.
    #[inline]
    pub fn of(key: &[u8]) -> Self {
        Self(crc16(hash_tag(key)) % Self::COUNT as u16)
    }
}

/// The part of a key between its first `{` and the next `}`, if that is not empty; else the whole key.
fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    match memchr::memchr(b'}', &key[open + 1..]) {
        Some(len) if len > 0 => &key[open + 1..open + 1 + len],
        _ => key,
    }
}

/// CRC-16/XMODEM (polynomial 0x1021, initial value 0), eight bytes a step.
#[inline]
fn crc16(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut crc = 0u16;
    for word in words {
        let [high, low] = crc.to_be_bytes();
        crc = CRC16[7][usize::from(word[0] ^ high)]
            ^ CRC16[6][usize::from(word[1] ^ low)]
            ^ CRC16[5][usize::from(word[2])]
            ^ CRC16[4][usize::from(word[3])]
            ^ CRC16[3][usize::from(word[4])]
            ^ CRC16[2][usize::from(word[5])]
            ^ CRC16[1][usize::from(word[6])]
            ^ CRC16[0][usize::from(word[7])];
    }
    for &byte in rest {
        crc = crc << 8 ^ CRC16[0][usize::from((crc >> 8) as u8 ^ byte)];
    }
    crc
}

/// What a byte adds to the checksum, by how many bytes follow it in its word.
static CRC16: [[u16; 256]; 8] = {
    let mut tables = [[0u16; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 64 {
            crc = if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 };
            bit += 1;
            if bit % 8 == 0 {
                tables[bit / 8 - 1][byte] = crc;
            }
        }
        byte += 1;
    }
    tables
};

/// The database's secret for hashing what clients choose (keys, fields, members): SipHash-1-3 with this key.
/// It is minted with the data directory and part of the format: route keys and cursors depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HashSeed(pub [u8; 16]);

impl HashSeed {
    /// The 64-bit keyed hash of `bytes`.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_key(&self.0).hash(bytes)
    }
}

/// Where a key stands: its slot, and the hash that orders it within the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash {
    /// The slot.
    pub slot: Slot,
    /// The keyed hash; its upper 32 bits are the `h32` of the route key.
    pub hash: u64,
}

impl KeyHash {
    /// Hashes `key`.
    #[inline(always)]
    pub fn of(seed: &HashSeed, key: &[u8]) -> Self {
        Self { slot: Slot::of(key), hash: seed.hash(key) }
    }

    /// The upper half of the hash, which orders keys within a slot.
    pub fn h32(self) -> u32 {
        (self.hash >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // From the Redis Cluster specification and CLUSTER KEYSLOT of redis-server 7.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(Slot::of(b"foo"), Slot(12182));
        assert_eq!(Slot::of(b"{user1000}.following"), Slot::of(b"{user1000}.followers"));
        assert_eq!(Slot::of(b"foo{}{bar}"), Slot(crc16(b"foo{}{bar}") % 16384));
        assert_eq!(Slot::of(b"foo{{bar}}zap"), Slot(crc16(b"{bar") % 16384));
    }

    #[test]
    fn words_and_bytes_give_the_same_checksum() {
        let bit_by_bit = |bytes: &[u8]| {
            bytes.iter().fold(0u16, |crc, byte| {
                (0..8).fold(crc ^ u16::from(*byte) << 8, |crc, _| crc << 1 ^ if crc & 0x8000 != 0 { 0x1021 } else { 0 })
            })
        };
        let bytes: Vec<u8> = (0..100u32).map(|i| (i * i * 31 + 7) as u8).collect();
        for len in 0..bytes.len() {
            assert_eq!(crc16(&bytes[..len]), bit_by_bit(&bytes[..len]), "{len} bytes");
        }
    }

    #[test]
    fn origins_keep_node_and_incarnation_apart() {
        let origin = Origin::new(Origin::MAX_NODE, 7);
        assert_eq!((origin.node(), origin.incarnation()), (Origin::MAX_NODE, 7));
    }
}
