//! Cache keyspaces from outside.

use std::collections::HashMap;

use resp::Value;

use crate::harness::{Client, TestServer, bulk, until};

/// The figures of keyspace `c`.
fn figures(client: &mut Client) -> HashMap<String, u64> {
    let line = client.info("keyspaces").remove("keyspace_c").expect("there is a keyspace");
    let fields = line.split(',').filter_map(|field| field.split_once('='));
    fields.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn define(client: &mut Client, rest: &str) {
    client.ok(&format!("KEYSPACE SET c MATCH c:* MODE cache {rest}"));
}

/// Writes so much that everything before is only on disk.
fn push_to_disk(client: &mut Client) {
    let filler = "f".repeat(16 << 10);
    for i in 0..400 {
        client.ok(&format!("SET c:filler:{i} {filler}"));
    }
}

fn words(value: Value) -> Vec<String> {
    let Value::Array(items) = value else { panic!("{value:?} is no array") };
    items.iter().map(|item| String::from_utf8_lossy(item.as_bytes().unwrap_or_default()).into_owned()).collect()
}

#[test]
fn keyspaces_are_defined_listed_changed_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client3();
    assert_eq!(words(a.call("KEYSPACE LIST")), ["default"]);
    a.ok("KEYSPACE SET pages MATCH page:* MATCH *.html MODE cache MAXMEMORY 8mb MAXDISK 16mb");
    a.ok("KEYSPACE SET img MATCH img:* MODE CACHE MAXMEMORY 4mb MAXDISK 0 FSYNC yes");
    a.ok("KEYSPACE SET pages MAXMEMORY 6mb");
    assert_eq!(words(a.call("KEYSPACE LIST")), ["pages", "img", "default"]);
    let get = |a: &mut Client, name: &str| match a.call(&format!("KEYSPACE GET {name}")) {
        Value::Map(fields) => fields.into_iter().collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let pages = get(&mut a, "pages");
    let has = |name: &str, value: Value| assert!(pages.contains(&(bulk(name), value)), "{name}: {pages:?}");
    has("mode", bulk("cache"));
    has("match", Value::Array(vec![bulk("page:*"), bulk("*.html")]));
    has("maxmemory", Value::Int(6 << 20));
    has("maxdisk", Value::Int(16 << 20));
    has("fsync", bulk("no"));
    assert!(get(&mut a, "default").contains(&(bulk("mode"), bulk("causal"))));
    for (line, text) in [
        ("KEYSPACE SET x MATCH", "ERR wrong number of arguments for 'keyspace|set' command"),
        ("KEYSPACE SET x MATCH x:*", "ERR a new keyspace needs MODE"),
        ("KEYSPACE SET x MATCH x:* MODE cache MAXMEMORY 4mb", "ERR a new keyspace needs MAXDISK"),
        ("KEYSPACE SET x MATCH x:* MODE tape", "ERR unknown mode 'tape'; MODE takes cache"),
        ("KEYSPACE SET pages MAXMEMORY 1mb", "ERR MAXMEMORY is 1048576 bytes; a cache keyspace needs at least 4194304"),
        (
            "KEYSPACE SET pages MAXDISK 1mb",
            "ERR MAXDISK is 1048576 bytes; it must be 0 (no disk tier) or at least 4194304",
        ),
        ("KEYSPACE SET pages MAXMEMORY lots", "ERR MAXMEMORY must be a memory value, like 256mb"),
        ("KEYSPACE SET pages SIZE 1mb", "ERR unknown option 'SIZE'; see KEYSPACE HELP"),
        ("KEYSPACE SET pages FSYNC maybe", "ERR FSYNC takes yes or no"),
        ("KEYSPACE SET pages FSYNC yes FSYNC no", "ERR FSYNC is given twice"),
        ("KEYSPACE SET pages MAXDISK", "ERR wrong number of arguments for 'keyspace|set' command"),
        ("KEYSPACE SET pages FSYNC no MAXDISK", "ERR MAXDISK needs a value"),
        ("KEYSPACE GET nowhere", "ERR there is no keyspace of this name"),
        ("KEYSPACE DEL nowhere", "ERR there is no keyspace of this name"),
        (
            "KEYSPACE DEL default",
            "ERR the keyspace 'default' holds whatever no other one matches; it can neither be changed nor deleted",
        ),
    ] {
        assert_eq!(a.error(line), text, "{line}");
    }
    assert!(words(a.call("KEYSPACE HELP")).iter().any(|line| line.contains("MAXDISK")));
    a.ok("KEYSPACE DEL img");
    until("the keyspace is gone", || words(a.call("KEYSPACE LIST")) == ["pages", "default"]);
}

#[test]
fn values_of_all_types_come_back_from_disk_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let start = || TestServer::start(dir.path(), &["--enable-debug-command", "yes"]);
    let mut server = Some(start());
    let first = server.iter().map(|server| server.addr).next().unwrap();
    // A clean stop brings everything to rest.
    let mut restart = |client: Client| {
        drop((client, server.take()));
        server.insert(start()).client()
    };
    let mut a = Client::new(first);
    define(&mut a, "MAXMEMORY 4mb MAXDISK 64mb");
    a.ok("SET c:string text");
    a.int("INCRBY c:number 41");
    a.int("RPUSH c:list a b c");
    a.int("LPUSH c:list z");
    a.int("SADD c:ints 3 1 2");
    a.int("SADD c:set x y");
    a.int("ZADD c:zset 1 one 2.5 two");
    a.int("HSET c:hash f v g w");
    a.call("HPEXPIRE c:hash 500000 FIELDS 1 g");
    a.int("HSET c:dying f v");
    a.call("HPEXPIRE c:dying 500000 FIELDS 1 f");
    for i in 0..600 {
        a.int(&format!("RPUSH c:biglist element{i}"));
        a.int(&format!("ZADD c:bigzset {i} member{i}"));
    }
    a.ok("SET c:fleeting v PX 500000");
    let keys = ["string", "number", "list", "ints", "set", "zset", "hash", "dying", "biglist", "bigzset", "fleeting"];
    let look = |a: &mut Client| -> Vec<Vec<Value>> {
        let ask = |key: &str| {
            let dump = a.call(&format!("DUMP c:{key}"));
            let more = ["TYPE", "OBJECT ENCODING", "PEXPIRETIME"].map(|command| a.call(&format!("{command} c:{key}")));
            std::iter::once(dump).chain(more).collect()
        };
        keys.iter().copied().map(ask).collect()
    };
    let before = look(&mut a);
    let mut a = restart(a);
    let at_rest = figures(&mut a);
    assert_eq!((at_rest["keys"], at_rest["keys_on_disk"]), (keys.len() as u64, keys.len() as u64));
    // What needs no value is answered without one.
    let loads = figures(&mut a)["hits_disk"];
    assert_eq!(a.int("EXISTS c:string c:list c:zset c:hash c:dying"), 5);
    assert_eq!(a.text("TYPE c:zset"), "zset");
    assert_eq!(a.int("DBSIZE"), keys.len() as i64);
    assert_eq!(words(a.call("KEYS c:big*")).len(), 2);
    assert_eq!(figures(&mut a)["hits_disk"], loads);
    assert_eq!(look(&mut a), before);
    assert_eq!(a.call("HPEXPIRETIME c:hash FIELDS 2 f g"), before_hash(&mut a));
    assert!(figures(&mut a)["hits_disk"] >= loads + 8, "{:?}", figures(&mut a));
    // Changing what came back, and what has not yet.
    let mut a = restart(a);
    assert_eq!(a.int("INCR c:number"), 42);
    assert_eq!(a.int("RPUSH c:list d"), 5);
    assert_eq!(a.int("ZREM c:bigzset member7"), 1);
    a.ok("RENAME c:set elsewhere");
    assert_eq!(a.int("COPY c:string c:copy"), 1);
    assert_eq!(a.int("PERSIST c:fleeting"), 1);
    let mut a = restart(a);
    assert_eq!(a.call("GET c:number"), bulk("42"));
    assert_eq!(words(a.call("LRANGE c:list 0 -1")), ["z", "a", "b", "c", "d"]);
    assert_eq!((a.int("ZCARD c:bigzset"), a.int("SCARD elsewhere"), a.int("EXISTS c:set")), (599, 2, 0));
    assert_eq!((a.call("GET c:copy"), a.int("PTTL c:fleeting")), (bulk("text"), -1));
    // DEBUG looks at values without a command of their own.
    let mut a = restart(a);
    assert!(a.text("DEBUG OBJECT c:list").contains("encoding"));
}

/// The deadlines of the hash's fields, the first of which has none.
fn before_hash(a: &mut Client) -> Value {
    let Value::Array(mut times) = a.call("HPEXPIRETIME c:hash FIELDS 1 g") else { panic!("an array") };
    times.insert(0, Value::Int(-1));
    Value::Array(times)
}

#[test]
fn deadlines_hold_on_disk_and_the_disk_is_warm_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let start = || TestServer::start(dir.path(), &[]);
    let server = start();
    let mut a = server.client();
    define(&mut a, "MAXMEMORY 4mb MAXDISK 64mb FSYNC yes");
    a.ok("SET c:lasting v");
    a.ok("SET c:short v PX 300");
    a.ok("SET c:long v PX 500000");
    a.int("HSET c:hash f v");
    a.call("HPEXPIRE c:hash 300 FIELDS 1 f");
    push_to_disk(&mut a);
    until("they expire", || a.int("EXISTS c:short c:hash") == 0);
    // A disk that does not keep up costs a cache values.
    let names: String = (0..400).map(|i| format!(" c:filler:{i}")).collect();
    until("they are reclaimed", || figures(&mut a)["keys"] as i64 == a.int(&format!("EXISTS c:lasting c:long{names}")));
    assert_eq!((a.call("GET c:short"), a.text("TYPE c:hash")), (Value::Null, "none".into()));
    let before = figures(&mut a)["keys"];
    drop(a);
    drop(server);
    let server = start();
    let mut a = server.client();
    let after = figures(&mut a);
    assert!(after["keys"] == before && after["keys_on_disk"] == before, "{before} before, {after:?}");
    assert_eq!(a.int("EXISTS c:short c:hash"), 0);
    assert_eq!((a.call("GET c:lasting"), a.call("GET c:filler:399")), (bulk("v"), bulk("f".repeat(16 << 10))));
    let ttl = a.int("PTTL c:long");
    assert!(ttl > 1000 && ttl <= 500_000, "{ttl}");
}

#[test]
fn a_transaction_over_both_kinds_is_one_and_survives_in_its_logged_part() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--appendfsync", "always"]);
    let mut a = server.client();
    define(&mut a, "MAXMEMORY 4mb MAXDISK 64mb");
    a.int("RPUSH c:list 1 2 3");
    a.ok("SET c:watched old");
    push_to_disk(&mut a);
    let records = |a: &mut Client| a.info("persistence")["log_records"].parse::<u64>().unwrap();
    let before = records(&mut a);
    a.ok("WATCH c:watched");
    a.ok("MULTI");
    for line in ["RPUSH c:list 4", "SET kept yes", "LPOP kept", "LRANGE c:list 0 -1", "SET c:new v", "INCR count"] {
        assert_eq!(a.text(line), "QUEUED");
    }
    let Value::Array(replies) = a.call("EXEC") else { panic!("the transaction was refused") };
    assert_eq!((replies[0].clone(), replies[5].clone()), (Value::Int(4), Value::Int(1)));
    assert!(matches!(replies[2], Value::Error(_)));
    assert_eq!(words(replies[3].clone()), ["1", "2", "3", "4"]);
    assert_eq!(records(&mut a), before + 1);
    a.ok("SET c:new w");
    assert_eq!(records(&mut a), before + 1, "nothing is logged of a cache");
    let mut b = server.client();
    a.ok("WATCH c:watched");
    b.ok("SET c:watched new");
    a.ok("MULTI");
    a.text("SET kept no");
    assert!(matches!(a.call("EXEC"), Value::Null | Value::NullArray));
    drop((a, b));
    drop(server);
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    assert_eq!((a.call("GET kept"), a.call("GET count"), a.call("GET c:new")), (bulk("yes"), bulk("1"), bulk("w")));
}

#[test]
fn waiting_clients_are_served_by_pushes_to_a_cache() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    define(&mut a, "MAXMEMORY 4mb MAXDISK 0");
    b.post("BLPOP c:queue 0");
    until("it waits", || a.info("clients")["blocked_clients"] == "1");
    assert_eq!(a.int("RPUSH c:queue job"), 1);
    assert_eq!(words(b.reply()), ["c:queue", "job"]);
}

#[test]
fn bounds_hold_while_a_keyspace_is_filled_emptied_and_filled_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    define(&mut a, "MAXMEMORY 4mb MAXDISK 8mb");
    let check = |a: &mut Client| {
        let now = figures(a);
        assert!(now["ram_bytes"] <= 4 << 20 && now["disk_bytes_peak"] <= 8 << 20, "{now:?}");
        now
    };
    let value = "v".repeat(20_000);
    for round in 0..3 {
        for i in 0..1500 {
            a.ok(&format!("SET c:{i} {round}{value}"));
            if i % 100 == 0 {
                check(&mut a);
            }
        }
        let now = check(&mut a);
        assert!(now["evictions"] > 500, "{now:?}");
        until("what was given up is not counted", || figures(&mut a)["keys"] < 700);
        let found = (0..1500).filter(|i| match a.call(&format!("GET c:{i}")) {
            Value::Null => false,
            found => {
                assert_eq!(found, bulk(format!("{round}{value}")));
                true
            }
        });
        assert!(found.count() > 100);
        check(&mut a);
        if round == 1 {
            a.ok("FLUSHALL");
            assert_eq!((a.int("DBSIZE"), a.call("GET c:1499")), (0, Value::Null));
        }
    }
}
