//! Commands that change sets member by member.

use std::collections::HashSet;

use effect::{Deadline, Seq};
use effect::{Item, ItemValue, Kind, Merge, Op};

use crate::cx::Cx;
use crate::errors;
use crate::spec::Outcome;

/// From so many arguments on, repeated ones are found by hash.
const FEW: usize = 16;

/// Whether a member was given before, among the arguments from `first` to before `at`.
struct Repeated<'a>(Option<HashSet<&'a [u8]>>);

impl<'a> Repeated<'a> {
    fn new(count: usize) -> Self {
        Self((count > FEW).then(|| HashSet::with_capacity(count)))
    }

    fn is(&mut self, cx: &Cx<'a, '_>, first: usize, at: usize) -> bool {
        match &mut self.0 {
            Some(seen) => !seen.insert(cx.arg(at)),
            None => (first..at).any(|before| cx.arg(before) == cx.arg(at)),
        }
    }
}

pub(super) fn sadd(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let set = cx.state.set(key)?;
    let fresh = set.is_none();
    if let Some(set) = &set {
        set.gather(cx.args.iter().skip(2))?;
    }
    let mut added = cx.out.items(Kind::Set, Merge::LastWriter);
    let mut repeated = Repeated::new(cx.argc());
    for at in 2..cx.argc() {
        let id = cx.arg(at);
        let known = match &set {
            Some(set) => set.contains(id)?,
            None => false,
        };
        if !known && !repeated.is(cx, 2, at) {
            added.push(Item { id, value: ItemValue::Member });
        }
    }
    if !added.is_empty() {
        let op = Op::Put { kind: Kind::Set, merge: Merge::LastWriter, deadline: Deadline::Clear, items: added.seq() };
        cx.out.emit(key, fresh, op);
    }
    cx.reply.int(added.len() as i64);
    cx.out.recycle(added);
    Ok(())
}

pub(super) fn srem(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let Some(set) = cx.state.set(key)? else {
        cx.reply.int(0);
        return Ok(());
    };
    set.gather(cx.args.iter().skip(2))?;
    let mut gone = cx.out.ids();
    let mut repeated = Repeated::new(cx.argc());
    for at in 2..cx.argc() {
        if set.contains(cx.arg(at))? && !repeated.is(cx, 2, at) {
            gone.push(cx.arg(at));
        }
    }
    if !gone.is_empty() {
        cx.out.emit(key, false, Op::Drop { kind: Kind::Set, ids: gone.seq() });
    }
    cx.reply.int(gone.len() as i64);
    cx.out.recycle(gone);
    Ok(())
}

pub(super) fn spop(cx: &mut Cx<'_, '_>) -> Outcome {
    if cx.argc() > 3 {
        return Err(errors::SYNTAX);
    }
    if cx.argc() == 3 {
        return spop_many(cx);
    }
    let key = cx.arg(1);
    let Some(set) = cx.state.set(key)? else {
        cx.reply.null();
        return Ok(());
    };
    let Some(member) = set.pick(cx.random.next_u64())? else {
        cx.reply.null();
        return Ok(());
    };
    let mut gone = cx.out.ids();
    gone.push(&member);
    cx.out.emit(key, false, Op::Drop { kind: Kind::Set, ids: gone.seq() });
    cx.out.recycle(gone);
    cx.reply.bulk(&member);
    Ok(())
}

fn spop_many(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let count = match resp::parse_i64(cx.arg(2)) {
        Some(count) if count >= 0 => count as usize,
        _ => return Err(errors::NOT_POSITIVE),
    };
    let Some(set) = cx.state.set(key)? else {
        cx.reply.set(0);
        return Ok(());
    };
    let len = set.len()?;
    if count == 0 {
        cx.reply.set(0);
        return Ok(());
    }
    if count >= len {
        cx.reply.set(len);
        set.iter()?.for_each(|member| cx.reply.bulk(&member));
        cx.out.remove(key);
        return Ok(());
    }
    let chosen = super::read::distinct(cx.random, &set, count)?;
    let mut gone = cx.out.ids();
    cx.reply.set(chosen.len());
    for member in &chosen {
        gone.push(member);
        cx.reply.bulk(member);
    }
    cx.out.emit(key, false, Op::Drop { kind: Kind::Set, ids: gone.seq() });
    cx.out.recycle(gone);
    Ok(())
}

pub(super) fn smove(cx: &mut Cx<'_, '_>) -> Outcome {
    let (from, to, member) = (cx.arg(1), cx.arg(2), cx.arg(3));
    let Some(source) = cx.state.set(from)? else {
        cx.reply.int(0);
        return Ok(());
    };
    let target = cx.state.set(to)?;
    let there = source.contains(member)?;
    if !there || from == to {
        cx.reply.int(i64::from(there));
        return Ok(());
    }
    let (fresh, known) = match &target {
        Some(target) => (false, target.contains(member)?),
        None => (true, false),
    };
    let mut gone = cx.out.ids();
    gone.push(member);
    cx.out.emit(from, false, Op::Drop { kind: Kind::Set, ids: gone.seq() });
    cx.out.recycle(gone);
    if !known {
        let mut added = cx.out.items(Kind::Set, Merge::LastWriter);
        added.push(Item { id: member, value: ItemValue::Member });
        put(cx, to, fresh, added.seq());
        cx.out.recycle(added);
    }
    cx.reply.int(1);
    Ok(())
}

fn put(cx: &mut Cx<'_, '_>, key: &[u8], fresh: bool, items: Seq<'_, effect::items::ItemShape>) {
    let op = Op::Put { kind: Kind::Set, merge: Merge::LastWriter, deadline: Deadline::Clear, items };
    cx.out.emit(key, fresh, op);
}
