//! Commands that replace whole strings.

use effect::{Deadline, Op};
use engine::Stop;

use crate::cx::Cx;
use crate::errors;
use crate::expiry::Unit;
use crate::parse;
use crate::spec::Outcome;
use crate::string::condition::Condition;

/// When a SET is done.
#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    /// `NX`.
    Absent,
    /// `XX`.
    Present,
    /// `IFEQ` and its kin; the argument that is compared.
    Value(Condition, usize),
}

/// What becomes of the deadline.
#[derive(Debug, Clone, Copy)]
enum Ttl {
    Clear,
    Keep,
    /// The option and the argument of its value.
    At(Unit, usize),
}

/// The options of SET and MSETEX.
struct Options {
    when: When,
    ttl: Ttl,
    get: bool,
}

impl Options {
    /// Reads the options from argument `from` on. An option may be repeated; options that exclude each other are a
    /// syntax error. `alone`: neither GET nor conditions on values.
    fn read(cx: &Cx<'_, '_>, from: usize, alone: bool) -> Result<Self, Stop> {
        let mut options = Self { when: When::Always, ttl: Ttl::Clear, get: false };
        let mut at = from;
        while at < cx.argc() {
            let word = cx.arg(at);
            let has_value = at + 1 < cx.argc();
            let unit = Unit::option(word);
            match (unit, options.ttl) {
                (Some(unit), Ttl::At(known, _)) if known != unit => return Err(errors::SYNTAX),
                (Some(unit), Ttl::Clear | Ttl::At(..)) if has_value => {
                    options.ttl = Ttl::At(unit, at + 1);
                    at += 2;
                    continue;
                }
                (None, Ttl::Clear | Ttl::Keep) if parse::is(word, "keepttl") => options.ttl = Ttl::Keep,
                (None, _) if parse::is(word, "get") && !alone => options.get = true,
                (None, _) => at += options.read_when(cx, at, alone)?,
                _ => return Err(errors::SYNTAX),
            }
            at += 1;
        }
        Ok(options)
    }

    /// Reads NX, XX or a condition at argument `at`; answers how many further arguments belong to it.
    fn read_when(&mut self, cx: &Cx<'_, '_>, at: usize, alone: bool) -> Result<usize, Stop> {
        let word = cx.arg(at);
        match self.when {
            When::Always | When::Absent if parse::is(word, "nx") => self.when = When::Absent,
            When::Always | When::Present if parse::is(word, "xx") => self.when = When::Present,
            When::Always if !alone && at + 1 < cx.argc() => {
                let condition = Condition::option(word).ok_or(errors::SYNTAX)?;
                self.when = When::Value(condition, at + 1);
                return Ok(1);
            }
            _ => return Err(errors::SYNTAX),
        }
        Ok(0)
    }

    fn deadline(&self, cx: &Cx<'_, '_>, command: &str) -> Result<Deadline, Stop> {
        match self.ttl {
            Ttl::Clear => Ok(Deadline::Clear),
            Ttl::Keep => Ok(Deadline::Keep),
            Ttl::At(unit, at) => unit.deadline(cx.arg(at), cx.now_ms(), command).map(Deadline::At),
        }
    }
}

/// SET without options is the shortest way through the server.
#[inline]
pub(super) fn set(cx: &mut Cx<'_, '_>) -> Outcome {
    if cx.argc() != 3 {
        return set_with_options(cx);
    }
    let fresh = !cx.state.exists(cx.arg(1))?;
    cx.out.emit(cx.arg(1), fresh, Op::Set { value: cx.arg(2), deadline: Deadline::Clear });
    cx.reply.ok();
    Ok(())
}

/// Says that the key is this string. With a deadline that has passed it is gone at once: nobody would ever see it.
fn emit_set(cx: &mut Cx<'_, '_>, key: &[u8], fresh: bool, value: &[u8], deadline: Deadline) -> Outcome {
    match deadline {
        Deadline::At(ms) if ms <= cx.now_ms() => {
            if cx.state.exists(key)? {
                cx.out.remove(key);
            }
        }
        _ => cx.out.emit(key, fresh, Op::Set { value, deadline }),
    }
    Ok(())
}

fn set_with_options(cx: &mut Cx<'_, '_>) -> Outcome {
    let (key, value) = (cx.arg(1), cx.arg(2));
    let options = Options::read(cx, 3, false)?;
    let deadline = options.deadline(cx, "set")?;
    if !options.get && matches!((options.when, deadline), (When::Always, Deadline::Clear | Deadline::At(_))) {
        let fresh = !cx.state.exists(key)?;
        emit_set(cx, key, fresh, value, deadline)?;
        cx.reply.ok();
        return Ok(());
    }
    let fresh = match cx.state.entry(key)? {
        _ if options.get => {
            let old = cx.state.string(key)?;
            match old {
                Some(old) => cx.reply.bulk(old),
                None => cx.reply.null(),
            }
            old.is_none()
        }
        found => found.is_none(),
    };
    let wanted = match options.when {
        When::Always => true,
        When::Absent => fresh,
        When::Present => !fresh,
        When::Value(condition, at) => match cx.state.string(key)? {
            Some(old) => condition.holds(old, cx.arg(at))?,
            None => !condition.equal,
        },
    };
    if wanted {
        emit_set(cx, key, fresh, value, deadline)?;
    }
    match (options.get, wanted) {
        (true, _) => {}
        (false, true) => cx.reply.ok(),
        (false, false) => cx.reply.null(),
    }
    Ok(())
}

pub(super) fn setnx(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let absent = !cx.state.exists(key)?;
    if absent {
        cx.out.emit(key, true, Op::Set { value: cx.arg(2), deadline: Deadline::Clear });
    }
    cx.reply.int(i64::from(absent));
    Ok(())
}

pub(super) fn setex(cx: &mut Cx<'_, '_>) -> Outcome {
    set_expiring(cx, Unit::Seconds, "setex")
}

pub(super) fn psetex(cx: &mut Cx<'_, '_>) -> Outcome {
    set_expiring(cx, Unit::Millis, "psetex")
}

fn set_expiring(cx: &mut Cx<'_, '_>, unit: Unit, command: &str) -> Outcome {
    let deadline = unit.deadline(cx.arg(2), cx.now_ms(), command)?;
    let fresh = !cx.state.exists(cx.arg(1))?;
    cx.out.emit(cx.arg(1), fresh, Op::Set { value: cx.arg(3), deadline: Deadline::At(deadline) });
    cx.reply.ok();
    Ok(())
}

pub(super) fn getset(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let old = cx.state.string(key)?;
    match old {
        Some(old) => cx.reply.bulk(old),
        None => cx.reply.null(),
    }
    let fresh = old.is_none();
    cx.out.emit(key, fresh, Op::Set { value: cx.arg(2), deadline: Deadline::Clear });
    Ok(())
}

pub(super) fn mset(cx: &mut Cx<'_, '_>) -> Outcome {
    if cx.argc().is_multiple_of(2) {
        return Err(errors::wrong_arity("mset").into());
    }
    set_pairs(cx, 1, cx.argc(), Deadline::Clear)?;
    cx.reply.ok();
    Ok(())
}

pub(super) fn msetnx(cx: &mut Cx<'_, '_>) -> Outcome {
    let argc = cx.argc();
    if argc.is_multiple_of(2) {
        return Err(errors::wrong_arity("msetnx").into());
    }
    let wanted = all_keys(cx, 1, argc, false)?;
    if wanted {
        set_pairs(cx, 1, argc, Deadline::Clear)?;
    }
    cx.reply.int(i64::from(wanted));
    Ok(())
}

pub(super) fn msetex(cx: &mut Cx<'_, '_>) -> Outcome {
    let pairs = parse::int(cx.arg(1)).ok().filter(|n| (1..=i64::from(i32::MAX)).contains(n));
    let pairs = pairs.ok_or(errors::INVALID_NUMKEYS)? as usize;
    let end = 2 + 2 * pairs;
    if end > cx.argc() {
        return Err(errors::WRONG_NUMBER_OF_PAIRS);
    }
    let options = Options::read(cx, end, true)?;
    let deadline = options.deadline(cx, "msetex")?;
    let wanted = match options.when {
        When::Absent => all_keys(cx, 2, end, false)?,
        When::Present => all_keys(cx, 2, end, true)?,
        When::Always | When::Value(..) => true,
    };
    if wanted {
        set_pairs(cx, 2, end, deadline)?;
    }
    cx.reply.int(i64::from(wanted));
    Ok(())
}

/// The keys of MSETEX: every other argument behind the count.
pub(super) fn msetex_keys(args: &resp::Args<'_>, found: &mut dyn FnMut(usize)) {
    let pairs = args.get(1).and_then(resp::parse_i64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let pairs = pairs.min(args.len().saturating_sub(2) / 2);
    (0..pairs).for_each(|i| found(2 + 2 * i));
}

/// Whether all keys among the pairs of `from..end` exist, or none does.
fn all_keys(cx: &Cx<'_, '_>, from: usize, end: usize, exist: bool) -> Result<bool, Stop> {
    for at in (from..end).step_by(2) {
        if cx.state.exists(cx.arg(at))? != exist {
            return Ok(false);
        }
    }
    Ok(true)
}

fn set_pairs(cx: &mut Cx<'_, '_>, from: usize, end: usize, deadline: Deadline) -> Outcome {
    for at in (from..end).step_by(2) {
        let fresh = !cx.state.exists(cx.arg(at))?;
        cx.out.emit(cx.arg(at), fresh, Op::Set { value: cx.arg(at + 1), deadline });
    }
    Ok(())
}
