//! Latencies of reads beside the load: of a key at random, and of the same key again, which was touched just before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::expect::Expect;
use super::owner::Owner;
use crate::conn::{Conn, command};
use crate::measure::latency::Latencies;
use crate::rng::Rng;

/// Between two keys: it is to measure the load of others, not to be it.
const PAUSE: Duration = Duration::from_micros(500);

/// Reads keys of an owner that does nothing, until `stop` is set: first of a key just touched, then of any.
pub fn run(conn: &mut Conn, owner: &Owner, seed: u64, stop: &AtomicBool) -> Result<(Latencies, Latencies)> {
    let (mut touched, mut any) = (Latencies::default(), Latencies::default());
    let mut rng = Rng::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let Some((name, blob)) = owner.random_text(&mut rng) else { continue };
        let (get, expect) = (command(&[&b"GET"[..], &name]), Expect::bulk(Some(blob.bytes())));
        for latencies in [&mut any, &mut touched] {
            let began = Instant::now();
            let reply = conn.call(&get)?;
            latencies.push(began.elapsed());
            expect.check(&get, &reply)?;
        }
        std::thread::sleep(PAUSE);
    }
    Ok((touched, any))
}
