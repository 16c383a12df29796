//! What the server says of itself beside what a real Redis says: COMMAND and INFO.

use std::collections::{BTreeMap, BTreeSet};

use resp::Value;

use crate::harness::{Client, TestServer};
use crate::oracle::Oracle;

/// What COMMAND says of one command, as far as it must agree.
#[derive(Debug, PartialEq, Eq)]
struct About {
    arity: i64,
    flags: BTreeSet<String>,
    keys: [i64; 3],
    categories: BTreeSet<String>,
    tips: BTreeSet<String>,
    specs: Vec<String>,
}

fn text(value: &Value) -> String {
    value.as_bytes().map_or_else(|| format!("{value:?}"), |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) | Value::Set(items) => items,
        _ => &[],
    }
}

/// A key specification without what is only said to people; flags in order of the alphabet.
fn spec(value: &Value) -> String {
    let fields = items(value);
    let mut parts = Vec::new();
    for pair in fields.chunks(2) {
        match &*text(&pair[0]) {
            "notes" => {}
            "flags" => {
                let flags: BTreeSet<String> = items(&pair[1]).iter().map(text).collect();
                parts.push(format!("{flags:?}"));
            }
            _ => parts.push(format!("{:?}", pair[1])),
        }
    }
    parts.join(" ")
}

fn collect(value: &Value, into: &mut BTreeMap<String, About>) {
    let fields = items(value);
    if fields.len() < 8 {
        return;
    }
    let int = |at: usize| fields[at].as_int().unwrap();
    let set = |at: usize| items(&fields[at]).iter().map(text).collect::<BTreeSet<_>>();
    let specs = fields.get(8).map(|specs| items(specs).iter().map(spec).collect()).unwrap_or_default();
    let (flags, categories, tips) = (set(2), set(6), set(7));
    let about = About { arity: int(1), flags, keys: [int(3), int(4), int(5)], categories, tips, specs };
    into.insert(text(&fields[0]), about);
    for sub in fields.get(9).map(items).unwrap_or_default() {
        collect(sub, into);
    }
}

fn commands(client: &mut Client) -> BTreeMap<String, About> {
    let reply = client.call("COMMAND");
    let mut all = BTreeMap::new();
    items(&reply).iter().for_each(|one| collect(one, &mut all));
    all
}

/// Commands of which we say something else than Redis 7.0, and what.
const DIFFERENT: &[(&str, &[&str])] = &[
    // As from Redis 7.2 on.
    ("command|getkeys", &["arity"]),
    ("command|getkeysandflags", &["arity"]),
    ("wait", &["flags", "categories"]),
    ("zrank", &["arity"]),
    ("zrevrank", &["arity"]),
];

#[test]
fn command_says_of_each_command_what_redis_says() {
    let Some(oracle) = Oracle::start(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (theirs, ours) = (commands(&mut oracle.client()), commands(&mut server.client()));
    let mut compared = 0;
    let mut found: Vec<String> = Vec::new();
    for (name, ours) in &ours {
        let Some(theirs) = theirs.get(name) else { continue };
        compared += 1;
        let allowed = DIFFERENT.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, what)| what);
        let mut check = |what: &str, same: bool, ours: String, theirs: String| {
            if same == allowed.contains(&what) {
                let how = if same { "no longer differs" } else { "differs" };
                found.push(format!("{name}: {what} {how}\n   ours   {ours}\n   theirs {theirs}"));
            }
        };
        check("arity", ours.arity == theirs.arity, ours.arity.to_string(), theirs.arity.to_string());
        check("flags", ours.flags == theirs.flags, format!("{:?}", ours.flags), format!("{:?}", theirs.flags));
        check("keys", ours.keys == theirs.keys, format!("{:?}", ours.keys), format!("{:?}", theirs.keys));
        let categories = (format!("{:?}", ours.categories), format!("{:?}", theirs.categories));
        check("categories", ours.categories == theirs.categories, categories.0, categories.1);
        check("tips", ours.tips == theirs.tips, format!("{:?}", ours.tips), format!("{:?}", theirs.tips));
        check("specs", ours.specs == theirs.specs, format!("{:#?}", ours.specs), format!("{:#?}", theirs.specs));
    }
    assert!(compared > 200, "only {compared} commands were compared");
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Fields of Redis' INFO that we leave out: there is nothing here that they could be figures of, or nobody counts it.
const LEFT_OUT: &[&str] = &[
    "atomicvar_api",
    "gcc_version",
    "lazyfree_pending_objects",
    "lazyfreed_objects",
    "reply_buffer_expands",
    "reply_buffer_shrinks",
];

#[test]
fn info_has_every_field_of_redis_in_its_section() {
    let Some(oracle) = Oracle::start(&["--appendonly", "yes"]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut missing = Vec::new();
    for section in [
        "server",
        "clients",
        "memory",
        "persistence",
        "stats",
        "replication",
        "cpu",
        "commandstats",
        "errorstats",
        "latencystats",
        "cluster",
        "keyspace",
    ] {
        let ask = |client: &mut Client| {
            client.ok("SET k v");
            client.error("LPUSH k v");
            client.info(section)
        };
        let (theirs, ours) = (ask(&mut oracle.client()), ask(&mut server.client()));
        let absent = |name: &&String| {
            !ours.contains_key(*name) && !LEFT_OUT.contains(&name.as_str()) && !name.contains("config|set")
        };
        missing.extend(theirs.keys().filter(absent).map(|name| format!("{section}: {name}")));
    }
    missing.sort();
    assert!(missing.is_empty(), "INFO lacks {missing:#?}");
}
