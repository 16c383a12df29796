//! Keyspaces of a group: defined on one node, so on all.

use resp::Value;

use crate::group::Group;
use crate::harness::{Client, bulk, until};

fn names(client: &mut Client) -> Vec<String> {
    let Value::Array(names) = client.call("KEYSPACE LIST") else { panic!("a list of names") };
    names.iter().map(|name| String::from_utf8_lossy(name.as_bytes().unwrap()).into_owned()).collect()
}

/// All definitions, as a node shows them.
fn shown(client: &mut Client) -> Vec<Value> {
    names(client).iter().map(|name| client.call(&format!("KEYSPACE GET {name}"))).collect()
}

fn until_equal(clients: &mut [Client], expected: &[&str]) {
    for client in clients.iter_mut() {
        until(&format!("it shows {expected:?}"), || names(client) == expected);
    }
    let first = shown(&mut clients[0]);
    clients.iter_mut().for_each(|client| until("all show the same", || shown(client) == first));
}

#[test]
fn what_one_node_defines_holds_on_the_other_whoever_changes_it_next() {
    let group = Group::of(2, &[]);
    let mut clients = group.clients();
    clients[0].ok("KEYSPACE SET gold MATCH cart:gold:* SAFETY safe");
    clients[0].ok("KEYSPACE SET carts MATCH cart:* MATCH bag:* SAFETY unsafe");
    assert_eq!(clients[0].int("WAIT 1 0"), 1);
    assert_eq!(names(&mut clients[1]), ["gold", "carts", "default"], "WAIT is about it as about any write");
    until_equal(&mut clients, &["gold", "carts", "default"]);
    clients[1].ok("KEYSPACE SET carts MATCH cart:*");
    clients[1].ok("KEYSPACE SET default SAFETY unsafe");
    let carts =
        [bulk("name"), bulk("carts"), bulk("mode"), bulk("causal"), bulk("safety"), bulk("unsafe"), bulk("match")];
    let carts = Value::Array([&carts[..], &[Value::Array(vec![bulk("cart:*")])]].concat());
    assert_eq!(clients[1].call("KEYSPACE GET carts"), carts, "SAFETY stays, and all patterns are others");
    until("the first node has it", || clients[0].call("KEYSPACE GET carts") == carts);
    clients[0].ok("FLUSHALL");
    clients[0].ok("KEYSPACE DEL gold");
    until_equal(&mut clients, &["carts", "default"]);
    clients[1].ok("KEYSPACE SET gold MATCH cart:gold:* SAFETY safe");
    until_equal(&mut clients, &["carts", "gold", "default"]);
    assert_eq!(clients[0].int("DBSIZE"), 0);
    let effects = clients[0].error("KEYSPACE SET gold MATCH x MAXMEMORY 8mb");
    assert!(effects.starts_with("ERR on a node of a cluster a keyspace has MATCH and SAFETY only"), "{effects}");
}

#[test]
fn who_was_away_and_who_joins_get_what_was_defined_meanwhile() {
    let mut group = Group::of(2, &[]);
    let (mut a, mut b) = (group.client(0), group.client(1));
    b.ok("KEYSPACE SET b MATCH b:* SAFETY unsafe");
    until("the other has it", || names(&mut a) == ["b", "default"]);
    group.stop(1);
    a.ok("KEYSPACE SET a MATCH a:* SAFETY unsafe");
    a.ok("KEYSPACE SET b MATCH b:1");
    group.start(1);
    let mut clients = group.clients();
    until_equal(&mut clients, &["b", "a", "default"]);
    // What was defined is in no log any more that a new node could read.
    group.server(0).node().engine.checkpoint().unwrap();
    let founder = format!("127.0.0.1:{}", group.port(0));
    group.add(&["--join", &founder]);
    group.until_whole();
    let mut clients = group.clients();
    until_equal(&mut clients, &["b", "a", "default"]);
    let mut c = group.client(2);
    c.ok("KEYSPACE DEL b");
    until_equal(&mut clients, &["a", "default"]);
    drop(clients);
    (0..3).for_each(|n| group.stop(n));
    (0..3).for_each(|n| group.start(n));
    until_equal(&mut group.clients(), &["a", "default"]);
}

#[test]
fn transactions_go_by_what_another_node_has_defined() {
    let mut group = Group::of(3, &[]);
    let mut clients = group.clients();
    clients[1].ok("KEYSPACE SET carts MATCH cart:* SAFETY unsafe");
    until_equal(&mut clients, &["carts", "default"]);
    until("all members were met", || clients[0].info("replication")["group_members_met"] == "1");
    let mut a = clients.swap_remove(0);
    drop(clients);
    (1..3).for_each(|n| group.stop(n));
    let exec = |a: &mut Client, key: &str| {
        a.ok(&format!("WATCH {key}"));
        a.ok("MULTI");
        a.call(&format!("INCR {key}"));
        a.call("EXEC")
    };
    assert_eq!(exec(&mut a, "cart:1"), Value::Array(vec![Value::Int(1)]), "nobody else is there");
    assert!(matches!(exec(&mut a, "bag:1"), Value::Error(error) if error.starts_with(b"REGIONPARTITIONED")));
    a.ok("KEYSPACE SET carts SAFETY safe");
    assert!(
        matches!(exec(&mut a, "cart:2"), Value::Error(error) if error.starts_with(b"REGIONPARTITIONED")),
        "from now on"
    );
}
