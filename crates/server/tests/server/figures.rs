//! What commands inside EXEC add to the figures, and what refused ones do.

use std::collections::HashMap;

use resp::Value;

use crate::harness::{Client, TestServer, simple};
use crate::secrets::slow;

/// `calls`, `rejected_calls` and `failed_calls` of a command; nothing if INFO does not know it.
fn counts(info: &HashMap<String, String>, command: &str) -> Option<[u64; 3]> {
    let fields: HashMap<&str, &str> =
        info.get(&format!("cmdstat_{command}"))?.split(',').filter_map(|field| field.split_once('=')).collect();
    Some(["calls", "rejected_calls", "failed_calls"].map(|name| fields[name].parse().unwrap()))
}

fn queue(client: &mut Client, commands: &[&str]) {
    client.ok("MULTI");
    for command in commands {
        assert_eq!(client.call(command), simple("QUEUED"), "{command}");
    }
}

#[test]
fn commands_of_a_transaction_count_as_those_outside_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.ok("SET s abc");
    a.ok("CONFIG RESETSTAT");
    queue(&mut a, &["GET nosuch", "GET s", "INCR s", "LPUSH s x", "SELECT 0", "AUTH x", "PING", "SET t 1"]);
    let Value::Array(replies) = a.call("EXEC") else { panic!("no array") };
    assert_eq!(replies.iter().filter(|reply| reply.is_error()).count(), 3);
    let info = a.info("everything");
    // RESETSTAT itself, MULTI, the eight and EXEC.
    assert_eq!(info["total_commands_processed"], "11");
    assert_eq!((&*info["keyspace_hits"], &*info["keyspace_misses"]), ("1", "1"));
    assert_eq!(info["total_error_replies"], "3");
    assert_eq!((&*info["errorstat_ERR"], &*info["errorstat_WRONGTYPE"]), ("count=2", "count=1"));
    for (command, expected) in [
        ("get", [2, 0, 0]),
        ("incr", [1, 0, 1]),
        ("lpush", [1, 0, 1]),
        ("select", [1, 0, 0]),
        ("auth", [1, 0, 1]),
        ("ping", [1, 0, 0]),
        ("set", [1, 0, 0]),
        ("exec", [1, 0, 0]),
    ] {
        assert_eq!(counts(&info, command), Some(expected), "{command}");
        assert!(info.contains_key(&format!("latency_percentiles_usec_{command}")), "{command}");
    }
}

#[test]
fn a_transaction_that_is_tried_again_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.ok("SET k v");
    a.call("RPUSH l 1 2 3 4 5");
    a.ok("MSET w_1 9 w_2 8 w_3 7 w_4 6 w_5 5");
    a.ok("CONFIG RESETSTAT");
    // Which shards the weights lie in is found out on the way: each one that is not locked yet costs another try.
    queue(&mut a, &["GET k", "PING", "SORT l BY w_*", "GET nosuch"]);
    a.call("EXEC");
    let info = a.info("everything");
    for (command, expected) in [("get", [2, 0, 0]), ("ping", [1, 0, 0]), ("sort", [1, 0, 0])] {
        assert_eq!(counts(&info, command), Some(expected), "{command}");
    }
    assert_eq!((&*info["keyspace_hits"], &*info["keyspace_misses"]), ("1", "1"));
}

#[test]
fn what_a_transaction_does_not_run_is_not_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.ok("CONFIG RESETSTAT");
    a.ok("WATCH k");
    b.ok("SET k 1");
    queue(&mut a, &["GET k", "PING"]);
    assert_eq!(a.call("EXEC"), Value::NullArray);
    queue(&mut a, &["GET k"]);
    a.ok("DISCARD");
    let info = a.info("everything");
    assert_eq!((counts(&info, "get"), counts(&info, "ping")), (None, None));
    assert_eq!((&*info["keyspace_hits"], &*info["keyspace_misses"]), ("0", "0"));
}

#[test]
fn a_refused_command_counts_as_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    for command in ["GET", "CLIENT", "CLIENT KILL", "EXEC x", "CLIENT NOSUCH"] {
        a.error(command);
    }
    a.ok("MULTI");
    a.error("GET");
    a.error("SAVE");
    assert!(a.error("EXEC").starts_with("EXECABORT"));
    a.error("DISCARD");
    let info = a.info("everything");
    for (command, expected) in [
        ("get", [0, 2, 0]),
        ("client", [0, 1, 0]),
        ("client|kill", [0, 1, 0]),
        ("save", [0, 1, 0]),
        ("exec", [1, 1, 1]),
        ("discard", [1, 0, 1]),
    ] {
        assert_eq!(counts(&info, command), Some(expected), "{command}");
    }
}

#[test]
fn the_slow_log_has_the_commands_of_a_transaction_and_not_exec() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--slowlog-log-slower-than", "0"]);
    let mut a = server.client();
    queue(&mut a, &["SET k v", "ECHO x", "AUTH x", "GET k"]);
    a.call("EXEC");
    assert_eq!(slow(&mut a, 5), ["MULTI", "SET k v", "ECHO x", "AUTH (redacted)", "GET k"]);
}

#[test]
fn a_look_up_that_finds_another_type_has_found_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.call("RPUSH l x");
    a.error("GET l");
    queue(&mut a, &["GET l"]);
    a.call("EXEC");
    crate::harness::until("the round has ended", || a.info("stats")["keyspace_hits"] == "2");
}
