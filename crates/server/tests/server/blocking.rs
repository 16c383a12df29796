//! Clients that wait: how a wait ends without data, compared with a real Redis.

use std::net::SocketAddr;

use resp::Value;

use crate::harness::{Client, TestServer, until};
use crate::oracle::Oracle;

/// Commands that wait, with # where their timeout stands.
const WAITING: [&str; 8] = [
    "BLPOP a b #",
    "BRPOP a #",
    "BRPOPLPUSH a b #",
    "BLMOVE a b LEFT RIGHT #",
    "BLMPOP # 2 a b LEFT",
    "BZPOPMIN a b #",
    "BZPOPMAX a #",
    "BZMPOP # 2 a b MIN COUNT 3",
];

fn client(addr: SocketAddr, protocol: u8) -> Client {
    let mut client = Client::new(addr);
    if protocol == 3 {
        client.call("HELLO 3");
    }
    client
}

/// How a wait for nothing ends in each way that there is.
fn ends(addr: SocketAddr, protocol: u8, command: &str) -> Vec<(&'static str, Value)> {
    let (mut a, mut other) = (client(addr, protocol), client(addr, 2));
    let mut ends = vec![("its time is over", a.call(&command.replace('#', "0.01")))];
    a.ok("MULTI");
    a.call(&command.replace('#', "0"));
    ends.push(("inside of MULTI", a.call("EXEC")));
    let id = a.id();
    for (name, how) in [("unblocked", ""), ("unblocked by TIMEOUT", " TIMEOUT"), ("unblocked by ERROR", " ERROR")] {
        a.post(&command.replace('#', "0"));
        until("the client waits", || other.info("clients")["blocked_clients"] == "1");
        assert_eq!(other.int(&format!("CLIENT UNBLOCK {id}{how}")), 1);
        ends.push((name, a.reply()));
    }
    assert_eq!(other.int(&format!("CLIENT UNBLOCK {id}")), 0, "it waits no longer");
    until("nobody waits", || other.info("clients")["blocked_clients"] == "0");
    ends
}

#[test]
fn waits_end_without_data_as_those_of_redis_in_both_protocols() {
    let Some(oracle) = Oracle::start(&[]) else { return };
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--io-threads", "2"]);
    for command in WAITING {
        for protocol in [2, 3] {
            let theirs = ends(oracle.addr, protocol, command);
            assert_eq!(ends(server.addr, protocol, command), theirs, "{command} in RESP{protocol}");
        }
    }
}

#[test]
fn those_who_wait_and_what_they_wait_for_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b, mut c) = (server.client(), server.client(), server.client());
    a.post("BLPOP x y 0");
    b.post("BLPOP y 1000");
    until("both wait", || c.info("clients")["blocked_clients"] == "2");
    let info = c.info("clients");
    assert_eq!((&*info["total_blocking_keys"], &*info["clients_in_timeout_table"]), ("2", "1"));
    c.int("RPUSH y 1 2");
    a.reply();
    b.reply();
    until("nobody waits", || c.info("clients")["total_blocking_keys"] == "0");
}

#[test]
fn a_client_that_does_not_touch_leaves_access_times_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    // A key that was used long ago, as RESTORE may say.
    let age = |a: &mut Client| {
        a.ok("SET from v");
        a.send(&[b"DUMP", b"from"]);
        let Value::Bulk(dump) = a.reply() else { panic!("no dump") };
        a.send(&[b"RESTORE", b"k", b"0", &dump, b"REPLACE", b"IDLETIME", b"1000"]);
        a.reply();
    };
    age(&mut a);
    a.ok("CLIENT NO-TOUCH ON");
    a.call("GET k");
    a.call("EXISTS k");
    a.ok("MULTI");
    a.call("GET k");
    a.call("EXEC");
    assert!(a.int("OBJECT IDLETIME k") >= 1000);
    assert_eq!(a.int("TOUCH k"), 1);
    assert!(a.int("OBJECT IDLETIME k") < 1000, "TOUCH touches in any case");
    age(&mut a);
    a.ok("CLIENT NO-TOUCH OFF");
    a.call("GET k");
    assert!(a.int("OBJECT IDLETIME k") < 1000);
    age(&mut a);
    a.ok("CLIENT NO-TOUCH ON");
    a.ok("CLIENT NO-EVICT ON");
    assert!(a.text("CLIENT INFO").contains(" flags=eT "));
    assert_eq!(a.call("RESET"), Value::Simple(b"RESET".to_vec()));
    assert!(a.text("CLIENT INFO").contains(" flags=N "));
    a.call("GET k");
    assert!(a.int("OBJECT IDLETIME k") < 1000);
}
