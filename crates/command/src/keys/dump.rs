//! DUMP and RESTORE.

use ::rdb::Refused;
use effect::{Deadline, Op};
use engine::Stop;

use super::untouched;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::rdb;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "dump",
        arity: 2,
        flags: Flags::READONLY,
        keys: Keys::ONE,
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) where N is the number of bytes of the value",
        summary: "Returns a value in Redis' serialised form.",
        syntax: "key",
        run: Run::Data(dump),
    },
    Spec {
        name: "restore",
        arity: -4,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::DANGEROUS),
        keys: Keys::ONE,
        group: Group::Generic,
        since: "2.6.0",
        complexity: "O(N) where N is the number of bytes of the value",
        summary: "Makes a key from what DUMP returned, here or in Redis.",
        syntax: "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]",
        run: Run::Data(restore),
    },
];

fn dump(cx: &mut Cx<'_, '_>) -> Outcome {
    match cx.state.whole_entry(cx.arg(1))? {
        Some(entry) => {
            let mut payload = Vec::new();
            rdb::dump(entry, cx.state.now_ms(), &mut payload);
            cx.reply.bulk(&payload);
        }
        None => cx.reply.null(),
    }
    Ok(())
}

/// What the access clock of a restored key is set to.
#[derive(Clone, Copy)]
enum Used {
    /// Now, as that of any new key.
    Now,
    /// So many seconds ago.
    Idle(i64),
    /// This often: the counter of LFU.
    Often(u8),
}

struct Options {
    replace: bool,
    absolute: bool,
    used: Used,
}

impl Options {
    fn read(cx: &Cx<'_, '_>) -> Result<Self, Stop> {
        let mut options = Self { replace: false, absolute: false, used: Used::Now };
        let mut at = 4;
        while at < cx.argc() {
            let (option, more) = (cx.arg(at), at + 1 < cx.argc());
            if parse::is(option, "replace") {
                options.replace = true;
            } else if parse::is(option, "absttl") {
                options.absolute = true;
            } else if parse::is(option, "idletime") && more && !matches!(options.used, Used::Often(_)) {
                at += 1;
                let seconds = parse::int(cx.arg(at))?;
                options.used = Used::Idle(Some(seconds).filter(|s| *s >= 0).ok_or(errors::INVALID_IDLETIME)?);
            } else if parse::is(option, "freq") && more && !matches!(options.used, Used::Idle(_)) {
                at += 1;
                let counter = u8::try_from(parse::int(cx.arg(at))?);
                options.used = Used::Often(counter.map_err(|_| errors::INVALID_FREQ)?);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

fn restore(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let options = Options::read(cx)?;
    let taken = match options.replace {
        // What is about to go is not used by this.
        true => untouched(cx, |state| state.exists(key))?,
        false => cx.state.exists(key)?,
    };
    if taken && !options.replace {
        return Err(errors::BUSY_KEY);
    }
    let ttl = parse::int(cx.arg(2))?;
    if ttl < 0 {
        return Err(errors::INVALID_TTL);
    }
    let value = rdb::restore(cx.arg(3)).map_err(|refused| match refused {
        Refused::Footer => errors::DUMP_CHECKSUM,
        Refused::Body(_) => errors::BAD_DUMP,
    })?;
    let deadline = match ttl {
        0 => Deadline::Clear,
        _ if options.absolute => Deadline::At(ttl),
        _ => Deadline::At(ttl.saturating_add(cx.now_ms())),
    };
    let expired = matches!(deadline, Deadline::At(at) if at <= cx.now_ms());
    let origin = cx.out.origin();
    let mut folded = Vec::new();
    // A value whose time is over takes the place of the old one, and is gone itself.
    if !expired && value.fold(origin, &cx.out.list_start(), cx.now_ms(), &mut folded) {
        cx.out.emit(key, !taken, Op::Replace { value: engine::unfold(origin.0, &folded), deadline });
        set_clock(cx, key, options.used)?;
    } else if taken {
        cx.out.remove(key);
    }
    cx.reply.ok();
    Ok(())
}

/// Sets the access clock of the key that was just made, if the policy has the kind of clock that is meant.
fn set_clock(cx: &mut Cx<'_, '_>, key: &[u8], used: Used) -> Result<(), Stop> {
    let clock = match used {
        Used::Idle(seconds) if !cx.env.lfu => {
            let at = (cx.now_ms() / 1000).saturating_sub(seconds);
            // 0 would mean that the clock was never set.
            u32::try_from(at.max(1)).unwrap_or(u32::MAX)
        }
        Used::Often(counter) if cx.env.lfu => u32::from(counter),
        Used::Now | Used::Idle(_) | Used::Often(_) => return Ok(()),
    };
    cx.settle();
    let before = cx.state.set_touch(false);
    let found = cx.state.entry(key);
    cx.state.set_touch(before);
    if let Some(entry) = found? {
        entry.set_clock(clock);
    }
    Ok(())
}
