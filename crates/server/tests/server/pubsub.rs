//! Publish/subscribe between clients.

use resp::Value;

use crate::harness::{Client, TestServer, bulk, simple};

fn subscribe(client: &mut Client, command: &str) -> Vec<Value> {
    client.post(command);
    let count = command.split(' ').count() - 1;
    (0..count).map(|_| client.reply()).collect()
}

#[test]
fn messages_reach_channels_and_patterns_in_resp2() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--io-threads", "2"]);
    let (mut listener, mut publisher) = (server.client(), server.client());
    let replies = subscribe(&mut listener, "SUBSCRIBE news sport");
    assert_eq!(replies[1], Value::Array(vec![bulk("subscribe"), bulk("sport"), Value::Int(2)]));
    subscribe(&mut listener, "PSUBSCRIBE n*");
    assert_eq!(publisher.int("PUBLISH news hello"), 2);
    assert_eq!(listener.reply(), Value::Array(vec![bulk("message"), bulk("news"), bulk("hello")]));
    assert_eq!(listener.reply(), Value::Array(vec![bulk("pmessage"), bulk("n*"), bulk("news"), bulk("hello")]));
    assert_eq!(publisher.int("PUBLISH nobody hello"), 1);
    listener.reply();
    assert!(listener.error("GET k").starts_with("ERR Can't execute 'get'"));
    assert_eq!(listener.call("PING"), Value::Array(vec![bulk("pong"), bulk("")]));
    assert_eq!(publisher.call("PUBSUB CHANNELS"), publisher.call("PUBSUB CHANNELS *"));
    assert_eq!(publisher.int("PUBSUB NUMPAT"), 1);
    assert!(publisher.text("CLIENT LIST TYPE pubsub").contains(" flags=P db=0 sub=2 psub=1 "));
    listener.post("UNSUBSCRIBE");
    listener.reply();
    listener.reply();
    assert_eq!(listener.call("PUNSUBSCRIBE n*"), Value::Array(vec![bulk("punsubscribe"), bulk("n*"), Value::Int(0)]));
    assert_eq!(listener.call("GET k"), Value::Null);
    assert_eq!(publisher.int("PUBLISH news hello"), 0);
}

#[test]
fn messages_are_pushes_in_resp3_and_commands_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut listener, mut publisher) = (server.client3(), server.client3());
    assert_eq!(
        subscribe(&mut listener, "SUBSCRIBE news"),
        [Value::Push(vec![bulk("subscribe"), bulk("news"), Value::Int(1)])]
    );
    listener.ok("SET k v");
    assert_eq!(listener.call("PING"), simple("PONG"));
    assert_eq!(publisher.int("PUBLISH news hello"), 1);
    assert_eq!(listener.reply(), Value::Push(vec![bulk("message"), bulk("news"), bulk("hello")]));
    // RESET ends it.
    assert_eq!(listener.call("RESET"), simple("RESET"));
    assert_eq!(publisher.int("PUBLISH news hello"), 0);
}

#[test]
fn a_listener_that_goes_away_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut listener, mut publisher) = (server.client(), server.client());
    subscribe(&mut listener, "SUBSCRIBE news");
    drop(listener);
    crate::harness::until("the listener is gone", || publisher.int("PUBLISH news hello") == 0);
    assert_eq!(publisher.call("PUBSUB CHANNELS"), Value::Array(Vec::new()));
}

#[test]
fn a_monitor_sees_commands_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let (mut monitor, mut other) = (server.client(), server.client());
    monitor.ok("MONITOR");
    other.ok("SET key va\"lue");
    let Value::Simple(line) = monitor.reply() else { panic!("no line") };
    let line = String::from_utf8(line).unwrap();
    assert!(line.ends_with("\"SET\" \"key\" \"va\\\"lue\""), "{line}");
}
