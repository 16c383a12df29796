//! Deadlines: EXPIRE and its kin, TTL and its kin, PERSIST.

use effect::Op;
use engine::Stop;

use super::untouched;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// A command that gives a key a deadline.
const fn setter(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
    run: fn(&mut Cx<'_, '_>) -> Outcome,
) -> Spec {
    let flags = Flags::WRITE.and(Flags::FAST);
    let (arity, keys, group, complexity) = (-3, Keys::ONE, Group::Generic, "O(1)");
    Spec { name, arity, flags, keys, group, since, complexity, summary, syntax, run: Run::Data(run) }
}

/// A command that asks for a key's deadline.
const fn getter(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    run: fn(&mut Cx<'_, '_>) -> Outcome,
) -> Spec {
    let flags = Flags::READONLY.and(Flags::FAST);
    let (arity, keys, group, complexity) = (2, Keys::ONE, Group::Generic, "O(1)");
    Spec { name, arity, flags, keys, group, since, complexity, summary, syntax: "key", run: Run::Data(run) }
}

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    setter("expire", "1.0.0", "Lets a key live for so many seconds.", "key seconds [NX | XX | GT | LT]", |cx| {
        expire(cx, "expire", SECOND_MS, cx.now_ms())
    }),
    setter(
        "pexpire",
        "2.6.0",
        "Lets a key live for so many milliseconds.",
        "key milliseconds [NX | XX | GT | LT]",
        |cx| expire(cx, "pexpire", 1, cx.now_ms()),
    ),
    setter(
        "expireat",
        "1.2.0",
        "Lets a key live until a unix time in seconds.",
        "key unix-time-seconds [NX | XX | GT | LT]",
        |cx| expire(cx, "expireat", SECOND_MS, 0),
    ),
    setter(
        "pexpireat",
        "2.6.0",
        "Lets a key live until a unix time in milliseconds.",
        "key unix-time-milliseconds [NX | XX | GT | LT]",
        |cx| expire(cx, "pexpireat", 1, 0),
    ),
    getter("ttl", "1.0.0", "Returns how many seconds a key has left.", |cx| {
        tell(cx, |deadline, now_ms| rounded_seconds((deadline - now_ms).max(0)))
    }),
    getter("pttl", "2.6.0", "Returns how many milliseconds a key has left.", |cx| {
        tell(cx, |deadline, now_ms| (deadline - now_ms).max(0))
    }),
    getter("expiretime", "7.0.0", "Returns the unix time in seconds at which a key expires.", |cx| {
        tell(cx, |deadline, _| rounded_seconds(deadline))
    }),
    getter("pexpiretime", "7.0.0", "Returns the unix time in milliseconds at which a key expires.", |cx| {
        tell(cx, |deadline, _| deadline)
    }),
    Spec {
        name: "persist",
        arity: 2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::ONE,
        group: Group::Generic,
        since: "2.2.0",
        complexity: "O(1)",
        summary: "Takes a key's deadline away.",
        syntax: "key",
        run: Run::Data(persist),
    },
];

const SECOND_MS: i64 = 1000;

fn rounded_seconds(ms: i64) -> i64 {
    ms.saturating_add(SECOND_MS / 2) / SECOND_MS
}

/// Under which condition a deadline is set.
#[derive(Default)]
struct Conditions {
    /// Only if there is none.
    nx: bool,
    /// Only if there is one.
    xx: bool,
    /// Only if it is later than the one there is; none counts as never.
    gt: bool,
    /// Only if it is earlier.
    lt: bool,
}

impl Conditions {
    fn read<'a>(options: impl Iterator<Item = &'a [u8]>) -> Result<Self, Stop> {
        let mut read = Self::default();
        for option in options {
            let condition = match option {
                o if parse::is(o, "nx") => &mut read.nx,
                o if parse::is(o, "xx") => &mut read.xx,
                o if parse::is(o, "gt") => &mut read.gt,
                o if parse::is(o, "lt") => &mut read.lt,
                _ => return Err(errors::unsupported_option(option)),
            };
            *condition = true;
        }
        if read.nx && (read.xx || read.gt || read.lt) {
            return Err(errors::NX_WITH_OTHERS);
        }
        if read.gt && read.lt {
            return Err(errors::GT_WITH_LT);
        }
        Ok(read)
    }

    fn hold(&self, old: Option<i64>, new: i64) -> bool {
        let refused = self.nx && old.is_some()
            || self.xx && old.is_none()
            || self.gt && old.is_none_or(|old| new <= old)
            || self.lt && old.is_some_and(|old| new >= old);
        !refused
    }
}

/// Sets the deadline of argument 1 to argument 2, in units of `unit_ms` from `base_ms` on.
fn expire(cx: &mut Cx<'_, '_>, name: &str, unit_ms: i64, base_ms: i64) -> Outcome {
    let key = cx.arg(1);
    let conditions = Conditions::read(cx.args.iter().skip(3))?;
    let amount = parse::int(cx.arg(2))?;
    let deadline = amount.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    let deadline = deadline.ok_or_else(|| errors::invalid_expire(name))?;
    let set = match cx.state.deadline(key)? {
        Some(old) => conditions.hold(old, deadline),
        None => false,
    };
    if set && deadline <= cx.now_ms() {
        cx.out.remove(key);
    } else if set {
        cx.out.emit(key, false, Op::Expire(Some(deadline)));
    }
    cx.reply.int(i64::from(set));
    Ok(())
}

/// Answers what `say` makes of the deadline and now; -1 if there is no deadline, -2 if there is no key.
fn tell(cx: &mut Cx<'_, '_>, say: fn(i64, i64) -> i64) -> Outcome {
    let key = cx.arg(1);
    let answer = match untouched(cx, |state| state.deadline(key))? {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => say(deadline, cx.now_ms()),
    };
    cx.reply.int(answer);
    Ok(())
}

fn persist(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let has = cx.state.deadline(key)?.flatten().is_some();
    if has {
        cx.out.emit(key, false, Op::Expire(None));
    }
    cx.reply.int(i64::from(has));
    Ok(())
}
