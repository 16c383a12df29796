//! An effect in words, for people: the operation as a command would say it, long values cut.

use effect::{Deadline, Effect, Folded, Item, ItemValue, Merge, Op, Part, Patch, Side};

use crate::limits::{EFFECT_WORD_BYTES, EFFECT_WORDS};

/// What the effect does to its key.
pub fn words(effect: &Effect<'_>) -> String {
    let words = op_words(&effect.op);
    // Its writer had seen no such key, or one whose time was over.
    if effect.fresh { format!("{words} (anew)") } else { words }
}

fn op_words(op: &Op<'_>) -> String {
    match op {
        Op::Set { value, deadline } => format!("set {}{}", quoted(value), ends(*deadline)),
        Op::AddInt(by) => format!("add {by}"),
        Op::AddDecimal(by) => format!("add {}", String::from_utf8_lossy(by)),
        Op::MaxBytes(value) => format!("raise to {}", quoted(value)),
        Op::Patch(Patch::Append(bytes)) => format!("append {}", quoted(bytes)),
        Op::Patch(Patch::Write { offset, bytes }) => format!("write {} at byte {offset}", quoted(bytes)),
        Op::Patch(Patch::Bits { offset, width, value }) => format!("write {value} as {width} bits at bit {offset}"),
        Op::Put { kind, merge, deadline, items } => {
            let verb = if matches!(merge, Merge::AddInt | Merge::AddFloat) { "add to" } else { "put" };
            // That of each element; most have none, and keep none.
            let deadline = if *deadline == Deadline::Keep { Deadline::Clear } else { *deadline };
            format!("{verb} {} {}{}", kind.name(), each(items.len(), items.iter().map(item)), ends(deadline))
        }
        Op::Drop { kind, ids } => format!("drop {} {}", kind.name(), each(ids.len(), ids.iter().map(quoted))),
        Op::FieldDeadlines(fields) => format!("set the deadlines of {} fields", fields.len()),
        Op::Push { side, values, .. } => {
            let side = if *side == Side::Head { "head" } else { "tail" };
            format!("push to {side} {}", each(values.len(), values.iter().map(quoted)))
        }
        Op::Insert { value, .. } => format!("insert {}", quoted(value)),
        Op::SetAt { value, .. } => format!("set element {}", quoted(value)),
        Op::Cut(runs) => format!("cut {} elements", runs.iter().map(|(_, count)| count).sum::<u64>()),
        Op::Replace { value, deadline } => format!("replace by {}{}", whole(value), ends(*deadline)),
        Op::Expire(Some(ms)) => format!("expire at {ms}"),
        Op::Expire(None) => "persist".to_owned(),
        Op::Remove => "remove".to_owned(),
        Op::Rename { key, .. } => format!("rename to {}", quoted(key)),
        Op::FlushDb => "flush the database".to_owned(),
        Op::FlushAll => "flush all databases".to_owned(),
        Op::SwapDb(other) => format!("swap the database with {other}"),
        Op::Snapshot { value, .. } => format!("snapshot of {}", whole(value)),
        Op::Bind(_) => "bind of a transaction".to_owned(),
        Op::Verdict { committed, .. } => format!("{} a transaction", if *committed { "commit" } else { "abort" }),
        Op::Serialize(leader) => leader.map_or("no leader".to_owned(), |leader| format!("led by {leader:012x}")),
        Op::Noop => "look".to_owned(),
        Op::Again(_) => "written again".to_owned(),
        Op::GroupDefine(Some(_)) => "define a keyspace".to_owned(),
        Op::GroupDefine(None) => "delete a keyspace".to_owned(),
        Op::Define(_) | Op::Undefine | Op::Moved(_) => "change keyspaces".to_owned(),
    }
}

fn ends(deadline: Deadline) -> String {
    match deadline {
        Deadline::Clear => String::new(),
        Deadline::Keep => ", keep its deadline".to_owned(),
        Deadline::At(ms) => format!(", expire at {ms}"),
    }
}

/// As many as fit, and how many there are besides.
fn each(count: usize, words: impl Iterator<Item = String>) -> String {
    let mut text = words.take(EFFECT_WORDS).collect::<Vec<_>>().join(" ");
    if count > EFFECT_WORDS {
        text.push_str(&format!(" and {} more", count - EFFECT_WORDS));
    }
    text
}

fn item(item: Item<'_>) -> String {
    let id = quoted(item.id);
    match item.value {
        ItemValue::Member => id,
        ItemValue::Bytes(value) => format!("{id}={}", quoted(value)),
        ItemValue::Int(by) => format!("{id}={by}"),
        ItemValue::Decimal(by) => format!("{id}={}", String::from_utf8_lossy(by)),
        ItemValue::Score(score) => format!("{id}={score}"),
        ItemValue::ScoreDelta { from, to } => format!("{id}={from}->{to}"),
    }
}

fn whole(value: &Folded<'_>) -> String {
    let (mut parts, mut string) = (0_u64, None);
    value.for_each(|part| {
        parts += 1;
        if let Part::String(bytes) = part {
            string = Some(quoted(bytes));
        }
    });
    string.unwrap_or_else(|| format!("a {} of {parts}", value.kind().name()))
}

fn quoted(bytes: &[u8]) -> String {
    match bytes.get(..EFFECT_WORD_BYTES) {
        Some(start) if bytes.len() > EFFECT_WORD_BYTES => {
            format!("\"{}\"... ({} bytes)", start.escape_ascii(), bytes.len())
        }
        _ => format!("\"{}\"", bytes.escape_ascii()),
    }
}
