//! The numbers of the format: types, opcodes, versions.

/// The newest version of Redis' own that is known: Redis 8.10.
pub const REDIS_MAX: u16 = 15;
/// Valkey numbers its versions from here on: Valkey 9.0. (8 and before write Redis' version 11.)
pub const VALKEY_MIN: u16 = 80;
/// The newest version of Valkey's that is known: Valkey 9.2.
pub const VALKEY_MAX: u16 = 81;

/// Whose numbers a file or payload uses: from 22 on they mean different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Redis, and Valkey up to 8.
    Redis,
    /// Valkey from 9 on.
    Valkey,
}

impl Dialect {
    /// The dialect of a version, if that is known. A payload has nothing else to tell them apart.
    pub fn of_version(version: u16) -> Option<Self> {
        match version {
            ..=REDIS_MAX => Some(Self::Redis),
            VALKEY_MIN..=VALKEY_MAX => Some(Self::Valkey),
            _ => None,
        }
    }
}

/// A string.
pub const STRING: u8 = 0;
/// A count, then the elements.
pub const LIST: u8 = 1;
/// A count, then the members.
pub const SET: u8 = 2;
/// A count, then members with their scores as text.
pub const ZSET: u8 = 3;
/// A count, then fields and values.
pub const HASH: u8 = 4;
/// A count, then members with their scores as doubles.
pub const ZSET_2: u8 = 5;
/// A module's value without marks in it.
pub const MODULE_EARLY: u8 = 6;
/// A module's value, marked so that others can read past it.
pub const MODULE_2: u8 = 7;
/// A hash in a zipmap.
pub const HASH_ZIPMAP: u8 = 9;
/// A list in a ziplist.
pub const LIST_ZIPLIST: u8 = 10;
/// A set in an intset.
pub const SET_INTSET: u8 = 11;
/// A sorted set in a ziplist.
pub const ZSET_ZIPLIST: u8 = 12;
/// A hash in a ziplist.
pub const HASH_ZIPLIST: u8 = 13;
/// A list in several ziplists.
pub const LIST_QUICKLIST: u8 = 14;
/// A stream.
pub const STREAM: u8 = 15;
/// A hash in a listpack.
pub const HASH_LISTPACK: u8 = 16;
/// A sorted set in a listpack.
pub const ZSET_LISTPACK: u8 = 17;
/// A list in several listpacks, or elements that stand alone.
pub const LIST_QUICKLIST_2: u8 = 18;
/// A stream of Redis 7.0.
pub const STREAM_2: u8 = 19;
/// A set in a listpack.
pub const SET_LISTPACK: u8 = 20;
/// A stream of Redis 7.2.
pub const STREAM_3: u8 = 21;
/// A hash whose fields have deadlines, before 7.4 was released.
pub const HASH_METADATA_EARLY: u8 = 22;
/// The same number in Valkey: a hash whose fields have deadlines.
pub const VALKEY_HASH_2: u8 = 22;
/// The same as 22 in a listpack.
pub const HASH_LISTPACK_EX_EARLY: u8 = 23;
/// A hash whose fields have deadlines, counted from the earliest.
pub const HASH_METADATA: u8 = 24;
/// A hash whose fields have deadlines, in a listpack.
pub const HASH_LISTPACK_EX: u8 = 25;
/// A stream of Redis 8.6.
pub const STREAM_4: u8 = 26;
/// A stream of Redis 8.8.
pub const STREAM_5: u8 = 27;
/// An array of Redis 8.8.
pub const ARRAY: u8 = 28;
/// The values of a hash in a listpack, behind the number of the template that has its fields.
pub const HASH_TEMPLATE_LISTPACK: u8 = 30;
/// A hash of Redis 8.10: the number of the template that has its fields, then the values.
pub const HASH_TEMPLATE: u8 = 32;
/// The state of a rate limiter.
pub const GCRA: u8 = 33;

/// The fields that several hashes have in common.
pub(crate) const OP_HASH_TEMPLATE: u8 = 242;
/// Before a key: what modules note of it. In Valkey: slots that were being taken over.
pub(crate) const OP_KEY_META: u8 = 243;
pub(crate) const OP_SLOT_INFO: u8 = 244;
pub(crate) const OP_FUNCTION_2: u8 = 245;
/// A function as candidates of 7.0 wrote it.
pub(crate) const OP_FUNCTION_EARLY: u8 = 246;
pub(crate) const OP_MODULE_AUX: u8 = 247;
pub(crate) const OP_IDLE: u8 = 248;
pub(crate) const OP_FREQ: u8 = 249;
pub(crate) const OP_AUX: u8 = 250;
pub(crate) const OP_RESIZE_DB: u8 = 251;
pub(crate) const OP_EXPIRE_MS: u8 = 252;
pub(crate) const OP_EXPIRE_S: u8 = 253;
pub(crate) const OP_SELECT_DB: u8 = 254;
pub(crate) const OP_END: u8 = 255;
