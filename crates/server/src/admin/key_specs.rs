//! What commands do to their keys, and how a client finds them: the key specifications of COMMAND.

use command::{Flags, Keys, Spec, parse};
use resp::{Args, Reply};

/// What a command does to a key, in the words of COMMAND: how it takes it, then what it does with its value.
pub type Access = &'static [&'static str];

const READ: Access = &["RO", "access"];
const LOOK: Access = &["RO"];
const CHANGE: Access = &["RW", "update"];
const READ_CHANGE: Access = &["RW", "access", "update"];
const CHANGE_OR_NOT: Access = &["RW", "access", "update", "variable_flags"];
const ADD: Access = &["RW", "insert"];
const DROP: Access = &["RW", "delete"];
const TAKE: Access = &["RW", "access", "delete"];
const OVERWRITE: Access = &["OW", "update"];
const MAKE: Access = &["OW", "insert"];
const REMOVE: Access = &["RM", "delete"];

/// What a command does to its first key, and to the others if that is something else.
pub fn access(spec: &Spec) -> (Access, Option<Access>) {
    let all = |access| (access, None);
    match spec.name {
        "smove" | "lmove" | "blmove" | "lmovem" | "blmovem" | "rpoplpush" | "brpoplpush" => (TAKE, Some(ADD)),
        "rename" => (TAKE, Some(OVERWRITE)),
        "renamenx" => (TAKE, Some(MAKE)),
        "copy" => (READ, Some(OVERWRITE)),
        "sinterstore" => (CHANGE, Some(READ)),
        "sunionstore" | "sdiffstore" | "zinterstore" | "zunionstore" | "zdiffstore" | "zrangestore" | "bitop" => {
            (OVERWRITE, Some(READ))
        }
        "sort" => (READ, Some(OVERWRITE)),
        "hexists" | "sismember" | "strlen" | "type" | "zcard" | "scard" | "llen" | "hlen" | "hstrlen" | "exists"
        | "touch" | "watch" | "freq" | "encoding" | "idletime" | "refcount" | "usage" => all(LOOK),
        "getex" | "decr" | "decrby" | "move" | "hincrby" | "incrby" | "setbit" | "zincrby" | "incr" | "incrbyfloat"
        | "increx" | "getset" | "hincrbyfloat" | "hgetex" => all(READ_CHANGE),
        "bitfield" | "set" => all(CHANGE_OR_NOT),
        "hdel" | "ltrim" | "lrem" | "srem" | "zrem" | "zremrangebylex" | "zremrangebyrank" | "zremrangebyscore" => {
            all(DROP)
        }
        "append" | "sadd" | "lpush" | "lpushx" | "rpush" | "rpushx" | "linsert" | "hsetnx" => all(ADD),
        "spop" | "zpopmin" | "zpopmax" | "getdel" | "hgetdel" | "lpop" | "rpop" | "blpop" | "brpop" | "bzpopmin"
        | "bzpopmax" | "lmpop" | "blmpop" | "zmpop" | "bzmpop" => all(TAKE),
        "setex" | "psetex" | "restore" | "mset" | "msetex" => all(OVERWRITE),
        "setnx" | "msetnx" => all(MAKE),
        "del" | "unlink" | "delex" | "delifeq" => all(REMOVE),
        _ if spec.flags.has(Flags::WRITE) => all(CHANGE),
        _ => all(READ),
    }
}

/// The same for a command with these arguments, where they make a difference.
pub fn access_with(spec: &Spec, args: &Args<'_>) -> (Access, Option<Access>) {
    let one = match spec.name {
        "set" if args.iter().skip(3).any(|option| parse::is(option, "GET")) => READ_CHANGE,
        "set" => OVERWRITE,
        "bitfield" if only_gets(args.tail(2)) => READ,
        "bitfield" => READ_CHANGE,
        _ => return access(spec),
    };
    (one, None)
}

/// Whether operations of BITFIELD change nothing.
fn only_gets(operations: Args<'_>) -> bool {
    let mut rest = operations;
    while let Some(name) = rest.get(0) {
        rest = match () {
            () if parse::is(name, "GET") && rest.len() > 2 => rest.tail(3),
            () if parse::is(name, "OVERFLOW") && rest.len() > 1 => rest.tail(2),
            () => return false,
        };
    }
    true
}

/// First key, last key and step, as far as positions alone say.
pub fn positions(spec: &Spec) -> (i64, i64, i64) {
    match spec.keys {
        Keys::Range { first, last, step } => (first as i64, last as i64, step as i64),
        Keys::Counted { dest, .. } if dest > 0 => (dest as i64, dest as i64, 1),
        // What it sorts stands first; what else it reads and where it stores has to be searched for.
        Keys::Found(_) if is_sort(spec) => (1, 1, 1),
        Keys::None | Keys::All | Keys::Counted { .. } | Keys::Found(_) => (0, 0, 0),
    }
}

fn is_sort(spec: &Spec) -> bool {
    matches!(spec.name, "sort" | "sort_ro")
}

type Find<'a> = &'a [(&'a str, i64)];

/// Keys from one argument on: how far the last one is (from there, or from the end), and the step.
fn range(reply: &mut Reply<'_>, access: Access, begin: usize, last: i64, step: usize) {
    let find: Find<'_> = &[("lastkey", last), ("keystep", step as i64), ("limit", 0)];
    key_spec(reply, access, Some(begin as i64), ("range", find));
}

/// How many specifications say where the keys are.
pub fn count(spec: &Spec) -> usize {
    let others = access(spec).1.is_some();
    match spec.keys {
        _ if is_sort(spec) => 2 + usize::from(others),
        Keys::None | Keys::All => 0,
        Keys::Range { .. } => 1 + usize::from(others),
        Keys::Counted { dest, .. } => 1 + usize::from(dest > 0),
        Keys::Found(_) => 1,
    }
}

/// Writes how a client finds the keys.
pub fn write(reply: &mut Reply<'_>, spec: &Spec) {
    let (first_access, others) = access(spec);
    reply.array(count(spec));
    match (spec.keys, others) {
        (_, others) if is_sort(spec) => {
            range(reply, first_access, 1, 0, 1);
            key_spec(reply, READ, None, ("unknown", &[]));
            if let Some(stored) = others {
                key_spec(reply, stored, None, ("unknown", &[]));
            }
        }
        (Keys::None | Keys::All, _) => {}
        (Keys::Range { first, last, step }, None) => {
            // From the first key on; counted from the end it stays as it is.
            let last = if last < 0 { last as i64 } else { last as i64 - first as i64 };
            range(reply, first_access, first, last, step);
        }
        (Keys::Range { first, last, step }, Some(others)) => {
            range(reply, first_access, first, 0, 1);
            let next = first + step;
            range(reply, others, next, if last < 0 { last as i64 } else { last as i64 - next as i64 }, step);
        }
        (Keys::Counted { at, dest }, others) => {
            if dest > 0 {
                range(reply, first_access, dest, 0, 1);
            }
            let find: Find<'_> = &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
            key_spec(reply, others.unwrap_or(first_access), Some(at as i64), ("keynum", find));
        }
        (Keys::Found(_), _) => key_spec(reply, first_access, None, ("unknown", &[])),
    }
}

fn key_spec(reply: &mut Reply<'_>, access: Access, begin: Option<i64>, (kind, find): (&str, Find<'_>)) {
    let part = |reply: &mut Reply<'_>, name: &str, kind: &str, fields: Find<'_>| {
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"type");
        reply.bulk(kind.as_bytes());
        reply.bulk(b"spec");
        reply.map(fields.len());
        for (name, value) in fields {
            reply.bulk(name.as_bytes());
            reply.int(*value);
        }
    };
    reply.map(3);
    reply.bulk(b"flags");
    super::commands::words(reply, access);
    match begin {
        Some(index) => part(reply, "begin_search", "index", &[("index", index)]),
        None => part(reply, "begin_search", "unknown", &[]),
    }
    part(reply, "find_keys", kind, find);
}
