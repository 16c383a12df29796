//! MULTI, EXEC, DISCARD, WATCH.

use resp::Value;

use crate::harness::{TestServer, bulk, simple, until};

#[test]
fn a_transaction_runs_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.ok("MULTI");
    assert_eq!(a.call("SET k 1"), simple("QUEUED"));
    assert_eq!(a.call("INCR k"), simple("QUEUED"));
    assert_eq!(a.call("SELECT 1"), simple("QUEUED"));
    assert_eq!(a.call("GET k"), simple("QUEUED"));
    assert_eq!(b.call("GET k"), Value::Null);
    let replies = vec![simple("OK"), Value::Int(2), simple("OK"), Value::Null];
    assert_eq!(a.call("EXEC"), Value::Array(replies));
    assert_eq!(b.call("GET k"), bulk("2"));
    // SELECT inside of it stays.
    assert_eq!(a.call("GET k"), Value::Null);
    a.ok("MULTI");
    assert!(a.error("NOSUCH").starts_with("ERR unknown command"));
    assert_eq!(a.call("SET k 9"), simple("QUEUED"));
    assert!(a.error("EXEC").starts_with("EXECABORT"));
    assert_eq!(a.call("GET k"), Value::Null);
    a.ok("MULTI");
    a.ok("DISCARD");
    assert_eq!(a.error("EXEC"), "ERR EXEC without MULTI");
    assert_eq!(a.error("DISCARD"), "ERR DISCARD without MULTI");
}

#[test]
fn an_error_of_one_command_leaves_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.ok("SET text abc");
    a.ok("MULTI");
    a.call("INCR text");
    a.call("SET other 1");
    let Value::Array(replies) = a.call("EXEC") else { panic!("no array") };
    assert!(replies[0].is_error() && replies[1] == simple("OK"));
    assert_eq!(a.call("GET other"), bulk("1"));
}

#[test]
fn a_change_of_a_watched_key_by_anybody_stops_the_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--io-threads", "2"]);
    let (mut a, mut b) = (server.client(), server.client());
    for change in ["SET k 1", "DEL k", "APPEND k x"] {
        a.ok("WATCH k other");
        b.call(change);
        a.ok("MULTI");
        a.call("SET done 1");
        assert_eq!(a.call("EXEC"), Value::NullArray, "{change}");
    }
    // Nothing of it is left over for the next one, and one's own change does not count against oneself afterwards.
    a.ok("WATCH k");
    a.ok("UNWATCH");
    b.call("SET k 2");
    a.ok("MULTI");
    a.call("SET done 2");
    assert_eq!(a.call("EXEC"), Value::Array(vec![simple("OK")]));
    let mut c = server.client3();
    c.ok("WATCH k");
    b.call("SET k 3");
    c.ok("MULTI");
    assert_eq!(c.call("EXEC"), Value::Null);
}

#[test]
fn a_watched_key_that_expires_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.ok("SET k v PX 40");
    a.ok("WATCH k");
    until("k expires", || b.call("GET k") == Value::Null);
    a.ok("MULTI");
    a.call("SET done 1");
    assert_eq!(a.call("EXEC"), Value::NullArray);
    // A key that was not there when the watch began has not changed.
    a.ok("WATCH k");
    a.ok("MULTI");
    assert_eq!(a.call("EXEC"), Value::Array(Vec::new()));
}

#[test]
fn commands_that_lock_shards_are_refused_inside() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--enable-debug-command", "yes"]);
    let mut a = server.client();
    for command in ["DEBUG DIGEST", "CONFIG SET hash-max-listpack-entries 10", "SAVE"] {
        a.ok("MULTI");
        assert_eq!(a.error(command), "ERR Command not allowed inside a transaction");
        assert!(a.error("EXEC").starts_with("EXECABORT"));
    }
    a.ok("MULTI");
    for command in ["SET k 1", "INFO everything", "MEMORY STATS", "CLIENT LIST", "COMMAND", "CONFIG GET *", "DEL k"] {
        assert_eq!(a.call(command), simple("QUEUED"), "{command}");
    }
    let Value::Array(replies) = a.call("EXEC") else { panic!("no array") };
    assert_eq!(replies.len(), 7);
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
}
