//! EFFECT LOG.

use resp::Value;

use crate::group::Group;
use crate::harness::{Client, TestServer, bulk, until};

/// What EFFECT LOG answers: of each effect dot, words, whether it is stable, and what it comes after.
fn effects(client: &mut Client, line: &str) -> Vec<(String, String, bool, Vec<String>)> {
    let text = |value: &Value| String::from_utf8_lossy(value.as_bytes().unwrap()).into_owned();
    let Value::Array(all) = client.call(line) else { panic!("{line}") };
    let one = |entry: &Value| {
        let fields = entry.as_slice().unwrap();
        let names: Vec<String> = fields.iter().step_by(2).map(text).collect();
        assert_eq!(names, ["dot", "hlc", "op", "stable", "after"]);
        let after = fields[9].as_slice().unwrap().iter().map(text).collect();
        (text(&fields[1]), text(&fields[5]), fields[7] == bulk("yes"), after)
    };
    all.iter().map(one).collect()
}

#[test]
fn effect_log_shows_what_happened_to_a_key_and_what_each_writer_had_seen() {
    let mut group = Group::of(2, &[]);
    let (mut a, mut b) = (group.client(0), group.client(1));
    a.ok("SET k one");
    until("it has come", || b.call("GET k") == bulk("one"));
    b.int("APPEND k two");
    b.ok("SET another v");
    until("it has come", || a.call("GET k") == bulk("onetwo"));
    a.int("DEL k");
    let log = effects(&mut a, "EFFECT LOG k");
    assert_eq!(log.iter().map(|e| &*e.1).collect::<Vec<_>>(), ["remove", "append \"two\"", "set \"one\" (anew)"]);
    assert_eq!((&log[0].3, &log[1].3, log[2].3.len()), (&vec![log[1].0.clone()], &vec![log[2].0.clone()], 0));
    until("all is stable", || effects(&mut a, "EFFECT LOG k").iter().all(|effect| effect.2));
    until("it is the same on the other node", || effects(&mut b, "EFFECT LOG k") == effects(&mut a, "EFFECT LOG k"));
    assert_eq!(effects(&mut a, "EFFECT LOG k COUNT 1")[..], effects(&mut a, "EFFECT LOG k")[..1]);
    group.stop(1);
    a.ok("SET k three");
    assert!(!effects(&mut a, "EFFECT LOG k")[0].2, "the other node does not have it");
}

#[test]
fn effect_log_has_words_for_what_commands_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--appendfsync", "always"]);
    let mut a = server.client();
    let long = "x".repeat(100);
    for (command, words) in [
        ("SET k 5 PXAT 4000000000000", "set \"5\", expire at 4000000000000 (anew)"),
        ("INCRBY k 3", "add 3"),
        ("PERSIST k", "persist"),
        ("SETRANGE k 1 ab", "write \"ab\" at byte 1"),
        ("RENAME k m", "rename to \"m\""),
        ("HSET k f v", "put hash \"f\"=\"v\" (anew)"),
        ("HDEL k f", "drop hash \"f\""),
        ("SADD k a b c d e f g h i", "put set \"a\" \"b\" \"c\" \"d\" \"e\" \"f\" \"g\" \"h\" and 1 more (anew)"),
        ("DEL k", "remove"),
        ("ZADD k 1.5 m", "put zset \"m\"=1.5 (anew)"),
        ("FLUSHALL", "flush all databases"),
        ("RPUSH k a b", "push to tail \"a\" \"b\" (anew)"),
        ("LPOP k", "cut 1 elements"),
        ("LSET k 0 z", "set element \"z\""),
        (&format!("SET k {long}"), &format!("set \"{}\"... (100 bytes)", "x".repeat(64))),
    ] {
        a.call(command);
        assert_eq!(effects(&mut a, "EFFECT LOG k COUNT 1")[0].1, words, "{command}");
    }
    assert_eq!(effects(&mut a, "EFFECT LOG k").len(), 15);
    assert_eq!(effects(&mut a, "EFFECT LOG m")[1].1, "rename to \"m\"", "a new name is told of as well");
    a.call("SELECT 1");
    assert_eq!(effects(&mut a, "EFFECT LOG k").iter().map(|e| &*e.1).collect::<Vec<_>>(), ["flush all databases"]);
    assert!(a.error("EFFECT LOG k COUNT 0").starts_with("ERR COUNT must be between 1 and"));
    assert_eq!(a.error("EFFECT LOG k COUNT"), "ERR syntax error");
    a.ok("MULTI");
    assert_eq!(a.error("EFFECT LOG k"), "ERR Command not allowed inside a transaction");
}

/// The traces of the effects on a key, newest first.
pub fn traces(client: &mut Client, key: &str) -> Vec<Option<String>> {
    let Value::Array(all) = client.call(&format!("EFFECT LOG {key}")) else { panic!("{key}") };
    let text = |value: &Value| String::from_utf8_lossy(value.as_bytes().unwrap()).into_owned();
    let one = |entry: &Value| {
        let fields = entry.as_slice().unwrap();
        fields.chunks(2).find(|field| field[0] == bulk("trace")).map(|field| text(&field[1]))
    };
    all.iter().map(one).collect()
}

#[test]
fn what_a_connection_writes_carries_its_trace_to_other_nodes() {
    const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01";
    let group = Group::of(2, &[]);
    let (mut a, mut b, mut waits) = (group.client(0), group.client(1), group.client(0));
    until("transactions may begin", || a.info("replication")["group_members_met"] == "1");
    a.ok("SET k before");
    a.ok(&format!("EFFECT TRACE {TRACE}"));
    a.ok("SET k within");
    a.ok("MULTI");
    a.call("APPEND k x");
    a.call("APPEND k y");
    a.call("EXEC");
    a.ok("WATCH k");
    a.ok("MULTI");
    a.call("APPEND k z");
    assert!(matches!(a.call("EXEC"), Value::Array(_)), "both nodes have agreed");
    // Whoever is served by another keeps a trace of its own.
    waits.ok(&format!("EFFECT TRACE {OTHER}"));
    waits.post("BLPOP queue 0");
    until("it waits", || a.info("clients")["blocked_clients"] == "1");
    a.int("RPUSH queue item");
    assert_eq!(waits.reply(), Value::Array(vec![bulk("queue"), bulk("item")]));
    a.ok("EFFECT TRACE off");
    a.ok("SET k after");
    a.ok(&format!("EFFECT TRACE {TRACE}"));
    a.call("RESET");
    a.ok("SET k reset");
    until("it has come", || b.call("GET k") == bulk("reset"));
    let [mine, other] = [TRACE, OTHER].map(|trace| Some(trace.to_owned()));
    for client in [&mut a, &mut b] {
        let all = traces(client, "k");
        assert_eq!((&all[..2], all.last()), (&[None, None][..], Some(&None)), "after it and before it");
        assert!(all.len() >= 6 && all[2..all.len() - 1].iter().all(|trace| *trace == mine), "{all:?}");
        assert_eq!(traces(client, "queue"), [other.clone(), mine.clone()]);
    }
    let error = a.error("EFFECT TRACE 00-4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(error.starts_with("ERR a W3C traceparent such as 00-"), "{error}");
}
