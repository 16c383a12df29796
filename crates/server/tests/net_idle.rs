//! Thousands of idle clients cost little and do not slow the busy ones. A binary of its own: it measures the process.
#![allow(clippy::unwrap_used)]

#[path = "server/rig.rs"]
mod rig;

use rig::{Client, Rig, bulk, pong};
use server::net::NetConfig;

/// Bytes of RAM that this process has, client ends included.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn an_idle_client_costs_less_than_two_kib_after_it_was_busy() {
    const CLIENTS: usize = 2000;
    let rig = Rig::start(NetConfig { io_threads: 2, ..NetConfig::default() });
    let value = vec![b'v'; 8000];
    // Buffers that threads keep for all of their clients are no client's.
    for _ in 0..300 {
        assert_eq!(rig.client().call(&[b"ECHO", &value]), bulk(&value));
    }
    let before = resident();
    // Only the socket is kept of each client, so that their own buffers are not counted.
    let streams: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = rig.client();
            assert_eq!(client.call(&[b"ECHO", &value]), bulk(&value));
            client.stream
        })
        .collect();
    let each = resident().saturating_sub(before) / CLIENTS;
    assert!(each < 2048, "{each} bytes for each idle client");
    assert_eq!(rig.server.control().clients_per_thread(), [CLIENTS / 2, CLIENTS / 2]);
    let mut busy = rig.client();
    (0..1000).for_each(|_| assert_eq!(busy.say("PING"), pong()));
    for stream in streams.into_iter().step_by(100) {
        assert_eq!(Client::new(stream).say("PING"), pong());
    }
    rig.wait_for("all others are gone", |totals| totals.clients == 1);
}
