//! What the wire costs on loopback: `cargo run --release -p cluster --example wire`.
//!
//! Two meshes in one process, each with its thread. Processor time is that of these threads alone, from
//! `/proc/self/task`; whoever sends and takes frames here costs a copy and is not counted.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "it prints what it measures, and ends if it cannot")]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use cluster::{Config, Event, Inbox, Mesh, NodeId, Passphrase, Passphrases, SendError};

fn main() {
    let (taker_id, giver_id) = (NodeId::new(1).unwrap(), NodeId::new(2).unwrap());
    let secret = Passphrases::new(vec![Passphrase::new(cluster::generate().unwrap().as_bytes()).unwrap()]).unwrap();
    let mut taker = Config::new(taker_id, secret.clone());
    taker.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    let (taker, taken) = Mesh::start(taker).unwrap();
    let mut giver = Config::new(giver_id, secret);
    giver.join = vec![taker.addresses()[0].to_string()];
    let (giver, told) = Mesh::start(giver).unwrap();
    for inbox in [&taken, &told] {
        while !matches!(inbox.recv(), Some(Event::PeerUp(_))) {}
    }
    // They have their names by now; the taker's was started first.
    let tasks = threads();
    let cpu = || [cpu_ns(&tasks[1]), cpu_ns(&tasks[0])];

    println!("frame       MB/s  frames/s   CPU ms/MB: sends  takes   CPU ns/frame: sends  takes");
    for (size, count) in [(100usize, 10_000_000u64), (1_000, 2_000_000), (64 << 10, 30_000), (1 << 20, 2_000)] {
        let (began, before) = (Instant::now(), cpu());
        thread::scope(|scope| {
            scope.spawn(|| take(&taken, count));
            let frame = vec![7; size];
            for _ in 0..count {
                give(&giver, &told, taker_id, &frame);
            }
        });
        let (seconds, after) = (began.elapsed().as_secs_f64(), cpu());
        let mb = (size as u64 * count) as f64 / 1e6;
        let used = [0, 1].map(|n| (after[n] - before[n]) as f64);
        println!(
            "{size:>7} {:>8.0} {:>9.0} {:>18.3} {:>6.3} {:>20.0} {:>6.0}",
            mb / seconds,
            count as f64 / seconds,
            used[0] / 1e6 / mb,
            used[1] / 1e6 / mb,
            used[0] / count as f64,
            used[1] / count as f64,
        );
    }

    for (what, bursts, burst) in
        [("one at a time", 20_000u64, 1u64), ("10 at once", 20_000, 10), ("1,000 at once", 5_000, 1000)]
    {
        let wire = || giver.metrics().peers[0].bytes_out;
        let (began, before, wire_before) = (Instant::now(), cpu(), wire());
        for _ in 0..bursts {
            (0..burst).for_each(|_| giver.queue(taker_id, &[7; 100]).unwrap());
            giver.flush();
            // The next one begins when this is there, as with rounds that wait for an answer.
            take(&taken, burst);
        }
        let frames = (bursts * burst) as f64;
        let used = [0, 1].map(|n| (cpu()[n] - before[n]) as f64 / frames);
        println!(
            "frames of 100 B, {what}: {:.1} bytes on the wire each (TLS included, TCP not), {:.1} µs until all of a burst \
             are taken, CPU {:.0} + {:.0} ns each",
            (wire() - wire_before) as f64 / frames,
            began.elapsed().as_secs_f64() * 1e6 / bursts as f64,
            used[0],
            used[1],
        );
    }
}

fn give(mesh: &Mesh, told: &Inbox, to: NodeId, frame: &[u8]) {
    loop {
        match mesh.send(to, frame) {
            Ok(()) => return,
            Err(SendError::Full) => while !matches!(told.recv().unwrap(), Event::Room(_)) {},
            Err(error) => panic!("{error}"),
        }
    }
}

fn take(inbox: &Inbox, count: u64) {
    let (mut events, mut taken) = (Vec::new(), 0);
    while taken < count {
        events.extend(inbox.recv());
        inbox.drain(&mut events);
        taken += events.drain(..).filter(|event| matches!(event, Event::Frame(..))).count() as u64;
    }
}

/// The threads of meshes, in the order in which they were started.
fn threads() -> Vec<PathBuf> {
    let all = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let ours = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "cluster\n");
    let mut found: Vec<_> = all.filter(ours).collect();
    found.sort_by_key(|task| task.file_name().unwrap().to_str().unwrap().parse::<u32>().unwrap());
    found
}

/// Nanoseconds that it was on a processor, in steps of 10 ms.
fn cpu_ns(task: &Path) -> u64 {
    let text = fs::read_to_string(task.join("stat")).unwrap();
    let numbers = text.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    numbers.map(|ticks| ticks.parse::<u64>().unwrap() * 10_000_000).sum()
}
