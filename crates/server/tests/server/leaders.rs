//! EXEC after WATCH on keys that another node leads.

use std::thread;

use resp::Value;

use crate::group::Group;
use crate::harness::{Client, bulk, simple, until};

/// The node that leads `hot`.
const LEADER: usize = 1;

/// Three nodes, of which two know that the other leads a key.
fn led() -> Group {
    let group = Group::of(3, &[]);
    for at in 0..3 {
        until("all members were met", || group.client(at).info("replication")["group_members_met"] == "1");
    }
    let engine = &group.server(LEADER).node().engine;
    // It does not hear of it itself: so it never releases the key.
    engine.emit_serialize((0, b"hot"[..].into()), Some(engine.origin().node())).unwrap();
    for at in [0, 2] {
        until("they know", || group.client(at).info("replication")["group_transactions_led"] == "1");
    }
    group
}

/// A transaction that watches another key than it changes.
fn transaction(client: &mut Client, commands: &[&str]) -> Value {
    client.ok("WATCH calm");
    client.ok("MULTI");
    for command in commands {
        assert_eq!(client.call(command), simple("QUEUED"));
    }
    client.call("EXEC")
}

fn forwarded(group: &Group, at: usize) -> String {
    group.client(at).info("replication")["group_transactions_forwarded"].clone()
}

#[test]
fn it_runs_at_the_leader_and_its_client_sees_what_it_did() {
    let group = led();
    let mut clients = group.clients();
    for n in 1..=10 {
        let client = &mut clients[if n % 2 == 0 { 0 } else { 2 }];
        let replies = transaction(client, &["INCR hot", "LPOP hot", "GET hot"]);
        let Value::Array(replies) = replies else { panic!("{replies:?}") };
        assert_eq!((&replies[0], &replies[2]), (&Value::Int(n), &bulk(n.to_string())));
        assert!(matches!(&replies[1], Value::Error(_)), "a command's error is its own: {replies:?}");
        assert_eq!(client.call("GET hot"), bulk(n.to_string()), "whoever is told sees it");
    }
    assert_eq!([0, 1, 2].map(|at| forwarded(&group, at)), ["5", "0", "5"]);
    // It belongs to the client's trace there.
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    clients[0].ok(&format!("EFFECT TRACE {trace}"));
    assert!(matches!(transaction(&mut clients[0], &["INCR hot"]), Value::Array(_)));
    assert_eq!(forwarded(&group, 0), "6");
    assert_eq!(crate::effects::traces(&mut clients[0], "hot")[0].as_deref(), Some(trace));
    clients[0].ok("EFFECT TRACE OFF");
    // What concerns the client runs where that is.
    let reply = transaction(&mut clients[0], &["CLIENT GETNAME", "INCR hot"]);
    assert!(matches!(&reply, Value::Array(replies) if replies[1] == Value::Int(12)), "{reply:?}");
    assert_eq!(forwarded(&group, 0), "6");
    until("the other node has it", || clients[2].call("GET hot") == bulk("12"));
    // The leader writes the client's protocol.
    clients[2].call("HELLO 3");
    clients[2].ok("MULTI");
    clients[2].ok("DISCARD");
    clients[2].ok("WATCH calm");
    clients[2].ok("MULTI");
    clients[2].call("HSET calm f v");
    clients[2].call("EXPIRE hot 1000");
    clients[2].call("HGETALL calm");
    let map = Value::Map(vec![(bulk("f"), bulk("v"))]);
    assert_eq!(clients[2].call("EXEC"), Value::Array(vec![Value::Int(1), Value::Int(1), map]));
    assert_eq!(forwarded(&group, 2), "6");
    // Who has the turn runs it himself.
    clients[0].ok("WATCH hot");
    clients[0].ok("MULTI");
    clients[0].call("INCR hot");
    assert_eq!(clients[0].call("EXEC"), Value::Array(vec![Value::Int(13)]));
    assert_eq!(forwarded(&group, 0), "6");
}

#[test]
fn it_fails_if_a_watched_key_has_changed_at_the_leader() {
    let group = led();
    let mut clients = group.clients();
    for n in 0..6 {
        clients[0].ok("WATCH hot");
        // His turn is over when another has one.
        clients[2].ok("WATCH hot");
        clients[2].ok("UNWATCH");
        // The change may be on its way to the client's node, or there.
        match n % 2 {
            0 => clients[LEADER].ok("SET hot plain"),
            _ => drop(transaction(&mut clients[LEADER], &["SET hot exclusive"])),
        }
        clients[0].ok("MULTI");
        clients[0].call("SET hot mine");
        assert!(matches!(clients[0].call("EXEC"), Value::NullArray), "try {n}");
        assert_ne!(clients[0].call("GET hot"), bulk("mine"));
    }
}

#[test]
fn of_clients_that_want_one_key_each_is_committed_once_for_each_success() {
    let group = led();
    let add = |mut client: Client| {
        let mut done = 0;
        while done < 20 {
            match transaction(&mut client, &["INCR hot"]) {
                Value::Array(_) => done += 1,
                Value::NullArray => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let threads: Vec<_> = (0..3).map(|at| group.client(at)).map(|client| thread::spawn(move || add(client))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for at in 0..3 {
        until("all have it", || group.client(at).call("GET hot") == bulk("60"));
    }
}

#[test]
fn clients_of_all_nodes_that_read_and_write_one_key_in_turns_count_each_success() {
    const TIMES: usize = 20;
    let group = led();
    // The leader hears of it from another node.
    let leader = group.server(LEADER).node().engine.origin().node();
    group.server(0).node().engine.emit_serialize((0, b"hot"[..].into()), Some(leader)).unwrap();
    until("it knows", || group.client(LEADER).info("replication")["group_transactions_led"] == "1");
    let add = |mut client: Client| {
        let (mut done, mut hesitates) = (0, true);
        while done < TIMES {
            client.ok("WATCH hot");
            let before: usize = match client.call("GET hot") {
                Value::Bulk(text) => String::from_utf8(text.to_vec()).unwrap().parse().unwrap(),
                _ => 0,
            };
            // Some change their minds.
            match before % 7 {
                5 => client.ok("WATCH other"),
                6 if std::mem::take(&mut hesitates) => {
                    client.ok("UNWATCH");
                    client.ok("WATCH hot");
                    continue;
                }
                _ => {}
            }
            client.ok("MULTI");
            client.call(&format!("SET hot {}", before + 1));
            match client.call("EXEC") {
                Value::Array(_) => done += 1,
                Value::NullArray => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let threads: Vec<_> =
        (0..6).map(|n| group.client(n % 3)).map(|client| thread::spawn(move || add(client))).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // Each has run once, and counts where its client is.
    for at in 0..3 {
        until("all have it", || group.client(at).call("GET hot") == bulk("120"));
        let calls = group.client(at).info("commandstats")["cmdstat_set"].clone();
        assert!(calls.starts_with(&format!("calls={},", 2 * TIMES)), "{calls}");
    }
}

#[test]
fn wait_counts_who_has_what_the_leader_has_written() {
    let group = led();
    let mut clients = group.clients();
    for n in 1..=20 {
        assert_eq!(transaction(&mut clients[0], &["INCR hot"]), Value::Array(vec![Value::Int(n)]));
        clients[0].ok("MULTI");
        clients[0].call("WAIT 2 0");
        assert_eq!(clients[0].call("EXEC"), Value::Array(vec![Value::Int(0)]), "nobody is known to have it");
        assert_eq!(clients[0].int("WAIT 2 0"), 2);
        assert_eq!(clients[2].call("GET hot"), bulk(n.to_string()), "who is counted has it");
    }
    assert_eq!(transaction(&mut clients[0], &["INCR hot"]), Value::Array(vec![Value::Int(21)]));
    assert_eq!(clients[0].call("WAITAOF 1 2 0"), Value::Array(vec![Value::Int(1), Value::Int(2)]));
    assert_eq!(forwarded(&group, 0), "21");
}

#[test]
fn transactions_that_cannot_begin_because_of_others_make_a_leader() {
    let mut group = Group::of(3, &[]);
    until("all members were met", || group.client(0).info("replication")["group_members_met"] == "1");
    // Nobody decides any more.
    (1..3).for_each(|at| group.stop(at));
    let mut undecided = group.client(0);
    undecided.ok("WATCH calm");
    undecided.ok("MULTI");
    undecided.call("INCR hot");
    undecided.post("EXEC");
    until("it waits", || group.client(0).info("replication")["group_transactions_undecided"] == "1");
    let mut client = group.client(0);
    let led = |client: &mut Client| client.info("replication")["group_transactions_led"].clone();
    for _ in 0..2 {
        assert_eq!(transaction(&mut client, &["INCR hot"]), Value::NullArray);
    }
    assert_eq!(led(&mut client), "0");
    assert_eq!(transaction(&mut client, &["INCR hot"]), Value::NullArray);
    until("it is led", || led(&mut client) == "1");
}
