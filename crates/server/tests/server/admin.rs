//! CONFIG, renamed commands, maxmemory, SLOWLOG, LATENCY, DEBUG.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use resp::Value;
use server::memory::{Allocator, AllocatorFigures};

use crate::harness::{TestServer, bulk, simple, until};

#[test]
fn settings_are_read_changed_and_written_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redis.conf");
    std::fs::write(&file, "# ours\nmaxmemory 1gb\n").unwrap();
    {
        let server = TestServer::with_file(dir.path(), Some(&file), &[]);
        let mut a = server.client();
        assert_eq!(a.call("CONFIG GET maxmemory"), Value::Array(vec![bulk("maxmemory"), bulk("1073741824")]));
        a.ok("CONFIG SET maxmemory 2gb appendfsync always");
        assert_eq!(a.call("CONFIG GET appendfsync"), Value::Array(vec![bulk("appendfsync"), bulk("always")]));
        assert!(a.error("CONFIG SET appendfsync sometimes maxmemory 3gb").starts_with("ERR CONFIG SET failed"));
        assert!(a.error("CONFIG SET nosuch 1").starts_with("ERR Unknown option"));
        assert_eq!(a.call("CONFIG GET maxmemory"), Value::Array(vec![bulk("maxmemory"), bulk("2147483648")]));
        a.ok("CONFIG REWRITE");
        let mut b = server.client3();
        assert!(matches!(b.call("CONFIG GET max*"), Value::Map(pairs) if pairs.len() > 2));
    }
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("# ours\nmaxmemory 2") && text.contains("appendfsync always"), "{text}");
    let server = TestServer::with_file(dir.path(), Some(&file), &[]);
    assert_eq!(server.client().call("CONFIG GET maxmemory").as_slice().unwrap()[1], bulk("2147483648"));
}

#[test]
fn without_a_file_nothing_is_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    assert_eq!(server.client().error("CONFIG REWRITE"), "ERR The server is running without a config file");
}

#[test]
fn renamed_commands_answer_to_their_new_names() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redis.conf");
    std::fs::write(&file, "rename-command CONFIG \"\"\nrename-command GET fetch\n").unwrap();
    let server = TestServer::with_file(dir.path(), Some(&file), &[]);
    let mut a = server.client();
    a.ok("SET k v");
    assert!(a.error("CONFIG GET *").starts_with("ERR unknown command 'CONFIG'"));
    assert!(a.error("GET k").starts_with("ERR unknown command 'GET'"));
    assert_eq!(a.call("FETCH k"), bulk("v"));
}

/// An allocator that says what the test wants.
struct Fake(Arc<AtomicU64>);

impl Allocator for Fake {
    fn name(&self) -> String {
        "fake".into()
    }

    fn figures(&self) -> AllocatorFigures {
        let allocated = self.0.load(Ordering::Relaxed);
        AllocatorFigures { allocated, active: allocated + 100, resident: allocated + 300 }
    }

    fn purge(&self) {
        self.0.store(1000, Ordering::Relaxed);
    }

    fn report(&self) -> String {
        "nothing to report".into()
    }
}

#[test]
fn above_maxmemory_what_needs_memory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--maxmemory", "1mb"]);
    let used = Arc::new(AtomicU64::new(1000));
    server.node().set_allocator(Arc::new(Fake(Arc::clone(&used))), 1 << 20);
    let mut a = server.client();
    a.ok("SET k v");
    used.store(2 << 20, Ordering::Relaxed);
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    until("the bound is noticed", || matches!(a.call("SET k v"), Value::Error(text) if text == oom.as_bytes()));
    assert_eq!(a.call("GET k"), bulk("v"));
    assert_eq!(a.int("DEL k"), 1);
    let info = a.info("memory");
    assert_eq!((info["used_memory"].as_str(), info["mem_allocator"].as_str()), ("2097152", "fake"));
    assert_eq!(info["used_memory_peak"], "2097152");
    assert!(a.text("MEMORY DOCTOR").contains("maxmemory"));
    a.ok("MEMORY PURGE");
    until("it is below the bound again", || a.call("SET k v") == simple("OK"));
    assert_eq!(a.text("MEMORY MALLOC-STATS"), "nothing to report");
    a.ok("CONFIG SET maxmemory 10");
    until("the new bound is noticed", || a.call("SET k v").is_error());
    a.ok("CONFIG SET maxmemory 0");
    until("no bound holds", || a.call("SET k v") == simple("OK"));
}

#[test]
fn slow_commands_are_logged_newest_first() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--slowlog-log-slower-than", "0", "--slowlog-max-len", "5"]);
    let mut a = server.client();
    a.ok("CLIENT SETNAME me");
    a.ok("SLOWLOG RESET");
    for i in 0..8 {
        a.ok(&format!("SET k{i} v"));
    }
    let Value::Array(entries) = a.call("SLOWLOG GET -1") else { panic!("no array") };
    assert_eq!(entries.len(), 5);
    let first = entries[0].as_slice().unwrap();
    assert_eq!(first.len(), 6);
    assert_eq!(first[3], Value::Array(vec![bulk("SET"), bulk("k7"), bulk("v")]));
    assert_eq!(first[4], bulk(a.wire.stream.local_addr().unwrap().to_string()));
    assert_eq!(first[5], bulk("me"));
    assert!(matches!(a.call("SLOWLOG GET 2"), Value::Array(entries) if entries.len() == 2));
    assert_eq!(a.int("SLOWLOG LEN"), 5);
    assert_eq!(a.error("SLOWLOG GET -2"), "ERR count should be greater than or equal to -1");
    a.ok("CONFIG SET slowlog-log-slower-than -1");
    a.ok("SLOWLOG RESET");
    assert_eq!(a.int("SLOWLOG LEN"), 0);
}

#[test]
fn latency_is_counted_for_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &[]);
    let mut a = server.client3();
    for _ in 0..10 {
        a.call("GET k");
    }
    let Value::Map(commands) = a.call("LATENCY HISTOGRAM get client") else { panic!("no map") };
    assert_eq!(commands.len(), 1);
    let Value::Map(fields) = &commands[0].1 else { panic!("no map") };
    assert_eq!(fields[0], (bulk("calls"), Value::Int(10)));
    let Value::Map(buckets) = &fields[1].1 else { panic!("no map") };
    assert_eq!(buckets.last().unwrap().1, Value::Int(10));
    a.ok("CONFIG SET latency-tracking no");
    assert_eq!(a.call("LATENCY HISTOGRAM"), Value::Map(Vec::new()));
    assert_eq!(a.call("LATENCY LATEST"), Value::Array(Vec::new()));
    assert!(a.error("LATENCY GRAPH command").starts_with("ERR No samples available"));
    assert!(a.text("LATENCY DOCTOR").contains("latency-monitor-threshold"));
}

#[test]
fn spikes_are_kept_from_the_threshold_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--latency-monitor-threshold", "1"]);
    let mut a = server.client();
    // A command that takes longer than a millisecond on any machine: the common part of two long texts.
    let text = "ab".repeat(4000);
    a.ok(&format!("SET one {text}"));
    a.ok(&format!("SET two {}", text.replace('a', "c")));
    until("a spike is noted", || {
        a.call("LCS one two LEN");
        matches!(a.call("LATENCY LATEST"), Value::Array(events) if !events.is_empty())
    });
    let Value::Array(history) = a.call("LATENCY HISTORY command") else { panic!("no array") };
    assert!(history[0].as_slice().unwrap()[1].as_int().unwrap() >= 1);
    assert!(a.text("LATENCY GRAPH command").starts_with("command - high "));
    assert!(a.text("LATENCY DOCTOR").contains("command: "));
    a.ok("CONFIG SET latency-monitor-threshold 0");
    assert!(a.int("LATENCY RESET command fast-command") >= 1);
    assert_eq!(a.call("LATENCY LATEST"), Value::Array(Vec::new()));
}

#[test]
fn debug_is_for_those_who_may() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--enable-debug-command", "no"]);
    assert!(server.client().error("DEBUG DIGEST").starts_with("ERR DEBUG command not allowed"));
    drop(server);
    let server = TestServer::start(dir.path(), &["--enable-debug-command", "local"]);
    let mut a = server.client();
    let empty = a.text("DEBUG DIGEST");
    a.ok("SET k v");
    let one = a.text("DEBUG DIGEST");
    assert_ne!(empty, one);
    a.ok("SET k w");
    assert_ne!(one, a.text("DEBUG DIGEST"));
    a.ok("SET k v");
    assert_eq!(one, a.text("DEBUG DIGEST"));
    a.ok("SET l v");
    let Value::Array(values) = a.call("DEBUG DIGEST-VALUE k l nosuch") else { panic!("no array") };
    assert_eq!((&values[0], values[2].as_bytes().unwrap()), (&values[1], "0".repeat(40).as_bytes()));
    assert!(a.text("DEBUG OBJECT k").contains(" encoding:embstr "));
    assert_eq!(a.error("DEBUG OBJECT nosuch"), "ERR no such key");
    assert_eq!(a.call("DEBUG SLEEP 0.01"), simple("OK"));
    assert!(a.error("DEBUG RELOAD").starts_with("ERR the data set cannot be loaded again"));
    assert!(a.error("DEBUG NOSUCH").starts_with("ERR unknown subcommand or wrong number of arguments for 'NOSUCH'"));
    assert!(matches!(a.call("DEBUG HELP"), Value::Array(lines) if lines.len() > 5));
}

#[test]
fn expired_keys_stay_stored_while_reclaiming_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), &["--enable-debug-command", "yes"]);
    let mut a = server.client();
    a.ok("DEBUG SET-ACTIVE-EXPIRE 0");
    a.ok("SET k v PX 1");
    until("k is hidden", || a.call("GET k") == Value::Null);
    assert_eq!(a.info("keyspace")["db0"].split(',').next(), Some("keys=1"));
    a.ok("DEBUG SET-ACTIVE-EXPIRE 1");
    until("k is reclaimed", || !a.info("keyspace").contains_key("db0"));
    assert_eq!(a.info("stats")["expired_keys"], "1");
}
