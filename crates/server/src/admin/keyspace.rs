//! KEYSPACE, and the section of INFO about keyspaces.

use effect::Mode;
use engine::{KeyspaceChange, KeyspaceFigures};
use replication::{Safety, SafetyError, SafetyRule};
use resp::Args;

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

/// The keyspace of whatever no other one matches.
const DEFAULT: &str = "default";

fn name_of(args: &Args<'_>) -> String {
    String::from_utf8_lossy(args.get(2).unwrap_or_default()).into_owned()
}

/// What the options say; the error is the reply's text.
fn read_change(args: &Args<'_>) -> Result<(KeyspaceChange, Option<Safety>), String> {
    let (mut change, mut safety) = (KeyspaceChange::default(), None);
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
            "SAFETY" => safety.replace(safety_of(value)?).is_some(),
            "MAXDISK" => change.disk_bytes.replace(bytes()?).is_some(),
            _ => change.fsync.replace(yes_or_no(value)?).is_some(),
        };
        if given {
            return Err(format!("ERR {name} is given twice"));
        }
        at += 2;
    }
    Ok((change, safety))
}

fn safety_of(text: &[u8]) -> Result<Safety, String> {
    match text.to_ascii_lowercase().as_slice() {
        b"safe" => Ok(Safety::Safe),
        b"unsafe" => Ok(Safety::Unsafe),
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

/// Definitions that other nodes of the group would not know.
const IN_A_GROUP: &str =
    "ERR on a node of a cluster a keyspace has MATCH and SAFETY only: its other nodes would not know of the rest";

/// Without other nodes no transaction is undone.
const ALONE: &str = "ERR SAFETY can be chosen on nodes of a cluster only: alone, every transaction is safe";

fn set(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let (change, safety) = match read_change(&args) {
        Ok(change) => change,
        Err(text) => return refuse(session, turn, text),
    };
    if let Some(member) = room.node.member() {
        let KeyspaceChange { patterns, .. } = change.clone();
        if change != (KeyspaceChange { patterns: patterns.clone(), ..KeyspaceChange::default() }) {
            return refuse(session, turn, IN_A_GROUP);
        }
        let set = member.safety().set(&name_of(&args), patterns, safety);
        return safety_changed(session, turn, set);
    }
    if safety.is_some() {
        return refuse(session, turn, ALONE);
    }
    match room.node.engine.define_keyspace(&name_of(&args), &change) {
        Ok(()) => ok(session, turn),
        Err(error) => refuse(session, turn, text_of(&error)),
    }
}

fn safety_changed(session: &mut Session, turn: &mut Turn<'_>, changed: Result<(), SafetyError>) -> Flow {
    match changed {
        Ok(()) => ok(session, turn),
        Err(error) => refuse(session, turn, format!("ERR {error}")),
    }
}

fn del(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if let Some(member) = room.node.member() {
        let removed = member.safety().remove(&name_of(&args));
        return safety_changed(session, turn, removed);
    }
    match room.node.engine.delete_keyspace(&name_of(&args)) {
        Ok(()) => ok(session, turn),
        Err(error) => refuse(session, turn, text_of(&error)),
    }
}

/// What the log refuses has its RESP error already.
fn text_of(error: &engine::KeyspaceError) -> String {
    match error {
        engine::KeyspaceError::Refused(refusal) => refusal.to_string(),
        other => format!("ERR {other}"),
    }
}

fn list(room: &mut Room, session: &mut Session, _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if let Some(member) = room.node.member() {
        let all = member.safety().list();
        let mut reply = session.reply(turn);
        reply.array(all.len());
        all.iter().for_each(|rule| reply.bulk(rule.name.as_bytes()));
        return Flow::Continue;
    }
    let all = room.node.engine.keyspaces();
    let mut reply = session.reply(turn);
    reply.array(all.len() + 1);
    all.iter().for_each(|figures| reply.bulk(figures.definition.name.as_bytes()));
    reply.bulk(DEFAULT.as_bytes());
    Flow::Continue
}

fn get(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let name = name_of(&args);
    if let Some(member) = room.node.member() {
        let all = member.safety().list();
        let Some(rule) = all.iter().find(|rule| rule.name == name) else {
            return refuse(session, turn, text_of(&engine::KeyspaceError::Unknown));
        };
        return get_rule(session, turn, rule);
    }
    let all = room.node.engine.keyspaces();
    if name == DEFAULT {
        let mut reply = session.reply(turn);
        reply.map(4);
        reply.bulk(b"name");
        reply.bulk(DEFAULT.as_bytes());
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
        return refuse(session, turn, text_of(&engine::KeyspaceError::Unknown));
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

/// A keyspace of a node of a cluster.
fn get_rule(session: &mut Session, turn: &mut Turn<'_>, rule: &SafetyRule) -> Flow {
    let safety = if rule.safety == Safety::Unsafe { "unsafe" } else { "safe" };
    let mut reply = session.reply(turn);
    reply.map(4);
    for (field, text) in [("name", &*rule.name), ("mode", Mode::Causal.name()), ("safety", safety)] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    reply.bulk(b"match");
    let is_rest = rule.name == DEFAULT;
    reply.array(rule.patterns.len() + usize::from(is_rest));
    rule.patterns.iter().for_each(|pattern| reply.bulk(pattern));
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
