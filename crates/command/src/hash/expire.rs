//! Deadlines of fields: HEXPIRE and its kin, HTTL and its kin, HPERSIST, HGETDEL, HGETEX, HSETEX.

use effect::{Deadline, Item, ItemValue, Kind, Merge, Op};
use engine::Stop;

use super::fields::{self, clause};
use crate::cx::Cx;
use crate::errors;
use crate::expiry::Unit;
use crate::parse;
use crate::spec::Outcome;

/// NX, XX, GT or LT of HEXPIRE. No deadline counts as an infinite one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    None,
    Some,
    Greater,
    Less,
}

impl When {
    fn allows(self, old: Option<i64>, new: i64) -> bool {
        match (self, old) {
            (Self::Always, _) | (Self::None, None) | (Self::Some, Some(_)) | (Self::Less, None) => true,
            (Self::None, Some(_)) | (Self::Some, None) | (Self::Greater, None) => false,
            (Self::Greater, Some(old)) => new > old,
            (Self::Less, Some(old)) => new < old,
        }
    }
}

pub(super) fn hexpire(cx: &mut Cx<'_, '_>) -> Outcome {
    expire(cx, Unit::Seconds, "hexpire")
}

pub(super) fn hpexpire(cx: &mut Cx<'_, '_>) -> Outcome {
    expire(cx, Unit::Millis, "hpexpire")
}

pub(super) fn hexpireat(cx: &mut Cx<'_, '_>) -> Outcome {
    expire(cx, Unit::UnixSeconds, "hexpireat")
}

pub(super) fn hpexpireat(cx: &mut Cx<'_, '_>) -> Outcome {
    expire(cx, Unit::UnixMillis, "hpexpireat")
}

fn expire(cx: &mut Cx<'_, '_>, unit: Unit, name: &str) -> Outcome {
    let key = cx.arg(1);
    cx.state.hash(key)?;
    let deadline = fields::deadline(cx, unit, 2, name)?;
    let option = match cx.arg(3) {
        word if parse::is(word, "nx") => Some(When::None),
        word if parse::is(word, "xx") => Some(When::Some),
        word if parse::is(word, "gt") => Some(When::Greater),
        word if parse::is(word, "lt") => Some(When::Less),
        _ => None,
    };
    let at = if option.is_some() { 4 } else { 3 };
    let when = option.unwrap_or(When::Always);
    let (first, count) = clause(cx, at, 1, errors::NUMFIELDS_NOT_POSITIVE)?;
    let past = deadline <= cx.now_ms();
    each(cx, first, count, |cx, field| {
        let Some((_, old)) = fields::look(cx, key, field)? else { return Ok(-2) };
        if !when.allows(old, deadline) {
            return Ok(0);
        }
        if past {
            fields::drop_field(cx, key, field);
            return Ok(2);
        }
        fields::set_deadline(cx, key, field, Some(deadline));
        Ok(1)
    })
}

pub(super) fn hpersist(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let (first, count) = clause(cx, 2, 1, errors::FIELDS_NOT_POSITIVE)?;
    each(cx, first, count, |cx, field| match fields::look(cx, key, field)? {
        None => Ok(-2),
        Some((_, None)) => Ok(-1),
        Some((_, Some(_))) => {
            fields::set_deadline(cx, key, field, None);
            Ok(1)
        }
    })
}

/// Replies with an array of what `one` answers for each field. Where a field is named twice, the second time sees what
/// the first one did.
fn each<'c, 'e>(
    cx: &mut Cx<'c, 'e>,
    first: usize,
    count: usize,
    mut one: impl FnMut(&mut Cx<'c, 'e>, &'c [u8]) -> Result<i64, Stop>,
) -> Outcome {
    let settles = fields::repeats((first..first + count).map(|at| cx.arg(at)));
    cx.reply.array(count);
    for at in first..first + count {
        let answer = one(cx, cx.arg(at))?;
        cx.reply.int(answer);
        if settles {
            cx.settle();
        }
    }
    Ok(())
}

pub(super) fn httl(cx: &mut Cx<'_, '_>) -> Outcome {
    left(cx, |deadline, now| (deadline - now + 999) / 1000)
}

pub(super) fn hpttl(cx: &mut Cx<'_, '_>) -> Outcome {
    left(cx, |deadline, now| deadline - now)
}

pub(super) fn hexpiretime(cx: &mut Cx<'_, '_>) -> Outcome {
    left(cx, |deadline, _| (deadline + 999) / 1000)
}

pub(super) fn hpexpiretime(cx: &mut Cx<'_, '_>) -> Outcome {
    left(cx, |deadline, _| deadline)
}

fn left(cx: &mut Cx<'_, '_>, show: fn(i64, i64) -> i64) -> Outcome {
    let hash = cx.state.hash(cx.arg(1))?;
    let (first, count) = clause(cx, 2, 1, errors::FIELDS_NOT_POSITIVE)?;
    let now_ms = cx.now_ms();
    cx.reply.array(count);
    for at in first..first + count {
        let field = match &hash {
            Some(hash) => hash.get(cx.arg(at))?,
            None => None,
        };
        cx.reply.int(match field {
            None => -2,
            Some(field) => field.deadline.map_or(-1, |deadline| show(deadline, now_ms)),
        });
    }
    Ok(())
}

pub(super) fn hgetdel(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    cx.state.hash(key)?;
    let (first, count) = clause(cx, 2, 1, errors::FIELDS_NOT_POSITIVE)?;
    cx.reply.array(count);
    let settles = fields::repeats((first..first + count).map(|at| cx.arg(at)));
    for at in first..first + count {
        let field = cx.arg(at);
        let found = fields::look(cx, key, field)?;
        if found.is_some() {
            fields::drop_field(cx, key, field);
        }
        reply(cx, found);
        if settles {
            cx.settle();
        }
    }
    Ok(())
}

fn reply(cx: &mut Cx<'_, '_>, found: fields::Seen) {
    match found {
        Some((value, _)) => cx.reply.bulk(&value),
        None => cx.reply.null(),
    }
}

/// What HGETEX and HSETEX do to deadlines.
#[derive(Clone, Copy)]
enum Change {
    /// Nothing (HGETEX); none from now on (HSETEX).
    Plain,
    /// `PERSIST`, `KEEPTTL`.
    Word,
    /// This, unix ms.
    At(i64),
}

/// The options in front of FIELDS; `word` is PERSIST or KEEPTTL.
struct Options {
    change: Change,
    /// FNX: no field may exist. FXX: all must.
    exist: Option<bool>,
    fields_at: usize,
}

impl Options {
    fn read(cx: &Cx<'_, '_>, word: &str, name: &str) -> Result<Self, Stop> {
        let mut options = Self { change: Change::Plain, exist: None, fields_at: 2 };
        let conditions = name == "hsetex";
        while options.fields_at < cx.argc() {
            let at = options.fields_at;
            let option = cx.arg(at);
            if parse::is(option, "fields") {
                return Ok(options);
            }
            let exist = [("fnx", false), ("fxx", true)].into_iter().find(|(known, _)| parse::is(option, known));
            if let (true, Some((_, wanted))) = (conditions, exist) {
                if options.exist.replace(wanted).is_some() {
                    return Err(errors::ONE_OF_FXX_FNX);
                }
            } else {
                options.read_change(cx, at, word, name)?;
            }
            options.fields_at += 1;
        }
        Err(errors::FIELDS_MISSING)
    }

    /// Reads what becomes of the deadlines at argument `at`.
    fn read_change(&mut self, cx: &Cx<'_, '_>, at: usize, word: &str, name: &str) -> Result<(), Stop> {
        let option = cx.arg(at);
        let change = match Unit::option(option) {
            Some(unit) if at + 1 < cx.argc() => {
                self.fields_at += 1;
                Change::At(fields::deadline(cx, unit, at + 1, name)?)
            }
            None if parse::is(option, word) => Change::Word,
            _ => return Err([b"ERR unknown argument: ", option].concat().escape_ascii().to_string().into()),
        };
        match std::mem::replace(&mut self.change, change) {
            Change::Plain => Ok(()),
            Change::Word | Change::At(_) => {
                let word = word.to_ascii_uppercase();
                Err(format!("ERR Only one of EX, PX, EXAT, PXAT or {word} arguments can be specified").into())
            }
        }
    }
}

pub(super) fn hgetex(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    cx.state.hash(key)?;
    let options = Options::read(cx, "persist", "hgetex")?;
    let (first, count) = clause(cx, options.fields_at, 1, errors::FIELDS_COUNT)?;
    cx.reply.array(count);
    let settles = fields::repeats((first..first + count).map(|at| cx.arg(at)));
    for at in first..first + count {
        let field = cx.arg(at);
        let found = fields::look(cx, key, field)?;
        if let Some((_, old)) = &found {
            match options.change {
                Change::Plain => {}
                Change::Word if old.is_none() => {}
                Change::Word => fields::set_deadline(cx, key, field, None),
                Change::At(ms) if ms <= cx.now_ms() => fields::drop_field(cx, key, field),
                Change::At(ms) => fields::set_deadline(cx, key, field, Some(ms)),
            }
        }
        reply(cx, found);
        if settles {
            cx.settle();
        }
    }
    Ok(())
}

pub(super) fn hsetex(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let fresh = cx.state.hash(key)?.is_none();
    let options = Options::read(cx, "keepttl", "hsetex")?;
    let (first, count) = clause(cx, options.fields_at, 2, errors::FIELDS_COUNT)
        .map_err(|stop| if stop == errors::FIELDS_MISMATCH { errors::wrong_arity("hsetex").into() } else { stop })?;
    let names = (0..count).map(|i| first + 2 * i);
    if let Some(wanted) = options.exist {
        for at in names.clone() {
            if fields::look(cx, key, cx.arg(at))?.is_some() != wanted {
                cx.reply.int(0);
                return Ok(());
            }
        }
    }
    cx.reply.int(1);
    if let Change::At(ms) = options.change
        && ms <= cx.now_ms()
    {
        for at in names {
            if fields::look(cx, key, cx.arg(at))?.is_some() {
                fields::drop_field(cx, key, cx.arg(at));
                cx.settle();
            }
        }
        return Ok(());
    }
    let deadline = match options.change {
        Change::Plain => Deadline::Clear,
        Change::Word => Deadline::Keep,
        Change::At(ms) => Deadline::At(ms),
    };
    if deadline == Deadline::Keep {
        for at in names.clone() {
            fields::drop_hidden(cx, key, cx.arg(at))?;
        }
    }
    let mut items = cx.out.items(Kind::Hash, Merge::LastWriter);
    for at in names {
        items.push(Item { id: cx.arg(at), value: ItemValue::Bytes(cx.arg(at + 1)) });
    }
    let op = Op::Put { kind: Kind::Hash, merge: Merge::LastWriter, deadline, items: items.seq() };
    cx.out.emit(key, fresh, op);
    cx.out.recycle(items);
    Ok(())
}
