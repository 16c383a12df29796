//! Whole databases: KEYS, SCAN, RANDOMKEY, DBSIZE, SWAPDB, FLUSHDB, FLUSHALL.

use effect::{Kind, Op, glob};
use engine::{Cursor, Sighted, Stop};
use resp::Reply;

use super::in_range;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::scan;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "keys",
        arity: 2,
        flags: Flags::READONLY.and(Flags::DANGEROUS),
        keys: Keys::All,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys in the database",
        summary: "Returns all keys that match a pattern.",
        syntax: "pattern",
        run: Run::Data(keys),
    },
    Spec {
        name: "scan",
        arity: -2,
        flags: Flags::READONLY,
        keys: Keys::All,
        group: Group::Generic,
        since: "2.8.0",
        complexity: "O(1) for every call, O(N) for a whole iteration where N is the number of keys in the database",
        summary: "Returns some keys and the cursor with which the next call goes on.",
        syntax: "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        run: Run::Data(scan_keys),
    },
    Spec {
        name: "randomkey",
        arity: 1,
        flags: Flags::READONLY,
        keys: Keys::All,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns some key of the database.",
        syntax: "",
        run: Run::Data(randomkey),
    },
    Spec {
        name: "dbsize",
        arity: 1,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::All,
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the number of keys in the database.",
        syntax: "",
        run: Run::Data(dbsize),
    },
    Spec {
        name: "swapdb",
        arity: 3,
        flags: Flags::WRITE.and(Flags::FAST).and(Flags::DANGEROUS),
        keys: Keys::All,
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(N) where N is the number of clients that watch keys or wait for them",
        summary: "Exchanges two databases: clients of one see the keys of the other.",
        syntax: "index1 index2",
        run: Run::Data(swapdb),
    },
    Spec {
        name: "flushdb",
        arity: -1,
        flags: Flags::WRITE.and(Flags::DANGEROUS),
        keys: Keys::All,
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1); what the keys need to be freed is done aside",
        summary: "Removes all keys of the database.",
        syntax: "[ASYNC | SYNC]",
        run: Run::Data(flushdb),
    },
    Spec {
        name: "flushall",
        arity: -1,
        flags: Flags::WRITE.and(Flags::DANGEROUS),
        keys: Keys::All,
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(1); what the keys need to be freed is done aside",
        summary: "Removes all keys of all databases.",
        syntax: "[ASYNC | SYNC]",
        run: Run::Data(flushall),
    },
];

/// Keys that SCAN looks at if it is not told how many.
const SCAN_COUNT: usize = 10;

fn keys(cx: &mut Cx<'_, '_>) -> Outcome {
    let pattern = cx.arg(1);
    let array = cx.reply.deferred_array();
    let mut found = 0;
    cx.state.each_key(|key| {
        if glob::matches(pattern, key) {
            cx.reply.bulk(key);
            found += 1;
        }
    })?;
    cx.reply.close(array, found);
    Ok(())
}

/// What SCAN is asked for.
struct Scan<'a> {
    cursor: Cursor,
    count: usize,
    pattern: Option<&'a [u8]>,
    /// The name of the type, known or not.
    kind: Option<&'a [u8]>,
}

impl<'a> Scan<'a> {
    fn read(cx: &Cx<'a, '_>) -> Result<Self, Stop> {
        let cursor = Cursor(scan::cursor(cx.arg(1))?);
        let mut scan = Self { cursor, count: SCAN_COUNT, pattern: None, kind: None };
        for at in (2..cx.argc()).step_by(2) {
            let value = cx.args.get(at + 1).ok_or(errors::SYNTAX)?;
            match cx.arg(at) {
                option if parse::is(option, "count") => {
                    let count = usize::try_from(parse::int(value)?).ok().filter(|count| *count > 0);
                    scan.count = count.ok_or(errors::SYNTAX)?;
                }
                option if parse::is(option, "match") => scan.pattern = Some(value),
                option if parse::is(option, "type") => scan.kind = Some(value),
                _ => return Err(errors::SYNTAX),
            }
        }
        Ok(scan)
    }

    fn wants(&self, key: &[u8], kind: Kind) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, key))
            && self.kind.is_none_or(|name| parse::is(name, kind.name()))
    }
}

fn scan_keys(cx: &mut Cx<'_, '_>) -> Outcome {
    let asked = Scan::read(cx)?;
    let mut page = Vec::new();
    let mut keys = Reply::new(&mut page, cx.reply.protocol());
    let mut found = 0;
    let next = cx.state.scan(asked.cursor, asked.count, |Sighted { key, kind }| {
        if asked.wants(key, kind) {
            keys.bulk(key);
            found += 1;
        }
    })?;
    cx.reply.array(2);
    cx.reply.bulk(next.0.to_string().as_bytes());
    cx.reply.array(found);
    cx.reply.raw(&page);
    Ok(())
}

fn randomkey(cx: &mut Cx<'_, '_>) -> Outcome {
    match cx.state.pick(|| cx.random.next_u64())? {
        Some(key) => cx.reply.bulk(key),
        None => cx.reply.null(),
    }
    Ok(())
}

fn dbsize(cx: &mut Cx<'_, '_>) -> Outcome {
    let len = cx.state.len()?;
    cx.reply.int(len as i64);
    Ok(())
}

fn swapdb(cx: &mut Cx<'_, '_>) -> Outcome {
    let number =
        |text: &[u8], error: Stop| resp::parse_i64(text).filter(|number| i32::try_from(*number).is_ok()).ok_or(error);
    let first = number(cx.arg(1), errors::INVALID_FIRST_DB)?;
    let second = number(cx.arg(2), errors::INVALID_SECOND_DB)?;
    let (first, second) = (in_range(cx, first)?, in_range(cx, second)?);
    if first != second {
        cx.out.swap_dbs(first, second);
    }
    cx.reply.ok();
    Ok(())
}

fn flushdb(cx: &mut Cx<'_, '_>) -> Outcome {
    check_flush_options(cx)?;
    // A cache's disk may have what was evicted from it, and would have again after a restart.
    if !cx.state.is_empty()? || cx.out.has_keyspaces() {
        cx.out.emit(b"", false, Op::FlushDb);
    }
    cx.reply.ok();
    Ok(())
}

fn flushall(cx: &mut Cx<'_, '_>) -> Outcome {
    check_flush_options(cx)?;
    let before = cx.state.db();
    let all = 0..=u8::try_from(cx.env.databases.saturating_sub(1)).unwrap_or(u8::MAX);
    let empty = all.into_iter().try_fold(true, |empty, db| {
        cx.state.select(db);
        Ok::<_, Stop>(empty && cx.state.is_empty()?)
    });
    cx.state.select(before);
    if !empty? || cx.out.has_keyspaces() {
        cx.out.emit(b"", false, Op::FlushAll);
    }
    cx.reply.ok();
    Ok(())
}

/// ASYNC and SYNC are the same here: values are freed aside, and the reply comes when the keys are gone.
fn check_flush_options(cx: &Cx<'_, '_>) -> Result<(), Stop> {
    match cx.argc() {
        1 => Ok(()),
        2 if parse::is(cx.arg(1), "async") || parse::is(cx.arg(1), "sync") => Ok(()),
        _ => Err(errors::SYNTAX),
    }
}
