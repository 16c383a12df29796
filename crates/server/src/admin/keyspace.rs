//! KEYSPACE, and the section of INFO about keyspaces.

use effect::{DEFAULT_KEYSPACE, GroupKeyspace, Mode};
use engine::{GroupKeyspaceChange, KeyspaceChange, KeyspaceError, KeyspaceFigures};
use resp::Args;
use wal::Position;

use super::Handlers;
use super::info::Lines;
use crate::config::parse_bytes;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, ok, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("keyspace|set", set),
    ("keyspace|get", get),
    ("keyspace|list", list),
    ("keyspace|del", del),
    ("keyspace|undone", super::undone::undone),
    ("keyspace|help", |room, session, _, turn| room.help(session, turn, "keyspace")),
];

fn name_of(args: &Args<'_>) -> String {
    String::from_utf8_lossy(args.get(2).unwrap_or_default()).into_owned()
}

/// What the options say; the error is the reply's text.
fn read_change(args: &Args<'_>) -> Result<(KeyspaceChange, Option<bool>), String> {
    let (mut change, mut is_unsafe) = (KeyspaceChange::default(), None);
    let mut at = 3;
    while let Some(option) = args.get(at) {
        let name = String::from_utf8_lossy(option).to_ascii_uppercase();
        if !["MATCH", "MODE", "MAXMEMORY", "MAXDISK", "FSYNC", "SAFETY"].contains(&name.as_str()) {
            return Err(format!("ERR unknown option '{}'; see KEYSPACE HELP", option.escape_ascii()));
        }
        let Some(value) = args.get(at + 1) else { return Err(format!("ERR {name} needs a value")) };
        let bytes = || parse_bytes(value).ok_or_else(|| format!("ERR {name} must be a memory value, like 256mb"));
        let given = match name.as_str() {
            "MATCH" => {
                change.patterns.get_or_insert_default().push(value.to_vec());
                false
            }
            "MODE" => change.mode.replace(mode(value)?).is_some(),
            "MAXMEMORY" => change.ram_bytes.replace(bytes()?).is_some(),
            "SAFETY" => is_unsafe.replace(safety_of(value)?).is_some(),
            "MAXDISK" => change.disk_bytes.replace(bytes()?).is_some(),
            _ => change.fsync.replace(yes_or_no(value)?).is_some(),
        };
        if given {
            return Err(format!("ERR {name} is given twice"));
        }
        at += 2;
    }
    Ok((change, is_unsafe))
}

/// Whether it says unsafe.
fn safety_of(text: &[u8]) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_slice() {
        b"safe" => Ok(false),
        b"unsafe" => Ok(true),
        _ => Err("ERR SAFETY takes safe or unsafe".into()),
    }
}

fn mode(text: &[u8]) -> Result<Mode, String> {
    let known = [Mode::Cache, Mode::Causal].into_iter().find(|mode| mode.name().as_bytes().eq_ignore_ascii_case(text));
    known.ok_or_else(|| format!("ERR unknown mode '{}'; MODE takes cache", text.escape_ascii()))
}

fn yes_or_no(text: &[u8]) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_slice() {
        b"yes" => Ok(true),
        b"no" => Ok(false),
        _ => Err("ERR FSYNC takes yes or no".into()),
    }
}

/// What no other node of the group would have.
const IN_A_GROUP: &str =
    "ERR on a node of a cluster a keyspace has MATCH and SAFETY only: the rest is no matter of all nodes";

/// Without other nodes no transaction is undone.
const ALONE: &str = "ERR SAFETY can be chosen on nodes of a cluster only: alone, every transaction is safe";

fn set(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let (change, is_unsafe) = match read_change(&args) {
        Ok(change) => change,
        Err(text) => return refuse(session, turn, text),
    };
    let (engine, name) = (&room.node.engine, name_of(&args));
    let changed = if room.node.member().is_some() {
        let KeyspaceChange { patterns, .. } = change.clone();
        if change != (KeyspaceChange { patterns: patterns.clone(), ..KeyspaceChange::default() }) {
            return refuse(session, turn, IN_A_GROUP);
        }
        engine.define_group_keyspace(&name, &GroupKeyspaceChange { patterns, is_unsafe }).map(Some)
    } else if is_unsafe.is_some() {
        return refuse(session, turn, ALONE);
    } else {
        engine.define_keyspace(&name, &change).map(|()| None)
    };
    answer(session, turn, changed)
}

/// WAIT is about a group's definition as about any write.
fn answer(session: &mut Session, turn: &mut Turn<'_>, changed: Result<Option<Position>, KeyspaceError>) -> Flow {
    match changed {
        Ok(position) => {
            if let Some(position) = position {
                (session.last_write, session.is_led_write) = (position, false);
            }
            ok(session, turn)
        }
        Err(error) => refuse(session, turn, text_of(&error)),
    }
}

fn del(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let (engine, name) = (&room.node.engine, name_of(&args));
    let changed = match room.node.member() {
        Some(_) => engine.delete_group_keyspace(&name).map(Some),
        None => engine.delete_keyspace(&name).map(|()| None),
    };
    answer(session, turn, changed)
}

/// What the log refuses has its RESP error already.
fn text_of(error: &KeyspaceError) -> String {
    match error {
        KeyspaceError::Refused(refusal) => refusal.to_string(),
        other => format!("ERR {other}"),
    }
}

fn list(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if room.node.member().is_some() {
        let all = room.node.engine.group_keyspaces();
        let mut reply = session.reply(turn);
        reply.array(all.len());
        all.iter().for_each(|keyspace| reply.bulk(keyspace.name.as_bytes()));
        return Flow::Continue;
    }
    let all = room.node.engine.keyspaces();
    let mut reply = session.reply(turn);
    reply.array(all.len() + 1);
    all.iter().for_each(|figures| reply.bulk(figures.definition.name.as_bytes()));
    reply.bulk(DEFAULT_KEYSPACE.as_bytes());
    Flow::Continue
}

fn get(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let name = name_of(&args);
    if room.node.member().is_some() {
        let all = room.node.engine.group_keyspaces();
        return match all.iter().find(|keyspace| keyspace.name == name) {
            Some(keyspace) => get_group(session, turn, keyspace),
            None => refuse(session, turn, text_of(&KeyspaceError::Unknown)),
        };
    }
    let all = room.node.engine.keyspaces();
    if name == DEFAULT_KEYSPACE {
        let mut reply = session.reply(turn);
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(DEFAULT_KEYSPACE.as_bytes());
        reply.bulk(b"id");
        reply.int(0);
        reply.bulk(b"mode");
        reply.bulk(Mode::Causal.name().as_bytes());
        reply.bulk(b"match");
        reply.array(1);
        reply.bulk(b"*");
        return Flow::Continue;
    }
    let Some(figures) = all.iter().find(|figures| figures.definition.name == name) else {
        return refuse(session, turn, text_of(&KeyspaceError::Unknown));
    };
    let definition = &figures.definition;
    let numbers = numbers(figures);
    let mut reply = session.reply(turn);
    reply.map(6 + numbers.len());
    for (field, text) in [
        ("name", definition.name.as_str()),
        ("mode", definition.mode.name()),
        ("fsync", if definition.fsync { "yes" } else { "no" }),
        ("state", state(figures)),
    ] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    reply.bulk(b"id");
    reply.int(i64::from(definition.id.0));
    reply.bulk(b"match");
    reply.array(definition.patterns.len());
    definition.patterns.iter().for_each(|pattern| reply.bulk(pattern));
    for (field, number) in numbers {
        reply.bulk(field.as_bytes());
        reply.int(i64::try_from(number).unwrap_or(i64::MAX));
    }
    Flow::Continue
}

/// A keyspace of a group.
fn get_group(session: &mut Session, turn: &mut Turn<'_>, keyspace: &GroupKeyspace) -> Flow {
    let safety = if keyspace.is_unsafe { "unsafe" } else { "safe" };
    let mut reply = session.reply(turn);
    reply.map(4);
    for (field, text) in [("name", &*keyspace.name), ("mode", Mode::Causal.name()), ("safety", safety)] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    reply.bulk(b"match");
    let is_rest = keyspace.name == DEFAULT_KEYSPACE;
    reply.array(keyspace.patterns.len() + usize::from(is_rest));
    keyspace.patterns.iter().for_each(|pattern| reply.bulk(pattern));
    if is_rest {
        reply.bulk(b"*");
    }
    Flow::Continue
}

/// What state a keyspace is in.
fn state(figures: &KeyspaceFigures) -> &'static str {
    match figures {
        KeyspaceFigures { definition, .. } if definition.leaving => "leaving",
        KeyspaceFigures { disk_trouble: Some(_), .. } => "disk_failed",
        KeyspaceFigures { moving: true, .. } => "moving",
        _ => "ok",
    }
}

fn numbers(figures: &KeyspaceFigures) -> [(&'static str, u64); 12] {
    [
        ("keys", figures.keys),
        ("keys_on_disk", figures.keys_at_rest),
        ("ram_bytes", figures.ram_bytes),
        ("maxmemory", figures.definition.ram_bytes),
        ("disk_bytes", figures.disk_bytes),
        ("disk_bytes_peak", figures.disk_bytes_peak),
        ("maxdisk", figures.definition.disk_bytes),
        // A value that was loaded is looked up once more.
        ("hits_ram", figures.hits.saturating_sub(figures.disk_hits)),
        ("hits_disk", figures.disk_hits),
        ("misses", figures.misses),
        ("demotions", figures.demotions),
        ("evictions", figures.evictions),
    ]
}

/// A line for each keyspace beside `default`.
pub fn section(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    for figures in room.node.engine.keyspaces() {
        let numbers = numbers(&figures).map(|(field, number)| format!("{field}={number}"));
        let (name, mode) = (&figures.definition.name, figures.definition.mode.name());
        let numbers = numbers.join(",");
        lines.add(&format!("keyspace_{name}"), format!("mode={mode},state={},{numbers}", state(&figures)));
        if let Some(trouble) = &figures.disk_trouble {
            lines.add(&format!("keyspace_{name}_disk_error"), trouble.replace(['\r', '\n'], " "));
        }
    }
}
