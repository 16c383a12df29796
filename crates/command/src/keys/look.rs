//! What a value is made of: OBJECT and MEMORY USAGE.

use engine::Entry;

use super::untouched;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[Spec {
    name: "object",
    arity: -2,
    flags: Flags::NONE,
    keys: Keys::None,
    group: Group::Generic,
    since: "2.2.3",
    complexity: "Depends on the subcommand",
    summary: "A container for commands that look at values from within.",
    syntax: "subcommand [argument [argument ...]]",
    run: Run::Container(OBJECT),
}];

/// The key of a subcommand.
const KEY: Keys = Keys::Range { first: 2, last: 2, step: 1 };

const fn about_key(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    run: fn(&mut Cx<'_, '_>) -> Outcome,
) -> Spec {
    let (arity, flags, group, complexity) = (3, Flags::READONLY, Group::Generic, "O(1)");
    Spec { name, arity, flags, keys: KEY, group, since, complexity, summary, syntax: "key", run: Run::Data(run) }
}

const OBJECT: &[Spec] = &[
    about_key("encoding", "2.2.3", "Returns the form in which a value is kept.", encoding),
    about_key("freq", "4.0.0", "Returns how often a key is used, on a logarithmic scale.", freq),
    about_key("idletime", "2.2.3", "Returns for how many seconds a key has not been used.", idletime),
    about_key("refcount", "2.2.3", "Returns how many references a value has.", refcount),
    Spec {
        name: "help",
        arity: 2,
        flags: Flags::LOADING.and(Flags::STALE),
        keys: Keys::None,
        group: Group::Generic,
        since: "6.2.0",
        complexity: "O(1)",
        summary: "Returns help on the subcommands.",
        syntax: "",
        run: Run::Data(help),
    },
];

/// MEMORY USAGE, for the container of that name.
pub const MEMORY_USAGE: Spec = Spec {
    name: "usage",
    arity: -3,
    flags: Flags::READONLY,
    keys: KEY,
    group: Group::Server,
    since: "4.0.0",
    complexity: "O(1)",
    summary: "Returns how many bytes a key takes, with its value.",
    syntax: "key [SAMPLES count]",
    run: Run::Data(memory_usage),
};

/// Answers what `say` finds in the entry at argument 2; a null if there is none.
fn about(cx: &mut Cx<'_, '_>, say: impl FnOnce(&mut resp::Reply<'_>, &Entry, i64)) -> Outcome {
    let key = cx.arg(2);
    let now_ms = cx.now_ms();
    let before = cx.state.set_touch(false);
    let found = cx.state.entry(key);
    cx.state.set_touch(before);
    match found? {
        Some(entry) => say(&mut cx.reply, entry, now_ms),
        None => cx.reply.null(),
    }
    Ok(())
}

fn encoding(cx: &mut Cx<'_, '_>) -> Outcome {
    about(cx, |reply, entry, _| reply.bulk(entry.encoding().as_str().as_bytes()))
}

/// DIFFERENCE: values are not shared, so this is 1 also for the small integers of which Redis keeps one copy for all.
fn refcount(cx: &mut Cx<'_, '_>) -> Outcome {
    about(cx, |reply, _, _| reply.int(1))
}

fn idletime(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(2);
    if cx.env.lfu && untouched(cx, |state| state.exists(key))? {
        return Err(errors::NO_IDLE_TIME);
    }
    about(cx, |reply, entry, now_ms| reply.int(i64::from(entry.idle_seconds((now_ms / 1000) as u32))))
}

/// While frequencies are kept the access clock is one: its lowest byte is the logarithmic counter.
fn freq(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(2);
    if !cx.env.lfu && untouched(cx, |state| state.exists(key))? {
        return Err(errors::NO_FREQUENCY);
    }
    about(cx, |reply, entry, _| reply.int(i64::from(entry.clock() & 0xff)))
}

fn help(cx: &mut Cx<'_, '_>) -> Outcome {
    const LINES: [&str; 12] = [
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    The form in which the value is kept.",
        "FREQ <key>",
        "    How often the key is used, on a logarithmic scale; needs an LFU maxmemory-policy.",
        "IDLETIME <key>",
        "    Seconds since the key was used last; needs a maxmemory-policy that is not LFU.",
        "REFCOUNT <key>",
        "    References to the value.",
        "HELP",
        "    This text.",
        "",
    ];
    let lines = LINES.iter().filter(|line| !line.is_empty());
    cx.reply.array(lines.clone().count());
    lines.for_each(|line| cx.reply.simple(line));
    Ok(())
}

fn memory_usage(cx: &mut Cx<'_, '_>) -> Outcome {
    // How many elements to sample is checked and not needed: sizes are known exactly.
    for at in (3..cx.argc()).step_by(2) {
        let count = cx.args.get(at + 1).filter(|_| parse::is(cx.arg(at), "samples")).ok_or(errors::SYNTAX)?;
        if parse::int(count)? < 0 {
            return Err(errors::SYNTAX);
        }
    }
    about(cx, |reply, entry, _| reply.int(entry.memory_bytes() as i64))
}
