//! Writers for whom there is no room in memory: they wait, and nobody else does. How much is taken is what a test says.

use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use resp::Value;
use server::memory::{Allocator, AllocatorFigures};

use crate::harness::{Client, TestServer, bulk, simple, until};

/// Bytes that are taken, of 1 GiB that there are.
struct Taken(AtomicU64);

impl Allocator for Taken {
    fn name(&self) -> String {
        "a test".into()
    }

    fn figures(&self) -> AllocatorFigures {
        let taken = self.0.load(Ordering::Relaxed);
        AllocatorFigures { allocated: taken, active: taken, resident: taken }
    }

    fn purge(&self) {}

    fn report(&self) -> String {
        String::new()
    }
}

impl Taken {
    fn free(&self) {
        self.0.store(1 << 20, Ordering::Relaxed);
    }
}

/// A server with one I/O thread, whose memory is full. Keys may leave it, since they can be at rest.
fn full(dir: &Path, flags: &[&str]) -> (TestServer, Arc<Taken>) {
    let server = TestServer::start(dir, &[&["--maxmemory", "1gb", "--io-threads", "1"], flags].concat());
    let mut a = server.client();
    a.ok("SET cold 1");
    a.ok("SET count 1");
    server.node().engine.checkpoint().unwrap();
    let taken = Arc::new(Taken(AtomicU64::new(2 << 30)));
    server.node().set_allocator(Arc::clone(&taken) as _, 0);
    (server, taken)
}

fn until_waiting(a: &mut Client, count: usize) {
    until("writers wait", || a.info("stats")["room_waiting_clients"] == count.to_string());
}

#[test]
fn others_of_the_same_thread_are_answered_while_a_writer_waits_for_room() {
    let dir = tempfile::tempdir().unwrap();
    let (server, taken) = full(dir.path(), &[]);
    let (mut a, mut b, mut c) = (server.client(), server.client(), server.client());
    for line in ["PING", "CLIENT REPLY SKIP", "SET skipped 1", "SET new 1", "INCR new", "GET new"] {
        a.post(line);
    }
    assert_eq!(a.reply(), simple("PONG"), "what was answered before does not wait");
    c.post("APPEND cold 2");
    until_waiting(&mut b, 2);
    assert_eq!((b.text("GET count"), b.call("GET new")), ("1".into(), Value::Null));
    assert_eq!(b.int("DEL count"), 1, "what needs no memory does not wait for it");
    until_waiting(&mut b, 2);
    taken.free();
    assert_eq!([a.reply(), a.reply(), a.reply()], [simple("OK"), Value::Int(2), bulk("2")]);
    assert_eq!(c.reply(), Value::Int(2));
    until_waiting(&mut b, 0);
    assert_eq!(b.text("GET skipped"), "1");
}

#[test]
fn a_writer_that_has_waited_in_vain_is_refused_and_who_comes_next_does_not_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _taken) = full(dir.path(), &[]);
    let (mut a, mut b, mut c) = (server.client(), server.client(), server.client());
    b.ok("MULTI");
    a.post("SET new 1");
    a.post("SET new 2");
    b.post("SET new 3");
    until_waiting(&mut c, 2);
    let is_refused = |reply: Value| matches!(reply, Value::Error(text) if text.starts_with(b"OOM "));
    assert!(is_refused(a.reply()) && is_refused(a.reply()) && is_refused(b.reply()));
    assert!(is_refused(c.call("SET new 4")), "nobody waits for the time being");
    assert!(b.error("EXEC").starts_with("EXECABORT "), "the transaction is broken");
    assert_eq!((c.call("GET new"), c.text("GET count")), (Value::Null, "1".into()));
    assert_eq!(server.node().lobby.waiting(), 0);
}

#[test]
fn a_transaction_waits_for_room_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (server, taken) = full(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    taken.free();
    until("there is room", || b.call("SET probe 1") == simple("OK") && b.call("SET probe 2") == simple("OK"));
    a.ok("MULTI");
    assert_eq!((a.call("INCR count"), a.call("GET count")), (simple("QUEUED"), simple("QUEUED")));
    taken.0.store(2 << 30, Ordering::Relaxed);
    server.node().look_at_memory();
    a.post("EXEC");
    until_waiting(&mut b, 1);
    assert_eq!(b.text("GET count"), "1", "nothing of it can be seen");
    taken.free();
    assert_eq!(a.reply(), Value::Array(vec![Value::Int(2), bulk("2")]));
}

#[test]
fn what_a_writer_has_sent_runs_also_if_it_goes_away_while_it_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (server, taken) = full(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.post("APPEND new x");
    a.post("INCR count");
    until_waiting(&mut b, 1);
    drop(a);
    taken.free();
    until("it has run", || b.text("GET count") == "2");
    assert_eq!(b.text("GET new"), "x");
}

#[test]
fn a_writer_that_waits_can_be_killed() {
    let dir = tempfile::tempdir().unwrap();
    let (server, taken) = full(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let id = a.id();
    a.post("APPEND new x");
    until_waiting(&mut b, 1);
    assert_eq!(b.int(&format!("CLIENT KILL ID {id}")), 1);
    a.wait_closed();
    taken.free();
    until_waiting(&mut b, 0);
    assert_eq!(b.call("GET new"), Value::Null);
}

#[test]
fn a_stop_waits_for_those_who_wait_for_room() {
    let dir = tempfile::tempdir().unwrap();
    let (server, taken) = full(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    let addr = server.addr;
    a.post("APPEND new x");
    until_waiting(&mut b, 1);
    let frees = std::thread::spawn(move || {
        until("nobody listens any more", || TcpStream::connect(addr).is_err());
        taken.free();
    });
    drop(server);
    frees.join().unwrap();
    assert_eq!(a.reply(), Value::Int(1));
    a.wait_closed();
    assert_eq!(TestServer::start(dir.path(), &[]).client().text("GET new"), "x");
}

/// One that waited for room may then miss what is at rest.
#[test]
fn without_readers_a_writer_that_has_waited_for_room_reads_where_it_runs() {
    for readers in ["0", "1"] {
        let dir = tempfile::tempdir().unwrap();
        let (server, taken) = full(dir.path(), &["--rest-read-threads", readers]);
        let (mut a, mut b) = (server.client(), server.client());
        until("all have left memory", || b.info("stats")["keys_at_rest"] == "2");
        a.post("APPEND cold 2");
        until_waiting(&mut b, 1);
        taken.free();
        assert_eq!(a.reply(), Value::Int(2));
        assert_eq!(b.text("GET cold"), "12");
    }
}
