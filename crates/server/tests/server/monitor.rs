//! MONITOR.

use resp::Value;

use crate::harness::{TestServer, simple};
use crate::secrets::line;

#[test]
fn words_are_quoted_as_redis_quotes_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut monitor, mut a) = (server.client(), server.client());
    monitor.ok("MONITOR");
    a.send(&[b"SET", b"it's\x07\x08\n\r\t\\\"\x00\xff~ ", b"y"]);
    assert_eq!(a.reply(), simple("OK"));
    assert_eq!(line(&mut monitor), r#"[0] "SET" "it's\a\b\n\r\t\\\"\x00\xff~ " "y""#);
}

#[test]
fn a_line_shows_the_database_that_its_command_left_the_client_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut monitor, mut a) = (server.client(), server.client());
    monitor.ok("MONITOR");
    a.ok("SELECT 3");
    a.call("GET k");
    a.call("LASTSAVE");
    assert_eq!(line(&mut monitor), r#"[3] "SELECT" "3""#);
    assert_eq!(line(&mut monitor), r#"[3] "GET" "k""#);
    assert_eq!(line(&mut monitor), r#"[3] "LASTSAVE""#);
}

#[test]
fn commands_of_a_transaction_are_shown_when_they_run_and_exec_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut monitor, mut a) = (server.client(), server.client());
    monitor.ok("MONITOR");
    a.ok("MULTI");
    for command in ["GET k", "SELECT 2", "CONFIG GET port", "SET k v", "AUTH x"] {
        assert_eq!(a.call(command), simple("QUEUED"));
    }
    a.call("EXEC");
    a.ok("MULTI");
    a.call("GET never");
    a.ok("DISCARD");
    let seen: Vec<String> = (0..8).map(|_| line(&mut monitor)).collect();
    let expected = [
        r#"[0] "MULTI""#,
        r#"[0] "GET" "k""#,
        r#"[2] "SELECT" "2""#,
        r#"[2] "SET" "k" "v""#,
        r#"[2] "AUTH" "(redacted)""#,
        r#"[2] "EXEC""#,
        r#"[2] "MULTI""#,
        r#"[2] "DISCARD""#,
    ];
    assert_eq!(seen, expected);
}

#[test]
fn reset_ends_monitoring_with_nothing_behind_its_reply() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut monitor, mut other) = (server.client(), server.client());
    monitor.ok("MONITOR");
    other.ok("MONITOR");
    assert_eq!(monitor.call("PING"), simple("PONG"));
    assert_eq!(line(&mut monitor), r#"[0] "PING""#);
    // Lines of what it says in the same breath come too late for it.
    monitor.post("ECHO 1");
    assert_eq!(monitor.call("RESET").as_bytes(), Some(&b"1"[..]));
    let mut reset = monitor.reply();
    if reset != simple("RESET") {
        // The two came apart: then the line of ECHO belongs between them.
        reset = monitor.reply();
    }
    assert_eq!(reset, simple("RESET"));
    assert_eq!(monitor.call("PING"), simple("PONG"));
    assert_eq!(monitor.call("PING"), simple("PONG"));
    let seen: Vec<String> = (0..5).map(|_| line(&mut other)).collect();
    let expected = [r#"[0] "PING""#, r#"[0] "ECHO" "1""#, r#"[0] "RESET""#, r#"[0] "PING""#, r#"[0] "PING""#];
    assert_eq!(seen, expected);
}

#[test]
fn monitoring_does_not_begin_inside_a_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.ok("MULTI");
    assert_eq!(a.call("MONITOR"), simple("QUEUED"));
    let refused = Value::Error(b"ERR MONITOR isn't allowed for DENY BLOCKING client".to_vec());
    assert_eq!(a.call("EXEC"), Value::Array(vec![refused]));
    assert_eq!(b.call("PING"), simple("PONG"));
    assert!(!b.text("CLIENT LIST").contains(" flags=O "));
    assert_eq!(a.call("PING"), simple("PONG"));
}
