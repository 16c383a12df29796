//! How CLIENT, SLOWLOG, COMMAND and CONFIG answer what is not quite right.

use resp::Value;

use crate::harness::{TestServer, bulk, simple};

#[test]
fn filters_of_clients_are_refused_as_redis_refuses_them() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    for (command, expected) in [
        ("CLIENT KILL ID 1 2", "ERR syntax error"),
        ("CLIENT LIST TYPE normal TYPE pubsub", "ERR syntax error"),
        ("CLIENT LIST ID 1 a", "ERR Invalid client ID"),
        ("CLIENT LIST ID a", "ERR Invalid client ID"),
        ("CLIENT KILL ID a", "ERR client-id should be greater than 0"),
        ("CLIENT KILL ID -1", "ERR client-id should be greater than 0"),
        ("CLIENT KILL ID 99 TYPE normal SKIPME x", "ERR syntax error"),
        ("SLOWLOG GET a", "ERR count should be greater than or equal to -1"),
        ("CLIENT PAUSE 9223372036854775808", "ERR timeout is not an integer or out of range"),
    ] {
        assert_eq!(a.error(command), expected, "{command}");
    }
    assert_eq!(a.text("CLIENT LIST ID 0"), "");
    assert_eq!(a.int("CLIENT KILL TYPE pubsub ID 99"), 0);
}

#[test]
fn a_pause_may_last_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut a, mut b) = (server.client(), server.client());
    a.ok("CLIENT PAUSE 9223372036854775807 WRITE");
    b.post("SET k v");
    crate::harness::until("the write is held", || a.text("CLIENT LIST").contains(" flags=b "));
    a.ok("CLIENT UNPAUSE");
    assert_eq!(b.reply(), simple("OK"));
}

#[test]
fn a_subscriber_is_told_the_full_name_of_what_it_may_not_do() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.call("SUBSCRIBE x");
    assert!(a.error("CLIENT ID").starts_with("ERR Can't execute 'client|id': only "));
    assert!(a.error("CONFIG GET x").starts_with("ERR Can't execute 'config|get': only "));
    assert!(a.error("GET x").starts_with("ERR Can't execute 'get': only "));
}
