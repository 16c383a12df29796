//! Clients whose commands miss what is at rest: they wait, and nobody else does. Readers are held back, so that it is known who waits.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::atomic::Ordering;

use resp::Value;

use crate::harness::{Client, TestServer, bulk, simple, until};

/// A server of which `cold:0` … `cold:31` are at rest, a list of one item, and `warm` in memory. Nobody says how much memory is
/// taken, so nothing comes into memory unless it is asked for.
fn server(dir: &Path, flags: &[&str]) -> TestServer {
    let first = TestServer::start(dir, &[]);
    let mut a = first.client();
    (0..32).for_each(|n| a.ok(&format!("SET cold:{n} {n}")));
    assert_eq!(a.int("RPUSH list item"), 1);
    // Here, and not behind: nobody polls beside a thread of low priority.
    first.node().engine.checkpoint().unwrap();
    drop((a, first));
    let second = TestServer::start(dir, &[&["--maxmemory", "1gb"], flags].concat());
    let mut a = second.client();
    assert_eq!(a.info("stats")["keys_at_rest"], "33");
    a.ok("SET warm 1");
    second
}

/// Waits until so many clients wait for a reader.
fn until_waiting(a: &mut Client, count: usize) {
    until("clients wait", || a.info("stats")["rest_waiting_clients"] == count.to_string());
}

fn connections(a: &mut Client) -> usize {
    a.info("clients")["connected_clients"].parse().unwrap()
}

#[test]
fn others_are_answered_while_one_waits_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let held = server.node().readers.hold();
    a.post("GET cold:1");
    until_waiting(&mut b, 1);
    assert_eq!((b.text("GET warm"), b.int("INCR warm")), ("1".into(), 2));
    until_waiting(&mut b, 1);
    drop(held);
    assert_eq!(a.reply(), bulk("1"));
    until_waiting(&mut b, 0);
}

#[test]
fn replies_of_one_client_stay_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let held = server.node().readers.hold();
    for line in ["PING", "CLIENT REPLY SKIP", "GET cold:0", "GET cold:1", "INCR warm", "GET cold:3", "APPEND cold:4 x"]
    {
        a.post(line);
    }
    a.post("SELECT 1");
    a.post("GET cold:5");
    until_waiting(&mut b, 1);
    assert_eq!(a.reply(), simple("PONG"), "what was answered before does not wait");
    assert_eq!(b.text("GET warm"), "1", "what stands behind has not run");
    drop(held);
    let expected = [bulk("1"), Value::Int(2), bulk("3"), Value::Int(2), simple("OK"), Value::Null];
    for value in expected {
        assert_eq!(a.reply(), value);
    }
}

#[test]
fn what_a_pipeline_misses_is_read_together() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let mut a = server.client();
    let before = server.node().readers.orders();
    let words: Vec<String> = (0..10).map(|n| format!("*2\r\n$3\r\nGET\r\n$6\r\ncold:{n}\r\n")).collect();
    a.wire.stream.write_all(words.concat().as_bytes()).unwrap();
    (0..10).for_each(|n| assert_eq!(a.reply(), bulk(n.to_string())));
    assert_eq!(server.node().readers.orders() - before, 1);
}

#[test]
fn a_transaction_waits_as_a_whole_and_sees_that_what_it_watches_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b, mut c) = (server.client(), server.client(), server.client());
    for client in [&mut a, &mut b] {
        client.ok("WATCH warm");
        client.ok("MULTI");
        assert_eq!(client.call("SET warm 9"), simple("QUEUED"));
    }
    assert_eq!(a.call("GET cold:1"), simple("QUEUED"));
    assert_eq!(b.call("GET cold:2"), simple("QUEUED"));
    let held = server.node().readers.hold();
    a.post("EXEC");
    until_waiting(&mut c, 1);
    assert_eq!(c.text("GET warm"), "1", "nothing of it can be seen");
    drop(held);
    assert_eq!(a.reply(), Value::Array(vec![simple("OK"), bulk("1")]));
    let held = server.node().readers.hold();
    b.post("EXEC");
    drop(held);
    assert_eq!(b.reply(), Value::NullArray, "a has changed it");
    b.ok("WATCH warm");
    b.ok("MULTI");
    assert_eq!(b.call("GET cold:3"), simple("QUEUED"));
    let held = server.node().readers.hold();
    b.post("EXEC");
    until_waiting(&mut c, 1);
    c.ok("SET warm 10");
    drop(held);
    assert_eq!(b.reply(), Value::NullArray, "it has changed while b waited");
    assert_eq!(b.text("GET warm"), "10");
}

#[test]
fn a_command_that_may_block_waits_for_the_disk_first() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let held = server.node().readers.hold();
    a.post("BLPOP list 0");
    until_waiting(&mut b, 1);
    assert_eq!(b.info("clients")["blocked_clients"], "0");
    drop(held);
    assert_eq!(a.reply(), Value::Array(vec![bulk("list"), bulk("item")]));
    a.post("BLPOP list 0");
    until("it blocks", || b.info("clients")["blocked_clients"] == "1");
    assert_eq!(b.int("RPUSH list next"), 1);
    assert_eq!(a.reply(), Value::Array(vec![bulk("list"), bulk("next")]));
}

#[test]
fn what_a_client_has_sent_runs_also_if_it_goes_away_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let mut b = server.client();
    let socket = TcpStream::connect(server.addr).unwrap();
    let mut a = Client { wire: crate::rig::Client::new(socket.try_clone().unwrap()) };
    let held = server.node().readers.hold();
    a.post("GET cold:1");
    a.post("INCR warm");
    socket.shutdown(Shutdown::Write).unwrap();
    until_waiting(&mut b, 1);
    drop(held);
    assert_eq!((a.reply(), a.reply()), (bulk("1"), Value::Int(2)));
    a.wait_closed();
    // And one that does not even wait for its replies.
    let mut a = server.client();
    let held = server.node().readers.hold();
    a.post("GET cold:2");
    a.post("INCR warm");
    until_waiting(&mut b, 1);
    drop((a, held));
    until("it has run and is gone", || b.text("GET warm") == "3" && connections(&mut b) == 1);
}

#[test]
fn a_client_that_waits_can_be_killed() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let id = a.id();
    let held = server.node().readers.hold();
    a.post("APPEND cold:1 x");
    until_waiting(&mut b, 1);
    assert_eq!(b.int(&format!("CLIENT KILL ID {id}")), 1);
    a.wait_closed();
    drop(held);
    until_waiting(&mut b, 0);
    assert_eq!(b.text("GET cold:1"), "1", "what waited has not run");
}

#[test]
fn a_stop_waits_for_what_is_being_read() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let (addr, held) = (server.addr, server.node().readers.hold());
    a.post("APPEND cold:1 x");
    until_waiting(&mut b, 1);
    let reads = std::thread::spawn(move || {
        until("nobody listens any more", || TcpStream::connect(addr).is_err());
        drop(held);
    });
    drop(server);
    reads.join().unwrap();
    assert_eq!(a.reply(), Value::Int(2));
    a.wait_closed();
    assert_eq!(TestServer::start(dir.path(), &[]).client().text("GET cold:1"), "1x");
}

#[test]
fn a_pause_holds_back_what_was_read_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let held = server.node().readers.hold();
    a.post("APPEND cold:1 x");
    until_waiting(&mut b, 1);
    b.ok("CLIENT PAUSE 100000 WRITE");
    drop(held);
    until_waiting(&mut b, 0);
    assert_eq!(b.text("GET cold:1"), "1");
    b.ok("CLIENT UNPAUSE");
    assert_eq!(a.reply(), Value::Int(2));
}

#[test]
fn what_was_let_in_is_not_refused_for_want_of_memory_when_it_runs_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let held = server.node().readers.hold();
    a.post("APPEND cold:1 x");
    until_waiting(&mut b, 1);
    // It stays so until the server looks again, a moment later.
    server.node().stats.over_memory.store(true, Ordering::Relaxed);
    drop(held);
    assert_eq!(a.reply(), Value::Int(2));
}

#[test]
fn without_readers_the_thread_that_runs_a_command_reads() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), &["--rest-read-threads", "0"]);
    let mut a = server.client();
    let _held = server.node().readers.hold();
    assert_eq!(a.text("GET cold:1"), "1");
    assert_eq!((server.node().readers.orders(), server.node().readers.waiting()), (0, 0));
}
