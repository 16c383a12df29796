//! CLIENT, AUTH, HELLO.

use resp::Value;

use crate::harness::{TestServer, bulk, simple, until};

#[test]
fn a_client_is_listed_with_redis_fields_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.ok("CLIENT SETNAME worker");
    a.ok("CLIENT SETINFO LIB-NAME redis-rs");
    a.ok("CLIENT SETINFO lib-ver 1.2.3");
    a.ok("SELECT 3");
    let line = a.text("CLIENT INFO");
    assert!(line.ends_with('\n'));
    let names: Vec<&str> = line.split_whitespace().filter_map(|field| field.split_once('=')).map(|(n, _)| n).collect();
    let redis = [
        "id",
        "addr",
        "laddr",
        "fd",
        "name",
        "age",
        "idle",
        "flags",
        "db",
        "sub",
        "psub",
        "ssub",
        "multi",
        "watch",
        "qbuf",
        "qbuf-free",
        "argv-mem",
        "multi-mem",
        "rbs",
        "rbp",
        "obl",
        "oll",
        "omem",
        "tot-mem",
        "events",
        "cmd",
        "user",
        "redir",
        "resp",
        "lib-name",
        "lib-ver",
    ];
    assert_eq!(&names[..redis.len()], redis);
    let local = a.wire.stream.local_addr().unwrap();
    let start = format!("id={} addr={local} laddr={} fd=", a.id(), server.addr);
    assert!(line.starts_with(&start), "{line} does not start with {start}");
    for part in [
        " name=worker ",
        " flags=N ",
        " db=3 ",
        " multi=-1 ",
        " cmd=client|info ",
        " resp=2 lib-name=redis-rs lib-ver=1.2.3",
    ] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert_eq!(a.text("CLIENT GETNAME"), "worker");
    assert!(a.error("CLIENT SETINFO LIB-COLOUR red").starts_with("ERR Unrecognized option"));
    a.send(&[b"CLIENT", b"SETNAME", b"with space"]);
    assert!(a.reply().is_error());
}

#[test]
fn filters_choose_clients() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--io-threads", "2"]);
    let (mut a, mut b, mut c) = (server.client(), server.client(), server.client());
    b.ok("CLIENT SETNAME bee");
    c.ok("SELECT 5");
    c.ok("MULTI");
    let (id_a, id_b, id_c) = (a.id(), b.id(), {
        assert_eq!(c.call("GET k"), simple("QUEUED"));
        a.text("CLIENT LIST DB 5").split(['=', ' ']).nth(1).unwrap().parse::<i64>().unwrap()
    });
    let mut ids = |filter: &str| -> Vec<i64> {
        let text = a.text(&format!("CLIENT LIST {filter}"));
        text.lines().map(|line| line.split(['=', ' ']).nth(1).unwrap().parse().unwrap()).collect()
    };
    assert_eq!(ids("TYPE normal"), [id_a, id_b, id_c]);
    assert!(ids("TYPE pubsub").is_empty());
    assert_eq!(ids(&format!("ID {id_c} {id_b} 9999")), [id_b, id_c]);
    assert_eq!(ids("NAME bee"), [id_b]);
    assert_eq!(ids("NOT-NAME bee SKIPME yes"), [id_c]);
    assert_eq!(ids("FLAGS x"), [id_c]);
    assert!(ids("MAXAGE 1000").is_empty());
    let local = b.wire.stream.local_addr().unwrap();
    assert_eq!(ids(&format!("ADDR {local} USER default")), [id_b]);
    assert!(a.error("CLIENT LIST TYPE aliens").starts_with("ERR Unknown client type"));
    assert_eq!(a.error("CLIENT LIST NAME"), "ERR syntax error");
    assert_eq!(a.error("CLIENT LIST ID x"), "ERR Invalid client ID");
}

#[test]
fn killed_clients_are_gone_and_a_suicide_has_its_reply() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--io-threads", "2"]);
    let (mut a, mut b, mut c) = (server.client(), server.client(), server.client());
    let (id_b, addr_c) = (b.id(), c.wire.stream.local_addr().unwrap());
    assert_eq!(a.int(&format!("CLIENT KILL ID {id_b}")), 1);
    b.wait_closed();
    a.ok(&format!("CLIENT KILL {addr_c}"));
    c.wait_closed();
    assert_eq!(a.error("CLIENT KILL 127.0.0.1:1"), "ERR No such client");
    assert_eq!(a.int("CLIENT KILL TYPE normal"), 0);
    assert_eq!(a.error("CLIENT KILL ID 0"), "ERR client-id should be greater than 0");
    assert_eq!(a.error("CLIENT KILL USER nobody"), "ERR No such user 'nobody'");
    assert_eq!(a.error("CLIENT KILL ID 1 SKIPME"), "ERR syntax error");
    assert_eq!(a.int("CLIENT KILL TYPE normal SKIPME no"), 1);
    a.wait_closed();
    let mut d = server.client();
    until("all others are gone", || d.text("CLIENT LIST").lines().count() == 1);
}

#[test]
fn a_pause_holds_commands_back_until_it_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--io-threads", "2"]);
    let (mut a, mut writer, mut reader) = (server.client(), server.client(), server.client());
    a.ok("CLIENT PAUSE 3600000 WRITE");
    writer.post("SET k 1");
    until("the write is held", || a.text("CLIENT LIST").contains(" flags=b "));
    assert_eq!(reader.call("GET k"), Value::Null);
    a.ok("CLIENT UNPAUSE");
    assert_eq!(writer.reply(), simple("OK"));
    a.ok("CLIENT PAUSE 3600000");
    reader.post("GET k");
    writer.post("PING");
    a.ok("CLIENT UNPAUSE");
    assert_eq!(reader.reply(), bulk("1"));
    assert_eq!(writer.reply(), simple("PONG"));
    // One that ends by itself.
    a.ok("CLIENT PAUSE 30 ALL");
    assert_eq!(reader.call("GET k"), bulk("1"));
    assert_eq!(a.error("CLIENT PAUSE -1"), "ERR timeout is negative");
    assert_eq!(a.error("CLIENT PAUSE x"), "ERR timeout is not an integer or out of range");
}

#[test]
fn replies_are_left_out_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.post("CLIENT REPLY SKIP");
    a.post("SET skipped 1");
    assert_eq!(a.call("GET skipped"), bulk("1"));
    a.post("CLIENT REPLY OFF");
    a.post("SET off 1");
    a.post("NOSUCH");
    a.ok("CLIENT REPLY ON");
    assert_eq!(a.call("GET off"), bulk("1"));
    assert_eq!(a.error("CLIENT REPLY MAYBE"), "ERR syntax error");
}

#[test]
fn a_reply_that_is_not_wanted_is_not_given_after_a_wait_either() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.post("CLIENT REPLY SKIP");
    a.post("BLPOP served 0");
    until("it waits", || b.info("clients")["blocked_clients"] == "1");
    assert_eq!(b.int("RPUSH served x"), 1);
    assert_eq!(a.call("ECHO next"), bulk("next"));
    a.post("CLIENT REPLY OFF");
    a.post("BLPOP never 0.01");
    a.ok("CLIENT REPLY ON");
    b.ok("CLIENT PAUSE 20 WRITE");
    a.post("CLIENT REPLY SKIP");
    a.post("SET held 1");
    assert_eq!(a.call("GET held"), bulk("1"));
}

#[test]
fn nobody_is_unblocked_who_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    let id = a.id();
    assert_eq!(a.int(&format!("CLIENT UNBLOCK {id}")), 0);
    assert_eq!(a.int("CLIENT UNBLOCK 9999 ERROR"), 0);
    assert_eq!(a.error("CLIENT UNBLOCK 1 LATER"), "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    assert_eq!(a.error("CLIENT UNBLOCK x"), "ERR value is not an integer or out of range");
    assert_eq!(a.int("CLIENT GETREDIR"), -1);
    a.ok("CLIENT NO-EVICT on");
    a.ok("CLIENT NO-TOUCH on");
    assert!(a.text("CLIENT INFO").contains(" flags=eT "));
    a.ok("CLIENT NO-EVICT off");
    assert!(matches!(a.call("CLIENT TRACKINGINFO"), Value::Array(items) if items.len() == 6));
}

#[test]
fn without_the_password_nothing_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--requirepass", "secret"]);
    let mut a = server.client();
    assert_eq!(a.error("GET k"), "NOAUTH Authentication required.");
    assert!(a.error("AUTH wrong").starts_with("WRONGPASS"));
    assert!(a.error("AUTH somebody secret").starts_with("WRONGPASS"));
    assert!(a.error("HELLO 3").starts_with("NOAUTH HELLO must be called"));
    a.ok("AUTH secret");
    assert_eq!(a.call("GET k"), Value::Null);
    let mut b = server.client();
    let Value::Map(pairs) = b.call("HELLO 3 AUTH default secret SETNAME bee") else { panic!("no map") };
    let get = |name: &str| pairs.iter().find(|(key, _)| *key == bulk(name)).map(|(_, value)| value.clone());
    assert_eq!(get("proto"), Some(Value::Int(3)));
    assert_eq!(get("role"), Some(bulk("master")));
    assert_eq!(get("modules"), Some(Value::Array(Vec::new())));
    assert_eq!(b.text("CLIENT GETNAME"), "bee");
    assert_eq!(b.call("GET k"), Value::Null);
    assert_eq!(b.call("RESET"), simple("RESET"));
    assert_eq!(b.error("GET k"), "NOAUTH Authentication required.");
}

#[test]
fn protocols_other_than_2_and_3_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    assert_eq!(a.error("HELLO 4"), "NOPROTO unsupported protocol version");
    assert_eq!(a.error("HELLO three"), "ERR Protocol version is not an integer or out of range");
    assert!(a.error("HELLO 3 COLOUR red").starts_with("ERR Syntax error in HELLO option 'COLOUR'"));
    assert!(matches!(a.call("HELLO"), Value::Array(items) if items.len() == 14));
    assert!(matches!(a.call("HELLO 3"), Value::Map(_)));
    assert!(matches!(a.call("HELLO 2"), Value::Array(_)));
    assert!(a.error("AUTH any").contains("without any password configured"));
    a.ok("AUTH default any");
    a.ok("QUIT");
    a.wait_closed();
}
