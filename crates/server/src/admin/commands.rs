//! COMMAND, from the table of declarations.

use command::syntax::{self, Argument, ArgumentType};
use command::table::{self, CommandId};
use command::{Flags, Keys, Run, Spec, errors, parse};
use effect::glob;
use resp::{Args, Reply};

use super::tips::tips;
use super::{Handlers, key_specs};
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, refuse};

/// The handlers of this family. COMMAND alone is the container itself, run by the front.
pub const HANDLERS: Handlers = &[
    ("command|count", count),
    ("command|docs", docs),
    ("command|info", info),
    ("command|list", list),
    ("command|getkeys", |room, session, args, turn| get_keys(room, session, &args, turn, false)),
    ("command|getkeysandflags", |room, session, args, turn| get_keys(room, session, &args, turn, true)),
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
fn find(room: &Room, name: &[u8]) -> Option<(&'static Spec, CommandId)> {
    match name.iter().position(|b| *b == b'|') {
        None => room.find(name),
        Some(bar) => {
            let sub = table::find_sub(room.find(&name[..bar])?.0, &name[bar + 1..])?;
            Some((sub, table::id_of(sub)))
        }
    }
}

/// The ten elements that describe a command.
fn describe(reply: &mut Reply<'_>, spec: &Spec, full_name: &str) {
    let (first, last, step) = key_specs::positions(spec);
    reply.array(10);
    reply.bulk(full_name.as_bytes());
    reply.int(i64::from(spec.arity));
    words(reply, &flags(spec, full_name));
    reply.int(first);
    reply.int(last);
    reply.int(step);
    words(reply, &categories(spec, full_name));
    words(reply, tips(full_name));
    key_specs::write(reply, spec);
    let subs = spec.subcommands();
    reply.array(subs.len());
    subs.iter().for_each(|sub| describe(reply, sub, &format!("{}|{}", spec.name, sub.name)));
}

pub(super) fn words(reply: &mut Reply<'_>, words: &[&str]) {
    reply.set(words.len());
    words.iter().for_each(|word| reply.simple(word));
}

/// The names of the flags; keys that are counted or searched for make a command's keys movable.
fn flags(spec: &Spec, full_name: &str) -> Vec<&'static str> {
    let movable = matches!(spec.keys, Keys::Counted { .. } | Keys::Found(_));
    let mut names = if movable { spec.flags.and(Flags::MOVABLE_KEYS).names() } else { spec.flags.names() };
    match full_name {
        // Nothing here is ever busy with a script, or loads while it serves; what Redis would do then is a part of what
        // clients may read.
        "auth" | "discard" | "hello" | "multi" | "quit" | "reset" | "shutdown" | "unwatch" | "watch" => {
            names.push("allow_busy");
        }
        "bgrewriteaof" | "bgsave" | "cluster|forget" | "cluster|meet" | "replicaof" | "save" | "slaveof" => {
            names.push("no_async_loading");
        }
        // To ACLs they are administration, though clients need not treat them so.
        "lastsave" | "role" => names.retain(|name| *name != "admin"),
        // Monitors do see it.
        "exec" => names.iter_mut().filter(|name| **name == "skip_monitor").for_each(|name| *name = "skip_slowlog"),
        _ => {}
    }
    names
}

/// The categories of the ACL. Containers and helps belong to no family, unlike what they contain.
fn categories(spec: &Spec, full_name: &str) -> Vec<&'static str> {
    let mut names = spec.categories();
    if full_name == "command" || full_name.starts_with("command|") {
        names.insert(0, "@connection");
    } else if matches!(full_name, "wait" | "waitaof") {
        names.iter_mut().filter(|name| **name == "@keyspace").for_each(|name| *name = "@connection");
    } else if !spec.subcommands().is_empty() || full_name.ends_with("|help") && !full_name.starts_with("client|") {
        names.retain(|name| matches!(*name, "@slow" | "@fast") || *name == "@keyspace" && full_name != "object");
    } else if spec.flags.has(Flags::ADMIN) && !names.contains(&"@admin") {
        names.insert(0, "@admin");
    }
    names
}

fn count(_: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    session.reply(turn).int(table::all().count() as i64);
    Flow::Continue
}

fn info(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if args.len() == 2 {
        return all(session, turn);
    }
    let mut reply = session.reply(turn);
    reply.array(args.len() - 2);
    for name in args.iter().skip(2) {
        match find(room, name) {
            Some((spec, id)) => describe(&mut reply, spec, &table::full_name(id)),
            None => reply.null(),
        }
    }
    Flow::Continue
}

/// DIFFERENCE: groups of arguments have the names of their parts; `syntax` holds all of them as the docs write them.
fn docs(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let chosen: Vec<(&'static Spec, String)> = match args.len() {
        2 => table::all().map(|spec| (spec, spec.name.to_owned())).collect(),
        _ => {
            let found = args.iter().skip(2).filter_map(|name| find(room, name));
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
    let (subs, arguments) = (spec.subcommands(), syntax::arguments(spec.syntax));
    let described = subs.is_empty() && !arguments.is_empty();
    reply.map(texts.clone().count() + usize::from(!subs.is_empty()) + usize::from(described));
    for (name, text) in texts {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
    if described {
        reply.bulk(b"arguments");
        let mut numbers = 0..key_specs::count(spec);
        describe_arguments(reply, &arguments, &mut numbers);
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

/// `numbers` are those of the key specifications that are left: the keys have them in turn, and the last one has the rest. A
/// key behind a word of its own, where something is stored, has the last one.
fn describe_arguments(reply: &mut Reply<'_>, arguments: &[Argument], numbers: &mut std::ops::Range<usize>) {
    reply.array(arguments.len());
    for argument in arguments {
        let is_key = argument.kind == ArgumentType::Key;
        let flags = [
            ("optional", argument.optional),
            ("multiple", argument.multiple),
            ("multiple_token", argument.multiple_token),
        ];
        let flags: Vec<&str> = flags.into_iter().filter(|(_, is_so)| *is_so).map(|(name, _)| name).collect();
        let has = [is_key, argument.token.is_some(), !flags.is_empty(), !argument.parts.is_empty()];
        reply.map(2 + has.into_iter().filter(|has| *has).count());
        reply.bulk(b"name");
        reply.bulk(argument.name.as_bytes());
        reply.bulk(b"type");
        reply.bulk(argument.kind.name().as_bytes());
        if is_key {
            reply.bulk(b"key_spec_index");
            let last = numbers.end.saturating_sub(1);
            let number = if argument.token.is_some() { last } else { numbers.next().unwrap_or(last) };
            reply.int(number as i64);
        }
        if let Some(token) = argument.token {
            reply.bulk(b"token");
            reply.bulk(token.as_bytes());
        }
        if !flags.is_empty() {
            reply.bulk(b"flags");
            words(reply, &flags);
        }
        if !argument.parts.is_empty() {
            reply.bulk(b"arguments");
            describe_arguments(reply, &argument.parts, numbers);
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
                    names(|spec, name| {
                        categories(spec, name).iter().any(|c| category.eq_ignore_ascii_case(c.as_bytes()))
                    })
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

fn get_keys(room: &Room, session: &Session, args: &Args<'_>, turn: &mut Turn<'_>, with_flags: bool) -> Flow {
    let given = args.tail(2);
    let mut found = room.find(&given[0]).map(|(spec, _)| spec);
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
    if keys.is_empty() || !counts_right(&spec.keys, &given) {
        return refuse(session, turn, "ERR Invalid arguments specified for command");
    }
    let mut reply = session.reply(turn);
    reply.array(keys.len());
    let (first_access, others) = key_specs::access_with(spec, &given);
    for (number, at) in keys.into_iter().enumerate() {
        if with_flags {
            reply.array(2);
        }
        reply.bulk(&given[at]);
        if with_flags {
            words(&mut reply, others.filter(|_| number > 0).unwrap_or(first_access));
        }
    }
    Flow::Continue
}

/// Whether the arguments hold as many keys as they say.
fn counts_right(keys: &Keys, given: &Args<'_>) -> bool {
    let Keys::Counted { at, .. } = *keys else { return true };
    let count = given.get(at).and_then(resp::parse_i64).and_then(|count| usize::try_from(count).ok());
    count.is_some_and(|count| (1..given.len() - at).contains(&count))
}
