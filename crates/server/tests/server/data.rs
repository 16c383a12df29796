//! Data outlives the process.

use resp::Value;

use crate::harness::{TestServer, bulk};

#[test]
fn a_restart_keeps_all_data_under_every_policy() {
    for policy in ["always", "everysec", "no"] {
        let dir = tempfile::tempdir().unwrap();
        let flags = ["--appendfsync", policy, "--enable-debug-command", "yes"];
        let digest = {
            let server = TestServer::start(dir.path(), &flags);
            let mut a = server.client();
            for i in 0..200 {
                a.ok(&format!("SET key{i} value{i}"));
            }
            a.ok("SET late v EX 1000");
            a.ok("SELECT 9");
            a.ok("SET other v");
            a.int("INCRBY count 41");
            a.int("INCR count");
            a.text("DEBUG DIGEST")
        };
        let server = TestServer::start(dir.path(), &flags);
        let mut a = server.client();
        assert_eq!(a.text("DEBUG DIGEST"), digest, "{policy}");
        assert_eq!(a.call("GET key199"), bulk("value199"));
        a.ok("SELECT 9");
        assert_eq!(a.call("GET count"), bulk("42"));
        let info = a.info("keyspace");
        assert!(info["db0"].starts_with("keys=201,expires=1,") && info["db9"].starts_with("keys=2,"), "{info:?}");
    }
}

#[test]
fn a_transaction_is_one_batch_in_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--appendfsync", "always"]);
    let mut a = server.client();
    let before: u64 = a.info("persistence")["log_records"].parse().unwrap();
    a.ok("MULTI");
    for i in 0..10 {
        a.call(&format!("SET key{i} v"));
    }
    assert!(matches!(a.call("EXEC"), Value::Array(replies) if replies.len() == 10));
    assert_eq!(a.info("persistence")["log_records"], (before + 1).to_string());
}

#[test]
fn shutdown_stops_the_server_and_keeps_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    a.ok("SET k v");
    assert_eq!(a.error("SHUTDOWN ABORT"), "ERR No shutdown in progress.");
    a.post("SHUTDOWN NOSAVE");
    a.wait_closed();
    drop(server);
    let server = TestServer::start(dir.path(), &[]);
    assert_eq!(server.client().call("GET k"), bulk("v"));
}

#[test]
fn one_command_may_have_millions_of_arguments() {
    let dir = tempfile::tempdir().unwrap();
    let count = 1_500_000;
    {
        let server = TestServer::start(dir.path(), &["--appendfsync", "no"]);
        let mut a = server.client();
        let elements: Vec<String> = (0..count).map(|i| i.to_string()).collect();
        let words = [b"RPUSH", b"l".as_slice()].into_iter().chain(elements.iter().map(String::as_bytes));
        a.send(&words.collect::<Vec<_>>());
        assert_eq!(a.reply().as_int(), Some(count));
    }
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client();
    assert_eq!(a.int("LLEN l"), count);
    assert_eq!(a.call("LINDEX l 1234567"), bulk("1234567"));
}
