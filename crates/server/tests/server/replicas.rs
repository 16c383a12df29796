//! What clients of one node see of what clients of other nodes do.

use resp::Value;

use crate::group::Group;
use crate::harness::{Client, bulk, simple, until};

#[test]
fn info_tells_of_the_group() {
    let mut group = Group::of(3, &[]);
    let mut a = group.client(0);
    for n in 0..10 {
        a.ok(&format!("SET k{n} v"));
    }
    a.int("WAIT 2 0");
    let lags = |info: &std::collections::HashMap<String, String>| {
        ["group_peer0", "group_peer1"].iter().any(|peer| !info[*peer].contains("lag_effects=0,lag_ms=0,"))
    };
    until("no peer lags", || !lags(&a.info("replication")));
    let info = a.info("replication");
    assert_eq!((&*info["role"], &*info["connected_slaves"]), ("master", "2"));
    for peer in ["group_peer0", "group_peer1"] {
        let line = &info[peer];
        for field in ["node=", "member=1", "bytes_in=", "bytes_out=", "reconnects="] {
            assert!(line.contains(field), "{line} has no {field}");
        }
        assert!(!line.contains("bytes_in=0,") && !line.contains("bytes_out=0,"), "{line}");
    }
    assert_ne!(a.info("stats")["total_net_repl_output_bytes"], "0");
    until("all of it is stable", || a.info("replication")["group_unstable_effects"] == "0");
    until("its causality is forgotten", || a.info("replication")["group_unstable_keys"] == "0");
    assert_eq!(a.info("replication")["group_absent"], "");
    group.stop(2);
    until("a member is absent", || a.info("replication")["connected_slaves"] == "1");
    a.ok("SET k v");
    let info = a.info("replication");
    assert_eq!(info["group_absent"].len(), 12, "one node: {}", info["group_absent"]);
    until("it is not stable before the absent member has it", || {
        a.info("replication")["group_unstable_effects"] == "1"
    });
    until("the cut stays behind", || a.info("replication")["group_stable_lag_ms"].parse::<u64>().unwrap() > 0);
    assert_eq!(a.call("ROLE").as_slice().map(<[Value]>::len), Some(3));
}

#[test]
fn messages_reach_listeners_on_all_nodes_once() {
    let group = Group::of(3, &["--notify-keyspace-events", "KEA"]);
    let mut listeners = group.clients();
    for listener in &mut listeners {
        listener.call("SUBSCRIBE news");
        listener.call("PSUBSCRIBE n*");
    }
    let mut publisher = group.client(0);
    assert_eq!(publisher.int("PUBLISH news hello"), 2, "listeners of this node only");
    assert_eq!(publisher.int("PUBLISH none hello"), 1);
    publisher.int("PUBLISH news end");
    for listener in &mut listeners {
        assert_eq!(listener.reply(), Value::Array(["message", "news", "hello"].map(bulk).to_vec()));
        assert_eq!(listener.reply(), Value::Array(["pmessage", "n*", "news", "hello"].map(bulk).to_vec()));
        assert_eq!(listener.reply(), Value::Array(["pmessage", "n*", "none", "hello"].map(bulk).to_vec()));
        assert_eq!(listener.reply(), Value::Array(["message", "news", "end"].map(bulk).to_vec()));
    }
}

#[test]
fn a_client_that_waits_for_data_is_served_by_another_node() {
    let group = Group::of(2, &[]);
    let mut clients = group.clients();
    for (command, feed, reply) in [
        ("BLPOP list 0", "RPUSH list v", Value::Array(["list", "v"].map(bulk).to_vec())),
        ("BLMOVE list other LEFT RIGHT 0", "LPUSH list w", bulk("w")),
        ("BZPOPMIN zset 0", "ZADD zset 1 m", Value::Array(["zset", "m", "1"].map(bulk).to_vec())),
    ] {
        clients[0].post(command);
        until("the client waits", || group.client(0).info("clients")["blocked_clients"] == "1");
        assert_eq!(clients[1].int(feed), 1, "{feed}");
        assert_eq!(clients[0].reply(), reply, "{command}");
        until("what was taken is gone on the other node", || {
            clients[1].int("EXISTS list") + clients[1].int("EXISTS zset") == 0
        });
    }
}

#[test]
fn exec_fails_if_another_node_has_changed_a_watched_key() {
    let group = Group::of(2, &[]);
    let (mut a, mut b) = (group.client(0), group.client(1));
    a.ok("SET k 1");
    until("the other node has it", || b.call("GET k") == bulk("1"));
    for change in ["SET k 2", "DEL k", "HSET k f v", "FLUSHALL", "LPUSH k v"] {
        a.ok("WATCH k");
        b.call(change);
        // Others than this may come as well, and before.
        let written = group.server(1).node().engine.vector();
        until("the change has come", || group.server(0).node().engine.vector().covers(&written));
        a.ok("MULTI");
        a.call("SET mine v");
        assert_eq!(a.call("EXEC"), Value::NullArray, "{change}");
    }
    until("all members were met", || a.info("replication")["group_members_met"] == "1");
    a.ok("WATCH k");
    b.ok("SET another v");
    until("the change has come", || a.int("EXISTS another") == 1);
    a.ok("MULTI");
    a.call("SET mine v");
    assert_eq!(a.call("EXEC"), Value::Array(vec![simple("OK")]));
}

#[test]
fn on_unsafe_keys_one_of_three_goes_on_alone() {
    let mut group = Group::of(3, &[]);
    let mut a = group.client(0);
    a.ok("KEYSPACE SET gold MATCH cart:gold:* SAFETY safe");
    a.ok("KEYSPACE SET carts MATCH cart:* MATCH bag:* SAFETY unsafe");
    for mut client in group.clients() {
        until("all members were met", || client.info("replication")["group_members_met"] == "1");
    }
    for (command, refused) in [
        ("KEYSPACE SET x MATCH a SAFETY maybe", "ERR SAFETY takes safe or unsafe"),
        ("KEYSPACE SET x MATCH a", "ERR a new keyspace needs SAFETY"),
        ("KEYSPACE SET x SAFETY unsafe", "ERR a new keyspace needs MATCH"),
        ("KEYSPACE DEL x", "ERR there is no keyspace of this name"),
        ("KEYSPACE UNDONE SINCE x", "ERR SINCE and COUNT need a number from 0 on"),
        ("KEYSPACE UNDONE BEFORE 1", "ERR syntax error"),
    ] {
        assert_eq!(a.error(command), refused, "{command}");
    }
    assert!(a.error("KEYSPACE SET x MATCH a MODE cache").starts_with("ERR on a node of a cluster"));
    assert_eq!(a.call("KEYSPACE LIST"), Value::Array(["gold", "carts", "default"].map(bulk).to_vec()));
    let carts =
        [bulk("name"), bulk("carts"), bulk("mode"), bulk("causal"), bulk("safety"), bulk("unsafe"), bulk("match")];
    let patterns = Value::Array(["cart:*", "bag:*"].map(bulk).to_vec());
    assert_eq!(a.call("KEYSPACE GET carts"), Value::Array([&carts[..], &[patterns]].concat()));
    (1..3).for_each(|n| group.stop(n));
    let mut exec = |key: &str| {
        a.ok(&format!("WATCH {key}"));
        a.ok("MULTI");
        a.call(&format!("INCR {key}"));
        a.call("EXEC")
    };
    for n in 1..4 {
        assert_eq!(exec("cart:1"), Value::Array(vec![Value::Int(n)]), "nobody else is there");
    }
    assert!(matches!(exec("cart:gold:1"), Value::Error(error) if error.starts_with(b"REGIONPARTITIONED")));
    assert_eq!((a.call("GET cart:1"), a.call("GET cart:gold:1")), (bulk("3"), Value::Null));
    assert_eq!(a.call("KEYSPACE UNDONE SINCE 0 COUNT 5"), Value::Array(vec![]));
    assert_eq!(a.info("replication")["group_transactions_undone"], "0");
    (1..3).for_each(|n| group.start(n));
    for mut client in group.clients() {
        until("all have it", || client.call("GET cart:1") == bulk("3"));
        until("it is settled", || client.info("replication")["group_transactions_undecided"] == "0");
    }
}

#[test]
fn keyspace_events_tell_of_what_other_nodes_do() {
    let group = Group::of(2, &["--notify-keyspace-events", "KEAn"]);
    let (mut here, mut there) = (group.client(0), group.client(1));
    here.call("PSUBSCRIBE __keyspace@*__:k");
    let events = |here: &mut Client, count: usize| {
        let name = |push: Value| String::from_utf8_lossy(push.as_slice().unwrap()[3].as_bytes().unwrap()).into_owned();
        (0..count).map(|_| name(here.reply())).collect::<Vec<_>>()
    };
    for (command, names) in [
        ("SET k v PXAT 4000000000000", &["new", "set", "expire"][..]),
        ("APPEND k w", &["append"]),
        ("PERSIST k", &["persist"]),
        ("SET k 1", &["set"]),
        ("INCR k", &["incrby"]),
        ("EXPIRE k 1000", &["expire"]),
        ("DEL k", &["del"]),
        ("HSET k f v", &["new", "hset"]),
        ("HINCRBY k n 1", &["hincrby"]),
        ("HDEL k f n", &["hdel", "del"]),
        ("SADD k m", &["new", "sadd"]),
        ("SREM k m", &["srem", "del"]),
        ("ZADD k 1 m", &["new", "zadd"]),
        ("ZINCRBY k 1 m", &["zincr"]),
        ("ZREM k m", &["zrem", "del"]),
        ("RPUSH k a b c", &["new", "rpush"]),
        ("LPUSH k z", &["lpush"]),
        ("LSET k 0 y", &["lset"]),
        ("LREM k 1 a", &["lrem"]),
        ("UNLINK k", &["del"]),
    ] {
        there.call(command);
        assert_eq!(events(&mut here, names.len()), names, "{command}");
    }
    // Nothing of it came a second time, as a message of the other node.
    there.ok("SET k end");
    assert_eq!(events(&mut here, 2), ["new", "set"]);
}
