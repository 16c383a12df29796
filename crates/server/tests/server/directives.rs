//! What directives do when they change while the server runs.

use std::io::Write;
use std::net::SocketAddr;

use resp::Value;

use crate::harness::{Client, TestServer, bulk, until};
use crate::oracle::Oracle;

fn server(flags: &[&str]) -> (tempfile::TempDir, TestServer) {
    let dir = tempfile::tempdir().unwrap();
    let server = TestServer::start(dir.path(), flags);
    (dir, server)
}

/// What a client hears when memory is short.
fn short_of_memory(addr: SocketAddr) -> Vec<Value> {
    let (mut a, mut other) = (Client::new(addr), Client::new(addr));
    a.call("FLUSHALL");
    a.int("RPUSH l a b");
    a.ok("MULTI");
    a.call("SET q 1");
    other.ok("CONFIG SET maxmemory 1");
    let mut replies = Vec::new();
    for command in
        ["EXEC", "SET k v", "LPUSH l c", "GET k", "LPOP l", "DEL l", "MULTI", "GET k", "EXEC", "MULTI", "DISCARD"]
    {
        replies.push(a.call(command));
    }
    other.ok("CONFIG SET maxmemory 0");
    replies.push(a.call("SET k v"));
    replies
}

#[test]
fn above_maxmemory_commands_that_need_memory_are_refused_as_by_redis() {
    let Some(oracle) = Oracle::start(&[]) else { return };
    let (_dir, ours) = server(&[]);
    assert_eq!(short_of_memory(ours.addr), short_of_memory(oracle.addr));
}

#[test]
fn what_would_be_a_false_promise_is_refused() {
    let (_dir, ours) = server(&[]);
    let mut a = ours.client();
    assert!(a.error("CONFIG SET maxmemory-policy allkeys-lru").contains("only keyspaces of mode cache evict"));
    for change in ["port 1", "bind 127.0.0.9"] {
        assert!(a.error(&format!("CONFIG SET {change}")).contains("restart"), "{change}");
    }
    a.ok("SET k v");
    let text = a.error("OBJECT FREQ k");
    assert!(text.starts_with("ERR An LFU maxmemory policy is not selected"), "{text}");
    assert_eq!(a.call("OBJECT FREQ nope"), Value::Null);
}

#[test]
fn a_checkpoint_is_taken_when_the_log_has_grown_as_configured() {
    let (_dir, ours) = server(&["--auto-aof-rewrite-percentage", "0"]);
    let mut a = ours.client();
    let value = "v".repeat(100_000);
    (0..30).for_each(|_| a.ok(&format!("SET k {value}")));
    let info = a.info("persistence");
    assert_eq!(
        (&*info["aof_rewrites"], &*info["aof_last_rewrite_time_sec"], &*info["aof_base_size"]),
        ("0", "-1", "0")
    );
    let size: u64 = info["aof_current_size"].parse().unwrap();
    assert!(size > 3_000_000);
    a.ok("CONFIG SET auto-aof-rewrite-percentage 100 checkpoint-log-size 1mb");
    until("a checkpoint is taken", || {
        let info = a.info("persistence");
        info["aof_rewrites"] != "0" && info["aof_rewrite_in_progress"] == "0"
    });
    let info = a.info("persistence");
    assert_eq!((&*info["aof_last_bgrewrite_status"], &*info["aof_current_rewrite_time_sec"]), ("ok", "-1"));
    assert_ne!(info["aof_last_rewrite_time_sec"], "-1");
    let base: u64 = info["aof_base_size"].parse().unwrap();
    assert!(base > 100_000 && base < size / 2, "{base}");
}

#[test]
fn a_stricter_fsync_policy_counts_from_the_next_reply_on() {
    let (_dir, ours) = server(&["--appendfsync", "no"]);
    let mut a = ours.client();
    a.ok("SET k v");
    a.ok("CONFIG SET appendfsync always");
    for _ in 0..20 {
        a.ok("SET k v");
        let info = a.info("persistence");
        assert_eq!(info["log_durable_position"], info["log_end_position"]);
    }
    let synced: u64 = a.info("persistence")["log_fsyncs"].parse().unwrap();
    a.ok("CONFIG SET appendfsync no");
    (0..20).for_each(|_| a.ok("SET k v"));
    let later: u64 = a.info("persistence")["log_fsyncs"].parse().unwrap();
    assert!(synced >= 20 && later < synced + 20, "{synced} {later}");
}

#[test]
fn durations_are_kept_only_while_they_are_tracked() {
    let (_dir, ours) = server(&["--latency-tracking", "no"]);
    let mut a = ours.client();
    a.ok("SET k v");
    assert_eq!(a.call("LATENCY HISTOGRAM set"), Value::Array(vec![]));
    assert!(a.info("latencystats").is_empty());
    a.ok("CONFIG SET latency-tracking yes");
    a.ok("SET k v");
    assert!(a.info("latencystats").contains_key("latency_percentiles_usec_set"));
    let Value::Array(histogram) = a.call("LATENCY HISTOGRAM set") else { panic!("no array") };
    let fields = histogram[1].as_slice().unwrap();
    assert_eq!(fields[..2], [bulk("calls"), Value::Int(1)], "the one before was not tracked");
}

#[test]
fn limits_of_clients_change_while_they_are_connected() {
    let (_dir, ours) = server(&[]);
    let (mut a, mut long, mut large) = (ours.client(), ours.client(), ours.client());
    long.call("PING");
    large.call("PING");
    a.ok("CONFIG SET proto-max-bulk-len 1mb client-query-buffer-limit 2mb");
    long.wire.stream.write_all(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n").unwrap();
    let text = long.reply();
    assert_eq!(text, Value::Error(b"ERR Protocol error: invalid bulk length".to_vec()));
    long.wait_closed();
    assert!(a.error(&format!("SETRANGE k {} x", 1 << 20)).contains("string exceeds maximum allowed size"));
    // More small arguments than fit; the server closes while we still write.
    let mut bytes = b"*1000000\r\n".to_vec();
    (0..40_000).for_each(|_| bytes.extend([&b"$100\r\n"[..], &[b'x'; 100], b"\r\n"].concat()));
    let _ = large.wire.stream.write_all(&bytes);
    large.wait_closed();
    assert_eq!(a.info("stats")["client_query_buffer_limit_disconnections"], "1");
}

#[test]
fn a_subscriber_that_reads_nothing_is_closed_at_the_limit_in_force() {
    let (_dir, ours) = server(&[]);
    let (mut a, mut deaf) = (ours.client(), ours.client());
    deaf.call("SUBSCRIBE c");
    a.send(&[b"CONFIG", b"SET", b"client-output-buffer-limit", b"pubsub 1mb 0 0"]);
    a.reply();
    let message = "m".repeat(100_000);
    until("it is closed", || {
        a.int(&format!("PUBLISH c {message}"));
        a.info("stats")["client_output_buffer_limit_disconnections"] == "1"
    });
    assert_eq!(a.int("PUBLISH c x"), 0);
}

#[test]
fn the_idle_are_closed_after_the_timeout_in_force_and_the_subscribed_stay() {
    let (_dir, ours) = server(&[]);
    let (mut a, mut idle, mut listener) = (ours.client(), ours.client(), ours.client());
    idle.call("PING");
    listener.call("SUBSCRIBE c");
    a.ok("CONFIG SET timeout 1");
    until("the idle client is closed", || a.info("clients")["connected_clients"] == "2");
    idle.wait_closed();
    assert_eq!(a.int("PUBLISH c x"), 1);
    listener.reply();
}
