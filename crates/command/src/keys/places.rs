//! From one name to another: RENAME, RENAMENX, COPY, MOVE.

use effect::{Deadline, FoldedWriter, Kind, Op};
use engine::{Entry, Stop};

use super::database;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "rename",
        arity: 3,
        flags: Flags::WRITE,
        keys: Keys::TWO,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1); what a large value that is replaced needs to be freed is done aside",
        summary: "Gives a key another name and replaces what has that name.",
        syntax: "key newkey",
        run: Run::Data(rename),
    },
    Spec {
        name: "renamenx",
        arity: 3,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::TWO,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Gives a key another name, if nothing has that name.",
        syntax: "key newkey",
        run: Run::Data(renamenx),
    },
    Spec {
        name: "copy",
        arity: -3,
        flags: Flags::WRITE.and(Flags::DENYOOM),
        keys: Keys::TWO,
        group: Group::Generic,
        since: "6.2.0",
        complexity: "O(N) where N is the number of elements of the value",
        summary: "Copies the value and deadline of a key to another key.",
        syntax: "source destination [DB destination-db] [REPLACE]",
        run: Run::Data(copy),
    },
    Spec {
        name: "move",
        arity: 3,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::ONE,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Moves a key to another database, if that has none of this name.",
        syntax: "key db",
        run: Run::Data(move_key),
    },
];

fn rename(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to) = (cx.arg(1), cx.arg(2));
    if !cx.state.exists(from)? {
        return Err(errors::NO_SUCH_KEY);
    }
    if from != to {
        relocate(cx, from, cx.state.db(), to)?;
    }
    cx.reply.ok();
    Ok(())
}

fn renamenx(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to) = (cx.arg(1), cx.arg(2));
    if !cx.state.exists(from)? {
        return Err(errors::NO_SUCH_KEY);
    }
    let free = from != to && !cx.state.exists(to)?;
    if free {
        relocate(cx, from, cx.state.db(), to)?;
    }
    cx.reply.int(i64::from(free));
    Ok(())
}

/// Whether `key` exists in database `db`.
fn exists_in(cx: &Cx<'_, '_>, db: u8, key: &[u8]) -> Result<bool, Stop> {
    let before = cx.state.select(db);
    let found = cx.state.exists(key);
    cx.state.select(before);
    found
}

fn copy(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to) = (cx.arg(1), cx.arg(2));
    let (mut db, mut replace) = (cx.state.db(), false);
    let mut at = 3;
    while at < cx.argc() {
        let option = cx.arg(at);
        if parse::is(option, "replace") {
            replace = true;
        } else if parse::is(option, "db") && at + 1 < cx.argc() {
            at += 1;
            db = database(cx, cx.arg(at))?;
        } else {
            return Err(errors::SYNTAX);
        }
        at += 1;
    }
    if db == cx.state.db() && from == to {
        return Err(errors::SAME_OBJECT);
    }
    let Some(entry) = cx.state.whole_entry(from)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let taken = exists_in(cx, db, to)?;
    if taken && !replace {
        cx.reply.int(0);
        return Ok(());
    }
    let origin = cx.out.origin();
    let mut folded = Vec::new();
    fold_copy(cx, entry, &mut folded);
    let deadline = Cx::keep(entry.deadline());
    let before = cx.out.select(db);
    cx.out.emit(to, !taken, Op::Replace { value: engine::unfold(origin.0, &folded), deadline });
    cx.out.select(before);
    cx.reply.int(1);
    Ok(())
}

/// Says that the value at `from`, which is there, moves to `to` in database `db`.
fn relocate(cx: &mut Cx<'_, '_>, from: &[u8], db: u8, to: &[u8]) -> Outcome {
    if cx.out.may_rename(from, to) {
        cx.out.rename(from, db, to);
        return Ok(());
    }
    // What one of the two keyspaces does not log cannot be renamed in the log: it is there as a whole, or goes.
    // A disk tier may have given it up since it was there.
    let entry = cx.state.whole_entry(from)?.ok_or(errors::NO_SUCH_KEY)?;
    let origin = cx.out.origin();
    let mut folded = Vec::new();
    fold_copy(cx, entry, &mut folded);
    let deadline = Cx::keep(entry.deadline());
    let taken = exists_in(cx, db, to)?;
    let before = cx.out.select(db);
    cx.out.emit(to, !taken, Op::Replace { value: engine::unfold(origin.0, &folded), deadline });
    cx.out.select(before);
    cx.out.remove(from);
    Ok(())
}

/// Folds a value for another key. The elements of a list get positions of their own, in one run.
fn fold_copy(cx: &Cx<'_, '_>, entry: &Entry, out: &mut Vec<u8>) {
    let home = cx.out.origin().0;
    match entry.list() {
        Some(list) => {
            let mut writer = FoldedWriter::collection(out, Kind::List, home, 1);
            writer.run(&cx.out.list_start(), list.iter());
        }
        None => engine::fold(entry, home, cx.state.now_ms(), out),
    }
}

fn move_key(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let db = database(cx, cx.arg(2))?;
    if db == cx.state.db() {
        return Err(errors::SAME_OBJECT);
    }
    let moves = cx.state.exists(key)? && !exists_in(cx, db, key)?;
    if moves {
        relocate(cx, key, db, key)?;
    }
    cx.reply.int(i64::from(moves));
    Ok(())
}

/// Says that `key` becomes this list, without a deadline; nothing if there are no elements.
pub(super) fn replace_by_list<'v>(
    cx: &mut Cx<'_, '_>,
    key: &[u8],
    fresh: bool,
    elements: impl ExactSizeIterator<Item = &'v [u8]>,
) {
    let origin = cx.out.origin();
    let mut folded = Vec::new();
    FoldedWriter::collection(&mut folded, Kind::List, origin.0, 1).run(&cx.out.list_start(), elements);
    let value = engine::unfold(origin.0, &folded);
    cx.out.emit(key, fresh, Op::Replace { value, deadline: Deadline::Clear });
}
