//! WAIT and WAITAOF in a group: how far a client's writes have come.

use resp::Value;

use crate::group::Group;
use crate::harness::{TestServer, until};

#[test]
fn wait_answers_once_so_many_others_have_fsynced_the_write() {
    let group = Group::of(3, &["--appendfsync", "everysec"]);
    let mut a = group.client(0);
    assert_eq!(a.int("WAIT 2 0"), 2, "nothing was written: all have it");
    for n in 0..20 {
        a.ok(&format!("SET k{n} v"));
        assert_eq!(a.int("WAIT 2 0"), 2);
        let origin = group.server(0).node().engine.origin();
        let written = group.server(0).node().engine.last_dot().seq;
        for other in 1..3 {
            let node = group.server(other).node();
            assert_eq!(node.engine.vector().get(origin), written, "round {n}: node {other} has it");
            assert_eq!(group.client(other).text(&format!("GET k{n}")), "v");
            let status = node.member().unwrap().status();
            // What it has stated it has told its own status at the same tick.
            assert!(status.durable.get(origin) >= written, "round {n}: node {other} has it on disk");
        }
    }
}

#[test]
fn wait_answers_at_its_deadline_how_many_have_it() {
    let mut group = Group::of(3, &[]);
    let mut a = group.client(0);
    group.stop(2);
    a.ok("SET k v");
    assert_eq!(a.int("WAIT 1 0"), 1);
    assert_eq!(a.int("WAIT 2 20"), 1);
    assert_eq!(a.call("WAITAOF 1 2 20"), Value::Array(vec![Value::Int(1), Value::Int(1)]));
    group.stop(1);
    a.ok("SET k w");
    assert_eq!(a.int("WAIT 1 20"), 0);
    assert_eq!(a.int("WAIT 0 0"), 0);
    assert_eq!(a.call("WAITAOF 0 0 0").as_slice().map(<[Value]>::len), Some(2));
}

#[test]
fn wait_goes_on_until_a_node_comes_back() {
    let mut group = Group::of(2, &[]);
    let mut a = group.client(0);
    group.stop(1);
    a.ok("SET k v");
    a.post("WAIT 1 0");
    until("the client waits", || group.client(0).info("clients")["blocked_clients"] == "1");
    group.start(1);
    assert_eq!(a.reply(), Value::Int(1));
    until("it waits no longer", || group.client(0).info("clients")["blocked_clients"] == "0");
    assert_eq!(group.client(1).text("GET k"), "v");
}

#[test]
fn wait_ends_by_client_unblock_and_with_its_client() {
    let mut group = Group::of(2, &[]);
    let (mut a, mut other) = (group.client(0), group.client(0));
    group.stop(1);
    a.ok("SET k v");
    let id = a.id();
    let ends = [("", Value::Int(0)), (" TIMEOUT", Value::Int(0))];
    for (how, expected) in ends {
        a.post("WAIT 1 0");
        until("the client waits", || other.info("clients")["blocked_clients"] == "1");
        assert_eq!(other.int(&format!("CLIENT UNBLOCK {id}{how}")), 1);
        assert_eq!(a.reply(), expected);
    }
    a.post("WAITAOF 0 1 0");
    until("the client waits", || other.info("clients")["blocked_clients"] == "1");
    assert_eq!(other.int(&format!("CLIENT UNBLOCK {id} ERROR")), 1);
    assert!(matches!(a.reply(), Value::Error(text) if text.starts_with(b"UNBLOCKED")));
    assert_eq!(other.int(&format!("CLIENT UNBLOCK {id}")), 0);
    a.post("WAIT 1 0");
    until("the client waits", || other.info("clients")["blocked_clients"] == "1");
    drop(a);
    until("nobody waits", || other.info("clients")["blocked_clients"] == "0");
}

#[test]
fn wait_in_a_transaction_answers_at_once() {
    let mut group = Group::of(2, &[]);
    let mut a = group.client(0);
    group.stop(1);
    a.ok("MULTI");
    a.call("SET k v");
    a.call("WAIT 1 0");
    a.call("WAITAOF 0 1 0");
    let Value::Array(replies) = a.call("EXEC") else { panic!("no replies") };
    assert_eq!(replies[1], Value::Int(0));
    assert!(matches!(&replies[2], Value::Array(two) if two[1] == Value::Int(0)));
}

#[test]
fn a_server_alone_answers_wait_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.ok("SET k v");
    assert_eq!(a.int("WAIT 1 0"), 0);
    assert_eq!(a.call("WAITAOF 1 1 0"), Value::Array(vec![Value::Int(1), Value::Int(0)]));
    assert_eq!(a.error("WAIT 1 -1"), "ERR timeout is negative");
    assert_eq!(a.error("WAITAOF 2 0 0"), "ERR value is out of range, must be between 0 and 1");
    assert_eq!(a.error("WAITAOF 1 -1 0"), "ERR value is out of range, must be positive");
}
