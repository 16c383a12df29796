//! Up to which size collections stay packed: the directives of redis.conf that say so.

use super::HashSeed;

/// Thresholds beyond which a packed collection becomes a big one, and the seed that big ones hash with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`: fields.
    pub hash_max_listpack_entries: usize,
    /// `hash-max-listpack-value`: bytes of a field or value.
    pub hash_max_listpack_value: usize,
    /// `set-max-intset-entries`: members, all integers.
    pub set_max_intset_entries: usize,
    /// `set-max-listpack-entries`: members.
    pub set_max_listpack_entries: usize,
    /// `set-max-listpack-value`: bytes of a member.
    pub set_max_listpack_value: usize,
    /// `zset-max-listpack-entries`: members.
    pub zset_max_listpack_entries: usize,
    /// `zset-max-listpack-value`: bytes of a member.
    pub zset_max_listpack_value: usize,
    /// `list-max-listpack-size`: elements if positive; -1 to -5 mean 4, 8, 16, 32, 64 KiB.
    pub list_max_listpack_size: i32,
    /// The key of the hash that orders fields and members of big collections.
    pub seed: HashSeed,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            seed: HashSeed::default(),
        }
    }
}

impl Limits {
    /// The most elements and the most bytes of a packed list.
    pub(super) fn list(&self) -> (usize, usize) {
        match self.list_max_listpack_size {
            count @ 0.. => ((count as usize).max(1), 8 * 1024),
            size => (usize::MAX, 4096 << (size.saturating_neg().clamp(1, 5) - 1)),
        }
    }
}
