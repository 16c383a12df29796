//! The kinds of commands that are timed, in the order in which they are: what changes ranks comes behind what asks for them.

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ZScore,
    ZRank,
    ZRange,
    ZRangeByScore,
    ZScan,
    ZCard,
    ZAddExisting,
    ZAddNew,
    HGet,
    HScan,
    HLen,
    HSetExisting,
    HSetNew,
    SIsMember,
    SCard,
    SAdd,
    LRange,
    LLen,
    LPush,
    RPop,
}

impl Kind {
    /// All of them, in their order.
    pub const ALL: [Kind; 20] = [
        Kind::ZScore,
        Kind::ZRank,
        Kind::ZRange,
        Kind::ZRangeByScore,
        Kind::ZScan,
        Kind::ZCard,
        Kind::ZAddExisting,
        Kind::ZAddNew,
        Kind::HGet,
        Kind::HScan,
        Kind::HLen,
        Kind::HSetExisting,
        Kind::HSetNew,
        Kind::SIsMember,
        Kind::SCard,
        Kind::SAdd,
        Kind::LRange,
        Kind::LLen,
        Kind::LPush,
        Kind::RPop,
    ];

    /// What it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Kind::ZScore => "ZSCORE",
            Kind::ZRank => "ZRANK",
            Kind::ZRange => "ZRANGE page",
            Kind::ZRangeByScore => "ZRANGEBYSCORE page",
            Kind::ZScan => "ZSCAN page",
            Kind::ZCard => "ZCARD",
            Kind::ZAddExisting => "ZADD existing",
            Kind::ZAddNew => "ZADD new",
            Kind::HGet => "HGET",
            Kind::HScan => "HSCAN page",
            Kind::HLen => "HLEN",
            Kind::HSetExisting => "HSET existing",
            Kind::HSetNew => "HSET new",
            Kind::SIsMember => "SISMEMBER",
            Kind::SCard => "SCARD",
            Kind::SAdd => "SADD new",
            Kind::LRange => "LRANGE page",
            Kind::LLen => "LLEN",
            Kind::LPush => "LPUSH",
            Kind::RPop => "RPOP",
        }
    }

    /// Whether it leaves something behind in the log that a start would replay, and with it bring the value into memory.
    pub fn writes(self) -> bool {
        use Kind::{HSetExisting, HSetNew, LPush, RPop, SAdd, ZAddExisting, ZAddNew};
        matches!(self, ZAddExisting | ZAddNew | HSetExisting | HSetNew | SAdd | LPush | RPop)
    }
}
