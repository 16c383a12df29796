//! Hashes.

mod change;
mod expire;
mod fields;
mod read;
#[cfg(test)]
mod tests;

use crate::cx::Cx;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.and(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST);
const REMOVE_FAST: Flags = Flags::WRITE.and(Flags::FAST);

/// What the declarations of this family share.
const fn spec(
    name: &'static str,
    (arity, flags, keys): (i16, Flags, Keys),
    since: &'static str,
    (complexity, summary, syntax): (&'static str, &'static str, &'static str),
    run: fn(&mut Cx<'_, '_>) -> Outcome,
) -> Spec {
    Spec { name, arity, flags, keys, group: Group::Hash, since, complexity, summary, syntax, run: Run::Data(run) }
}

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    spec(
        "hset",
        (-4, WRITE_FAST, Keys::ONE),
        "2.0.0",
        (
            "O(N) where N is the number of fields given",
            "Sets fields of a hash; creates it if it does not exist.",
            "key field value [field value ...]",
        ),
        change::hset,
    ),
    spec(
        "hmset",
        (-4, WRITE_FAST, Keys::ONE),
        "2.0.0",
        ("O(N) where N is the number of fields given", "Sets fields of a hash.", "key field value [field value ...]"),
        change::hmset,
    ),
    spec(
        "hsetnx",
        (4, WRITE_FAST, Keys::ONE),
        "2.0.0",
        ("O(1)", "Sets a field if it does not exist.", "key field value"),
        change::hsetnx,
    ),
    spec(
        "hget",
        (3, READ_FAST, Keys::ONE),
        "2.0.0",
        ("O(1)", "Returns the value of a field.", "key field"),
        read::hget,
    ),
    spec(
        "hmget",
        (-3, READ_FAST, Keys::ONE),
        "2.0.0",
        ("O(N) where N is the number of fields given", "Returns the values of fields.", "key field [field ...]"),
        read::hmget,
    ),
    spec(
        "hgetall",
        (2, READ, Keys::ONE),
        "2.0.0",
        ("O(N) where N is the number of fields", "Returns all fields with their values.", "key"),
        read::hgetall,
    ),
    spec(
        "hkeys",
        (2, READ, Keys::ONE),
        "2.0.0",
        ("O(N) where N is the number of fields", "Returns all fields.", "key"),
        read::hkeys,
    ),
    spec(
        "hvals",
        (2, READ, Keys::ONE),
        "2.0.0",
        ("O(N) where N is the number of fields", "Returns all values.", "key"),
        read::hvals,
    ),
    spec(
        "hlen",
        (2, READ_FAST, Keys::ONE),
        "2.0.0",
        ("O(1)", "Returns how many fields a hash has.", "key"),
        read::hlen,
    ),
    spec(
        "hexists",
        (3, READ_FAST, Keys::ONE),
        "2.0.0",
        ("O(1)", "Returns whether a field exists.", "key field"),
        read::hexists,
    ),
    spec(
        "hstrlen",
        (3, READ_FAST, Keys::ONE),
        "3.2.0",
        ("O(1)", "Returns the length of a field's value.", "key field"),
        read::hstrlen,
    ),
    spec(
        "hdel",
        (-3, REMOVE_FAST, Keys::ONE),
        "2.0.0",
        (
            "O(N) where N is the number of fields given",
            "Deletes fields; deletes the hash when none is left.",
            "key field [field ...]",
        ),
        change::hdel,
    ),
    spec(
        "hincrby",
        (4, WRITE_FAST, Keys::ONE),
        "2.0.0",
        ("O(1)", "Adds to the integer of a field, from 0 if it does not exist.", "key field increment"),
        change::hincrby,
    ),
    spec(
        "hincrbyfloat",
        (4, WRITE_FAST, Keys::ONE),
        "2.6.0",
        ("O(1)", "Adds to the float of a field, from 0 if it does not exist.", "key field increment"),
        change::hincrbyfloat,
    ),
    spec(
        "hrandfield",
        (-2, READ, Keys::ONE),
        "6.2.0",
        ("O(N) where N is the number of fields given", "Returns random fields.", "key [count [WITHVALUES]]"),
        read::hrandfield,
    ),
    spec(
        "hscan",
        (-3, READ, Keys::ONE),
        "2.8.0",
        (
            "O(1) for every call",
            "Iterates over the fields of a hash.",
            "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        ),
        read::hscan,
    ),
    spec(
        "hexpire",
        (-6, WRITE_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Sets deadlines of fields, in seconds from now.",
            "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
        expire::hexpire,
    ),
    spec(
        "hpexpire",
        (-6, WRITE_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Sets deadlines of fields, in milliseconds from now.",
            "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
        expire::hpexpire,
    ),
    spec(
        "hexpireat",
        (-6, WRITE_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Sets deadlines of fields, in unix seconds.",
            "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
        expire::hexpireat,
    ),
    spec(
        "hpexpireat",
        (-6, WRITE_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Sets deadlines of fields, in unix milliseconds.",
            "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
        ),
        expire::hpexpireat,
    ),
    spec(
        "httl",
        (-5, READ_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Returns how long fields live, in seconds.",
            "key FIELDS numfields field [field ...]",
        ),
        expire::httl,
    ),
    spec(
        "hpttl",
        (-5, READ_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Returns how long fields live, in milliseconds.",
            "key FIELDS numfields field [field ...]",
        ),
        expire::hpttl,
    ),
    spec(
        "hexpiretime",
        (-5, READ_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Returns the deadlines of fields in unix seconds.",
            "key FIELDS numfields field [field ...]",
        ),
        expire::hexpiretime,
    ),
    spec(
        "hpexpiretime",
        (-5, READ_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Returns the deadlines of fields in unix milliseconds.",
            "key FIELDS numfields field [field ...]",
        ),
        expire::hpexpiretime,
    ),
    spec(
        "hpersist",
        (-5, REMOVE_FAST, Keys::ONE),
        "7.4.0",
        (
            "O(N) where N is the number of fields given",
            "Takes the deadlines of fields away.",
            "key FIELDS numfields field [field ...]",
        ),
        expire::hpersist,
    ),
    spec(
        "hgetdel",
        (-5, REMOVE_FAST, Keys::ONE),
        "8.0.0",
        (
            "O(N) where N is the number of fields given",
            "Returns the values of fields and deletes them.",
            "key FIELDS numfields field [field ...]",
        ),
        expire::hgetdel,
    ),
    spec(
        "hgetex",
        (-5, REMOVE_FAST, Keys::ONE),
        "8.0.0",
        (
            "O(N) where N is the number of fields given",
            "Returns the values of fields and changes their deadlines.",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]",
        ),
        expire::hgetex,
    ),
    spec(
        "hsetex",
        (-6, WRITE_FAST, Keys::ONE),
        "8.0.0",
        (
            "O(N) where N is the number of fields given",
            "Sets fields with a deadline.",
            "key [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value [field value ...]",
        ),
        expire::hsetex,
    ),
];
