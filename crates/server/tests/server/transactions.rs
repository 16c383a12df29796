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
fn a_write_that_fails_but_makes_the_string_longer_has_changed_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    for (already, changed) in [(1, true), (32, false)] {
        a.ok(&format!("SET s {}", "x".repeat(already)));
        a.ok("WATCH s");
        assert_eq!(
            b.call("BITFIELD s OVERFLOW FAIL INCRBY u63 1 -9223372036854775808"),
            Value::Array(vec![Value::Null])
        );
        a.ok("MULTI");
        assert_eq!(a.call("EXEC") == Value::NullArray, changed, "{already} bytes");
        assert_eq!(b.call("STRLEN s"), Value::Int(already.max(8) as i64));
    }
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
fn what_a_transaction_says_to_the_server_may_touch_its_own_shards() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.ok("WATCH k other");
    a.ok("MULTI");
    for command in ["SET k 1", "UNWATCH", "GET k", "CONFIG SET set-max-intset-entries 300", "DBSIZE", "INCR k"] {
        assert_eq!(a.call(command), simple("QUEUED"), "{command}");
    }
    let replies = [simple("OK"), simple("OK"), bulk("1"), simple("OK"), Value::Int(1), Value::Int(2)];
    assert_eq!(a.call("EXEC"), Value::Array(replies.to_vec()));
    assert_eq!(b.call("GET k"), bulk("2"));
    // What was watched has changed: then none of them runs.
    a.ok("WATCH k");
    b.ok("SET k 3");
    a.ok("MULTI");
    a.call("CONFIG SET set-max-intset-entries 301");
    assert_eq!(a.call("EXEC"), Value::NullArray);
    assert_eq!(
        b.call("CONFIG GET set-max-intset-entries"),
        Value::Array(vec![bulk("set-max-intset-entries"), bulk("300")])
    );
}

#[test]
fn those_who_watch_and_wait_stay_with_the_name_when_databases_change_places() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b, mut other) = (server.client(), server.client(), server.client());
    other.ok("SELECT 1");
    // The swap brings the key: a change, and something to pop.
    other.ok("SET k 1");
    a.ok("WATCH k");
    other.ok("SWAPDB 0 1");
    a.ok("MULTI");
    assert_eq!(a.call("EXEC"), Value::NullArray);
    // A write to the name that is watched, after a swap that did not concern it.
    a.ok("WATCH later");
    other.ok("SWAPDB 0 1");
    b.ok("SET later 1");
    a.ok("MULTI");
    assert_eq!(a.call("EXEC"), Value::NullArray);
    let blocked =
        || until("a client waits", || server.node().stats.blocked.load(std::sync::atomic::Ordering::Relaxed) == 1);
    other.call("RPUSH l x");
    a.post("BLPOP l 0");
    blocked();
    other.ok("SWAPDB 0 1");
    assert_eq!(a.reply(), Value::Array(vec![bulk("l"), bulk("x")]));
    a.post("BLPOP l 0");
    blocked();
    other.ok("SWAPDB 1 2");
    other.ok("SWAPDB 0 1");
    b.call("RPUSH l y");
    assert_eq!(a.reply(), Value::Array(vec![bulk("l"), bulk("y")]));
}

#[test]
fn commands_about_the_whole_server_may_stand_in_a_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--enable-debug-command", "yes"]);
    let mut a = server.client();
    a.ok("MULTI");
    assert_eq!(a.error("SAVE"), "ERR Command not allowed inside a transaction");
    assert!(a.error("EXEC").starts_with("EXECABORT"));
    a.ok("MULTI");
    let asked = ["INFO everything", "MEMORY STATS", "CLIENT LIST", "COMMAND", "CONFIG GET *", "DEBUG DIGEST", "DEL k"];
    for command in std::iter::once("SET k 1").chain(asked) {
        assert_eq!(a.call(command), simple("QUEUED"), "{command}");
    }
    let Value::Array(replies) = a.call("EXEC") else { panic!("no array") };
    assert_eq!(replies.len(), 1 + asked.len());
    assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
}

#[test]
fn keys_at_rest_are_watched_and_a_transaction_goes_from_one_database_to_another_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.ok("MSET there 1 other 2");
    a.ok("SELECT 1");
    a.ok("MSET k 3 l 4");
    server.node().engine.checkpoint().unwrap();
    drop(server);
    // As long as nobody has said how much memory is taken, keys come only when they are asked for.
    let server = TestServer::start(dir.path(), &["--maxmemory", "1gb"]);
    let (mut a, mut b) = (server.client(), server.client());
    let at_rest = |client: &mut crate::harness::Client| client.info("stats")["keys_at_rest"].clone();
    assert_eq!(at_rest(&mut a), "4");
    a.ok("WATCH there nowhere");
    assert_eq!(at_rest(&mut a), "3");
    a.ok("MULTI");
    for command in ["GET there", "SELECT 1", "GET k", "GET l"] {
        assert_eq!(a.call(command), simple("QUEUED"));
    }
    assert_eq!(a.call("EXEC"), Value::Array(vec![bulk("1"), simple("OK"), bulk("3"), bulk("4")]));
    a.ok("SELECT 0");
    for change in ["SET other 5", "FLUSHALL"] {
        a.ok("WATCH other");
        b.ok(change);
        a.ok("MULTI");
        assert_eq!(a.call("GET other"), simple("QUEUED"));
        assert_eq!(a.call("EXEC"), Value::NullArray, "{change}");
    }
}
