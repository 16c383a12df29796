//! Passwords are not shown to those who look on, and browsers do not get to send commands.

use std::io::Write;

use resp::Value;

use crate::harness::{Client, TestServer, bulk, simple};

/// The next line of a monitor, from the client's address on without it: ` [db] "words"`.
pub fn line(monitor: &mut Client) -> String {
    let Value::Simple(line) = monitor.reply() else { panic!("no line") };
    let line = String::from_utf8(line).unwrap();
    let (time, rest) = line.split_once(" [").unwrap();
    let (seconds, us) = time.split_once('.').unwrap();
    assert!(seconds.parse::<u64>().is_ok() && us.len() == 6 && us.parse::<u64>().is_ok(), "{line}");
    let (from, words) = rest.split_once("] ").unwrap();
    format!("[{}] {words}", from.split_once(' ').unwrap().0)
}

/// The words of the newest entries of the slow log, the newest last; asking for them is not among them.
pub fn slow(client: &mut Client, count: usize) -> Vec<String> {
    let Value::Array(entries) = client.call(&format!("SLOWLOG GET {count}")) else { panic!("no array") };
    let words = |entry: &Value| {
        let words = entry.as_slice().unwrap()[3].as_slice().unwrap().iter();
        words.map(|word| String::from_utf8_lossy(word.as_bytes().unwrap()).into_owned()).collect::<Vec<_>>().join(" ")
    };
    entries.iter().rev().map(words).collect()
}

#[test]
fn monitors_see_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut monitor, mut a) = (server.client(), server.client());
    monitor.ok("MONITOR");
    assert!(matches!(a.call("HELLO 2 AUTH default x"), Value::Array(_)));
    assert_eq!(line(&mut monitor), r#"[0] "HELLO" "2" "AUTH" "(redacted)" "(redacted)""#);
    a.ok("AUTH default x");
    assert_eq!(line(&mut monitor), r#"[0] "AUTH" "(redacted)" "(redacted)""#);
    a.error("AUTH x");
    assert_eq!(line(&mut monitor), r#"[0] "AUTH" "(redacted)""#);
    a.ok("CONFIG SET masterauth x");
    assert_eq!(a.call("PING"), simple("PONG"));
    assert_eq!(line(&mut monitor), r#"[0] "PING""#);
}

#[test]
fn the_slow_log_keeps_no_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--slowlog-log-slower-than", "0"]);
    let mut a = server.client();
    a.ok("CONFIG SET requirepass hunter2 masterauth secret3");
    a.ok("AUTH hunter2");
    a.error("AUTH default other");
    a.call("HELLO 3 AUTH default hunter2 SETNAME me");
    let seen = slow(&mut a, 4);
    assert_eq!(
        seen,
        [
            "CONFIG SET requirepass (redacted) masterauth (redacted)",
            "AUTH (redacted)",
            "AUTH (redacted) (redacted)",
            "HELLO 3 AUTH (redacted) (redacted) SETNAME me",
        ]
    );
}

#[test]
fn an_http_request_ends_the_connection_and_runs_nothing_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    for request in [
        "POST / HTTP/1.1\r\nHost: localhost:6379\r\nContent-Length: 13\r\n\r\nSET pwned 1\r\n",
        "GET / HTTP/1.1\r\nhOsT: localhost:6379\r\n\r\nSET pwned 1\r\n",
        "*1\r\n$4\r\npost\r\nSET pwned 1\r\n",
    ] {
        let mut browser = server.client();
        browser.wire.stream.write_all(request.as_bytes()).unwrap();
        while let Some(reply) = browser.next() {
            // GET has two arguments too many.
            assert!(matches!(&reply, Value::Error(text) if text.starts_with(b"ERR wrong number")), "{reply:?}");
        }
    }
    let mut a = server.client();
    assert_eq!(a.int("EXISTS pwned"), 0);
    assert!(a.error("PUT / HTTP/1.1").starts_with("ERR unknown command 'PUT'"));
}

#[test]
fn options_of_shutdown_that_contradict_each_other_stop_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    let wrong = [
        "SHUTDOWN SAVE NOSAVE",
        "SHUTDOWN nosave save",
        "SHUTDOWN ABORT NOW",
        "SHUTDOWN NOW ABORT",
        "SHUTDOWN ABORT FORCE",
        "SHUTDOWN NOW FORCE x",
    ];
    for command in wrong {
        assert_eq!(a.error(command), "ERR syntax error", "{command}");
    }
    assert_eq!(a.error("SHUTDOWN ABORT"), "ERR No shutdown in progress.");
    assert_eq!(a.error("SHUTDOWN ABORT ABORT"), "ERR No shutdown in progress.");
    assert_eq!(a.call("ECHO still"), bulk("still"));
}
