//! COMMAND, from the table of declarations.

use command::table::{self, CommandId};
use command::{Flags, Keys, Run, Spec, errors, parse};
use effect::glob;
use resp::{Args, Reply};

use super::Handlers;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, refuse};

/// The handlers of this family. COMMAND alone is the container itself, run by the front.
pub const HANDLERS: Handlers = &[
    ("command|count", count),
    ("command|docs", docs),
    ("command|info", info),
    ("command|list", list),
    ("command|getkeys", |_, session, args, turn| get_keys(session, &args, turn, false)),
    ("command|getkeysandflags", |_, session, args, turn| get_keys(session, &args, turn, true)),
    ("command|help", |room, session, _, turn| room.help(session, turn, "command")),
];

/// COMMAND without a subcommand: all commands.
pub fn all(session: &Session, turn: &mut Turn<'_>) -> Flow {
    let mut reply = session.reply(turn);
    reply.array(table::all().count());
    table::all().for_each(|spec| describe(&mut reply, spec, spec.name));
    Flow::Continue
}

/// The command or `container|subcommand` with this name, in any case.
fn find(name: &[u8]) -> Option<(&'static Spec, CommandId)> {
    match name.iter().position(|b| *b == b'|') {
        None => table::find_with_id(name),
        Some(bar) => {
            let sub = table::find_sub(table::find(&name[..bar])?, &name[bar + 1..])?;
            Some((sub, table::id_of(sub)))
        }
    }
}

/// The ten elements that describe a command.
fn describe(reply: &mut Reply<'_>, spec: &Spec, full_name: &str) {
    let (first, last, step) = positions(&spec.keys);
    reply.array(10);
    reply.bulk(full_name.as_bytes());
    reply.int(i64::from(spec.arity));
    words(reply, &flags(spec));
    reply.int(first);
    reply.int(last);
    reply.int(step);
    words(reply, &spec.categories());
    // Tips for proxies: there are none.
    reply.array(0);
    key_specs(reply, spec);
    let subs = spec.subcommands();
    reply.array(subs.len());
    subs.iter().for_each(|sub| describe(reply, sub, &format!("{}|{}", spec.name, sub.name)));
}

fn words(reply: &mut Reply<'_>, words: &[&str]) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

/// The names of the flags; keys that are counted or searched for make a command's keys movable.
fn flags(spec: &Spec) -> Vec<&'static str> {
    let movable = matches!(spec.keys, Keys::Counted { .. } | Keys::Found(_));
    if movable { spec.flags.and(Flags::MOVABLE_KEYS).names() } else { spec.flags.names() }
}

/// First key, last key and step, as far as positions alone say.
fn positions(keys: &Keys) -> (i64, i64, i64) {
    match *keys {
        Keys::Range { first, last, step } => (first as i64, last as i64, step as i64),
        Keys::Counted { dest, .. } if dest > 0 => (dest as i64, dest as i64, 1),
        Keys::None | Keys::All | Keys::Counted { .. } | Keys::Found(_) => (0, 0, 0),
    }
}

/// What a command does to its keys.
fn access(spec: &Spec) -> &'static [&'static str] {
    if spec.flags.has(Flags::WRITE) { &["RW", "ACCESS", "UPDATE"] } else { &["RO", "ACCESS"] }
}

/// How a client finds the keys.
fn key_specs(reply: &mut Reply<'_>, spec: &Spec) {
    let access = access(spec);
    match spec.keys {
        Keys::None | Keys::All => reply.array(0),
        Keys::Range { first, last, step } => {
            reply.array(1);
            // From the first key on; counted from the end it stays as it is.
            let last = if last < 0 { last as i64 } else { last as i64 - first as i64 };
            let find: Find<'_> = &[("lastkey", last), ("keystep", step as i64), ("limit", 0)];
            key_spec(reply, access, Some(first as i64), ("range", find));
        }
        Keys::Counted { at, dest } => {
            reply.array(if dest > 0 { 2 } else { 1 });
            if dest > 0 {
                let find: Find<'_> = &[("lastkey", 0), ("keystep", 1), ("limit", 0)];
                key_spec(reply, &["OW", "UPDATE"], Some(dest as i64), ("range", find));
            }
            let access = if dest > 0 { &["RO", "ACCESS"] } else { access };
            let find: Find<'_> = &[("keynumidx", 0), ("firstkey", 1), ("keystep", 1)];
            key_spec(reply, access, Some(at as i64), ("keynum", find));
        }
        Keys::Found(_) => {
            reply.array(1);
            let mut access = access.to_vec();
            access.push("incomplete");
            key_spec(reply, &access, None, ("unknown", &[]));
        }
    }
}

type Find<'a> = &'a [(&'a str, i64)];

fn key_spec(reply: &mut Reply<'_>, access: &[&str], begin: Option<i64>, (kind, find): (&str, Find<'_>)) {
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
    words(reply, access);
    match begin {
        Some(index) => part(reply, "begin_search", "index", &[("index", index)]),
        None => part(reply, "begin_search", "unknown", &[]),
    }
    part(reply, "find_keys", kind, find);
}

fn count(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).int(table::all().count() as i64);
    Flow::Continue
}

fn info(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if args.len() == 2 {
        return all(session, turn);
    }
    let mut reply = session.reply(turn);
    reply.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match find(name) {
            Some((spec, id)) => describe(&mut reply, spec, &table::full_name(id)),
            None => reply.null_array(),
        }
    }
    Flow::Continue
}

/// DIFFERENCE: the arguments are not described one by one; `syntax` holds them as the docs write them.
fn docs(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let chosen: Vec<(&'static Spec, String)> = match args.len() {
        2 => table::all().map(|spec| (spec, spec.name.to_owned())).collect(),
        _ => {
            let found = args.iter().skip(2).filter_map(find);
            found.map(|(spec, id)| (spec, table::full_name(id))).collect()
        }
    };
    let mut reply = session.reply(turn);
    reply.map(chosen.len());
    for (spec, name) in &chosen {
        reply.bulk(name.as_bytes());
        document(&mut reply, spec);
    }
    Flow::Continue
}

fn document(reply: &mut Reply<'_>, spec: &Spec) {
    let texts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
        ("syntax", spec.syntax),
    ];
    let texts = texts.iter().filter(|(_, text)| !text.is_empty());
    let subs = spec.subcommands();
    reply.map(texts.clone().count() + usize::from(!subs.is_empty()));
    for (name, text) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if !subs.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subs.len());
        for sub in subs {
            reply.bulk(format!("{}|{}", spec.name, sub.name).as_bytes());
            document(reply, sub);
        }
    }
}

fn list(_: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let names = match args.len() {
        2 => names(|_, _| true),
        5 if parse::is(&args[2], "FILTERBY") => {
            let by = &args[4];
            match () {
                // There are no modules.
                () if parse::is(&args[3], "MODULE") => Vec::new(),
                () if parse::is(&args[3], "ACLCAT") => {
                    let category = [b"@", by].concat();
                    names(|spec, _| spec.categories().iter().any(|c| category.eq_ignore_ascii_case(c.as_bytes())))
                }
                () if parse::is(&args[3], "PATTERN") => {
                    names(|_, name| glob::matches_ignoring_case(by, name.as_bytes()))
                }
                () => return refuse(session, turn, errors::SYNTAX_TEXT),
            }
        }
        _ => return refuse(session, turn, errors::SYNTAX_TEXT),
    };
    let mut reply = session.reply(turn);
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Flow::Continue
}

/// Full names of the commands and subcommands that `choose` takes.
fn names(choose: impl Fn(&Spec, &str) -> bool) -> Vec<String> {
    let all = table::ids().map(|id| (table::spec(id), table::full_name(id)));
    all.filter(|(spec, name)| choose(spec, name)).map(|(_, name)| name).collect()
}

fn get_keys(session: &Session, args: &Args<'_>, turn: &mut Turn<'_>, with_flags: bool) -> Flow {
    let given = args.tail(2);
    let mut found = table::find(&given[0]);
    if let Some(container @ Spec { run: Run::Container(_), .. }) = found {
        found = given.get(1).and_then(|name| table::find_sub(container, name));
    }
    let Some(spec) = found else { return refuse(session, turn, "ERR Invalid command specified") };
    if matches!(spec.keys, Keys::None | Keys::All) {
        return refuse(session, turn, "ERR The command has no key arguments");
    }
    if !spec.takes(given.len()) {
        return refuse(session, turn, "ERR Invalid number of arguments specified for command");
    }
    let mut keys = Vec::new();
    spec.keys.each(&given, |at| keys.push(at));
    if keys.is_empty() {
        return refuse(session, turn, "ERR Invalid arguments specified for command");
    }
    let mut reply = session.reply(turn);
    reply.array(keys.len());
    for at in keys {
        if with_flags {
            reply.array(2);
        }
        reply.bulk(&given[at]);
        if with_flags {
            words(&mut reply, access(spec));
        }
    }
    Flow::Continue
}
