//! The rows, as commands, and what is there afterwards in the notation of the tests: `<m: 1>` is a sorted set, and a deadline stands
//! behind what it is of.

/// One row of a table.
pub struct Case {
    /// Its first three cells.
    pub row: &'static str,
    pub before: &'static [&'static str],
    pub a: &'static [&'static str],
    pub b: &'static [&'static str],
    /// The order of the stamps does not matter.
    pub both: bool,
    /// Whoever wrote what was before writes *b*, and so goes on with its positions in lists.
    pub by_owner: bool,
    /// What is there then, by key.
    pub then: &'static [(&'static str, &'static str)],
}

type Commands = &'static [&'static str];

/// A row in which the stamp of *a* is the earlier one.
const fn ordered(row: &'static str, before: Commands, a: Commands, b: Commands, then: &'static [(&str, &str)]) -> Case {
    Case { row, before, a, b, both: false, by_owner: false, then }
}

/// A row that holds for both orders of the stamps.
const fn either(row: &'static str, before: Commands, a: Commands, b: Commands, then: &'static [(&str, &str)]) -> Case {
    Case { both: true, ..ordered(row, before, a, b, then) }
}

macro_rules! k {
    ($then:literal) => {
        &[("k", $then)]
    };
}

#[rustfmt::skip]
pub const CASES: &[Case] = &[
    // Strings
    ordered("– | SET k 1 | SET k 2", &[], &["SET k 1"], &["SET k 2"], k!("2")),
    ordered("`1` | SET k 5 | INCRBY k 10", &["SET k 1"], &["SET k 5"], &["INCRBY k 10"], k!("15")),
    ordered("`1` | INCRBY k 10 | SET k 5", &["SET k 1"], &["INCRBY k 10"], &["SET k 5"], k!("15")),
    ordered("`1` | INCR k | INCRBY k 5", &["SET k 1"], &["INCR k"], &["INCRBY k 5"], k!("7")),
    either("`9223372036854775806` | INCR k | INCR k", &["SET k 9223372036854775806"], &["INCR k"], &["INCR k"], k!("9223372036854775807")),
    ordered("`1` | SET k text | INCR k", &["SET k 1"], &["SET k text"], &["INCR k"], k!("text")),
    either("`1` | INCR k | INCRBYFLOAT k 0.5", &["SET k 1"], &["INCR k"], &["INCRBYFLOAT k 0.5"], k!("2.5")),
    either("`1` | DEL k | INCR k", &["SET k 1"], &["DEL k"], &["INCR k"], k!("1")),
    either("`1` | DEL k | SET k 2", &["SET k 1"], &["DEL k"], &["SET k 2"], k!("2")),
    ordered("`ab` | APPEND k c | APPEND k d", &["SET k ab"], &["APPEND k c"], &["APPEND k d"], k!("abcd")),
    ordered("`ab` | APPEND k c | SET k x", &["SET k ab"], &["APPEND k c"], &["SET k x"], k!("xc")),
    ordered("`ab` | SETRANGE k 0 X | SETRANGE k 1 Y", &["SET k ab"], &["SETRANGE k 0 X"], &["SETRANGE k 1 Y"], k!("XY")),
    ordered("`ab` | SETRANGE k 0 X | SETRANGE k 0 Y", &["SET k ab"], &["SETRANGE k 0 X"], &["SETRANGE k 0 Y"], k!("Yb")),
    ordered("`\\x00` | SETBIT k 0 1 | SETBIT k 7 1", &["SET k \\x00"], &["SETBIT k 0 1"], &["SETBIT k 7 1"], k!("\\x81")),
    either("`ab` | DEL k | APPEND k c", &["SET k ab"], &["DEL k"], &["APPEND k c"], k!("c")),
    either("HLL of x | PFADD k y | PFADD k z", &["PFADD k x"], &["PFADD k y"], &["PFADD k z"],
        k!("\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00xyz")),
    either("`1`, EX 100 | SET k 2 | EXPIRE k 500", &["SET k 1 EX 100"], &["SET k 2"], &["EXPIRE k 500"], k!("2")),
    ordered("`1` | SET k 2 EX 50 | SET k 3 EX 10", &["SET k 1"], &["SET k 2 EX 50"], &["SET k 3 EX 10"], k!("3, 10 s")),
    ordered("`1` | SET k 2 EX 50 | SET k 3 KEEPTTL", &["SET k 1"], &["SET k 2 EX 50"], &["SET k 3 KEEPTTL"], k!("3")),
    // Deadlines of keys
    either("k | EXPIRE k 100 | EXPIRE k 50", &["SET k 1"], &["EXPIRE k 100"], &["EXPIRE k 50"], k!("1, 100 s")),
    either("k, 100 s | PERSIST k | EXPIRE k 50", &["SET k 1 EX 100"], &["PERSIST k"], &["EXPIRE k 50"], k!("1")),
    either("k | EXPIRE k 100 | DEL k", &["SADD k x"], &["EXPIRE k 100"], &["DEL k"], k!("no key")),
    either("string `1` | EXPIRE k 100 | INCR k", &["SET k 1"], &["EXPIRE k 100"], &["INCR k"], k!("2, 100 s")),
    either("k, expired on one side | INCR k (found it expired: fresh) | EXPIRE k 100 (found it alive)",
        &["SET k 7 EX 10"], &["60s later INCR k"], &["EXPIRE k 100"], k!("1")),
    either("k | DEL k; HSET k f v (fresh) | EXPIRE k 50", &["SET k 1"], &["DEL k", "HSET k f v"], &["EXPIRE k 50"], k!("{f: v}")),
    // Hashes
    ordered("{f: 1} | HSET k f 2 | HSET k f 3", &["HSET k f 1"], &["HSET k f 2"], &["HSET k f 3"], k!("{f: 3}")),
    either("{f: 1} | HSET k f 2 | HSET k g 3", &["HSET k f 1"], &["HSET k f 2"], &["HSET k g 3"], k!("{f: 2; g: 3}")),
    either("{f: 1} | HDEL k f | HSET k f 2", &["HSET k f 1"], &["HDEL k f"], &["HSET k f 2"], k!("{f: 2}")),
    either("{f: 1} | HDEL k f | HSET k g 2", &["HSET k f 1"], &["HDEL k f"], &["HSET k g 2"], k!("{g: 2}")),
    either("{f: 1} | DEL k | HSET k g 2", &["HSET k f 1"], &["DEL k"], &["HSET k g 2"], k!("{g: 2}")),
    either("{f: 1} | DEL k; HSET k h 9 | HSET k g 2", &["HSET k f 1"], &["DEL k", "HSET k h 9"], &["HSET k g 2"], k!("{g: 2; h: 9}")),
    either("{f: 1} | HINCRBY k f 2 | HINCRBY k f 3", &["HSET k f 1"], &["HINCRBY k f 2"], &["HINCRBY k f 3"], k!("{f: 6}")),
    either("{f: 1} | HSET k f 10 | HINCRBY k f 2", &["HSET k f 1"], &["HSET k f 10"], &["HINCRBY k f 2"], k!("{f: 12}")),
    either("{f: 1} | HDEL k f | HINCRBY k f 2", &["HSET k f 1"], &["HDEL k f"], &["HINCRBY k f 2"], k!("{f: 2}")),
    either("{f: 1} | HEXPIRE k 100 f | HEXPIRE k 50 f", &["HSET k f 1"], &["HEXPIRE k 100 f"], &["HEXPIRE k 50 f"], k!("{f: 1, 100 s}")),
    either("{f: 1} | HEXPIRE k 100 f | HSET k f 2", &["HSET k f 1"], &["HEXPIRE k 100 f"], &["HSET k f 2"], k!("{f: 2}")),
    either("{f: 1, g: 1} | HDEL k f | HDEL k g", &["HSET k f 1 g 1"], &["HDEL k f"], &["HDEL k g"], k!("no key")),
    either("– | HSET k f 1 | HSET k f 2; HDEL k f (observed only its own)", &[], &["HSET k f 1"], &["HSET k f 2", "HDEL k f"], k!("{f: 1}")),
    // Sets
    either("{x} | SADD k y | SADD k z", &["SADD k x"], &["SADD k y"], &["SADD k z"], k!("{x; y; z}")),
    ordered("{x} | SREM k x | SADD k x", &["SADD k x"], &["SREM k x"], &["SADD! k x"], k!("{x}")),
    ordered("{x} | SREM k x | SREM k x", &["SADD k x"], &["SREM k x"], &["SREM k x"], k!("no key")),
    ordered("{x, y} | SPOP k (x) | SPOP k (x)", &["SADD k x y"], &["SPOP k x"], &["SPOP k x"], k!("{y}")),
    either("{x} | DEL k | SADD k y", &["SADD k x"], &["DEL k"], &["SADD k y"], k!("{y}")),
    // Sorted sets
    ordered("{m: 1} | ZADD k 2 m | ZADD k 3 m", &["ZADD k 1 m"], &["ZADD k 2 m"], &["ZADD k 3 m"], k!("<m: 3>")),
    either("{m: 1} | ZINCRBY k 2 m | ZINCRBY k 3 m", &["ZADD k 1 m"], &["ZINCRBY k 2 m"], &["ZINCRBY k 3 m"], k!("<m: 6>")),
    either("{m: 1} | ZADD k 10 m | ZINCRBY k 2 m", &["ZADD k 1 m"], &["ZADD k 10 m"], &["ZINCRBY k 2 m"], k!("<m: 12>")),
    either("{m: 1} | ZREM k m | ZINCRBY k 2 m", &["ZADD k 1 m"], &["ZREM k m"], &["ZINCRBY k 2 m"], k!("<m: 2>")),
    ordered("{m: 0.1} | ZINCRBY k 0.2 m | ZINCRBY k 0.3 m", &["ZADD k 0.1 m"], &["ZINCRBY k 0.2 m"], &["ZINCRBY k 0.3 m"], k!("<m: 0.6000000000000001>")),
    either("{m: 1} | ZINCRBY k +inf m | ZINCRBY k 3 m", &["ZADD k 1 m"], &["ZINCRBY k +inf m"], &["ZINCRBY k 3 m"], k!("<m: inf>")),
    either("{m: 1} | ZREM k m | ZADD k 5 n", &["ZADD k 1 m"], &["ZREM k m"], &["ZADD k 5 n"], k!("<n: 5>")),
    // Lists
    ordered("[x] | RPUSH k a1 a2 | RPUSH k b1 b2", &["RPUSH k x"], &["RPUSH k a1 a2"], &["RPUSH k b1 b2"], k!("[x; a1; a2; b1; b2]")),
    ordered("[x] | LPUSH k a | LPUSH k b", &["RPUSH k x"], &["LPUSH k a"], &["LPUSH k b"], k!("[a; b; x]")),
    either("[x] | LPUSH k a | RPUSH k b", &["RPUSH k x"], &["LPUSH k a"], &["RPUSH k b"], k!("[a; x; b]")),
    ordered("[x, y] | LPOP k | LPOP k", &["RPUSH k x y"], &["LPOP k"], &["LPOP k"], k!("[y]")),
    either("[x, y] | LPOP k | RPUSH k z", &["RPUSH k x y"], &["LPOP k"], &["RPUSH k z"], k!("[y; z]")),
    either("[x] | LPOP k | LPUSH k a", &["RPUSH k x"], &["LPOP k"], &["LPUSH k a"], k!("[a]")),
    ordered("[x] | LSET k 0 a | LSET k 0 b", &["RPUSH k x"], &["LSET k 0 a"], &["LSET k 0 b"], k!("[b]")),
    either("[x, y] | LSET k 0 a | LREM k 1 x", &["RPUSH k x y"], &["LSET k 0 a"], &["LREM k 1 x"], k!("[y]")),
    Case { by_owner: true, ..either("[x, y] | LSET k 1 a | RPOP k; RPUSH k z", &["RPUSH k x y"], &["LSET k 1 a"], &["RPOP k", "RPUSH k z"], k!("[x; z]")) },
    ordered("[x, y] | LINSERT k BEFORE y a | LINSERT k BEFORE y b", &["RPUSH k x y"], &["LINSERT k BEFORE y a"], &["LINSERT k BEFORE y b"], k!("[x; a; b; y]")),
    either("[x, y] | LREM k 1 x | LINSERT k AFTER x a", &["RPUSH k x y"], &["LREM k 1 x"], &["LINSERT k AFTER x a"], k!("[a; y]")),
    either("[x] | DEL k | RPUSH k a", &["RPUSH k x"], &["DEL k"], &["RPUSH k a"], k!("[a]")),
    // Types
    ordered("– | SADD k x | HSET k f v", &[], &["SADD k x"], &["HSET k f v"], k!("{f: v}")),
    ordered("– | SET k v | RPUSH k a", &[], &["SET k v"], &["RPUSH k a"], k!("[a]")),
    ordered("– | RPUSH k a | SET k v", &[], &["RPUSH k a"], &["SET k v"], k!("v")),
    ordered("{f: 1} hash | DEL k; SADD k x | HSET k f 2", &["HSET k f 1"], &["DEL k", "SADD k x"], &["HSET k f 2"], k!("{f: 2}")),
    ordered("{f: 1} hash | HSET k f 2 | DEL k; SADD k x", &["HSET k f 1"], &["HSET k f 2"], &["DEL k", "SADD k x"], k!("{x}")),
    ordered("– | SADD k x | HSET k f v; DEL k", &[], &["SADD k x"], &["HSET k f v", "DEL k"], k!("no key")),
    // Whole databases
    either("k, l | FLUSHDB | SET k 2", &["SET k 1", "SADD l x"], &["FLUSHDB"], &["SET k 2"], &[("k", "2"), ("l", "no key")]),
    either("counter `5` | FLUSHALL | INCR k", &["SET k 5"], &["FLUSHALL"], &["INCR k"], k!("1")),
];
