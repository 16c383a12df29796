//! Random schedules. `BIND_SCHEDULES` says how many, `BIND_SEED` runs one.

use causal::bind::{Input, Key, KeyUse};

use crate::cluster::Cluster;

struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("run it again with BIND_SEED={}", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one schedule: how many binds were committed and aborted, and how many of the commits took one round trip.
fn run(seed: u64) -> (usize, usize, usize) {
    let _seed = Seed(seed);
    let mut cluster = Cluster::new(3 + seed % 5, seed);
    let ids = cluster.ids();
    cluster.audit = cluster.rng.percent(50);
    cluster.loss_percent = cluster.rng.pick(&[0, 0, 5, 20, 50]);
    cluster.crash_percent = cluster.rng.pick(&[0, 0, 1, 5]);
    let keys = cluster.rng.pick(&[1, 2, 4]);
    let most_binds = cluster.rng.pick(&[2, 3, 5, 9]);
    let key = |at: usize| Key::named(format!("k{at}").as_bytes());
    for _ in 0..cluster.rng.pick(&[40, 100, 200]) {
        let id = cluster.rng.pick(&ids);
        let other = cluster.rng.pick(&ids);
        let up = cluster.nodes[&id].up;
        match cluster.rng.below(100) {
            0..12 if up && cluster.binds.len() < most_binds => {
                let mut used = Vec::new();
                for at in 0..keys {
                    let (read, written) = (cluster.rng.percent(40), cluster.rng.percent(40));
                    if read || written {
                        used.push(KeyUse { key: key(at), read, written });
                    }
                }
                cluster.begin(id, used);
            }
            12..15 if up => {
                let at = cluster.rng.below(keys);
                cluster.write_plain(id, key(at));
            }
            15..40 if up => drop(cluster.apply_next(id, other)),
            40..75 if !cluster.net.is_empty() => {
                let at = cluster.rng.below(cluster.net.len());
                if cluster.rng.percent(10) {
                    let twice = cluster.net[at].clone();
                    cluster.net.push(twice);
                }
                cluster.deliver(at);
            }
            75..84 => {
                cluster.now_ms += cluster.rng.pick(&[1, 10, 60, 300]);
                if up {
                    cluster.step(id, Input::Tick);
                }
            }
            84..89 if up && !cluster.binds.is_empty() => {
                let at = cluster.rng.below(cluster.binds.len());
                let dot = *cluster.binds.keys().nth(at).expect("counted");
                cluster.step(id, Input::Recover(dot));
            }
            89..91 if cluster.crash_percent > 0 => cluster.node(id).up = false,
            91..94 => cluster.restart(id),
            94..97 => cluster.node(id).side = (seed % 3 > 0) as u8 & cluster.rng.below(2) as u8,
            97..100 if up && !cluster.audit => cluster.stable(id),
            _ => {}
        }
    }
    cluster.heal();
    cluster.agree();
    assert_eq!(cluster.verdicts.len(), cluster.binds.len(), "every bind has a verdict");
    let committed = cluster.verdicts.values().filter(|vote| vote.commit).count();
    let at_once = cluster.verdicts.values().filter(|vote| vote.commit && vote.ballot.0 == 0).count();
    (committed, cluster.verdicts.len() - committed, at_once)
}

#[test]
fn whatever_the_network_does_verdicts_agree_and_exclude_competitors() {
    if let Some(seed) = number("BIND_SEED") {
        run(seed);
        return;
    }
    let (mut committed, mut aborted, mut at_once) = (0, 0, 0);
    for seed in 0..number("BIND_SCHEDULES").unwrap_or(10_000) {
        let (c, a, o) = run(seed);
        (committed, aborted, at_once) = (committed + c, aborted + a, at_once + o);
    }
    println!("{committed} committed, {at_once} of them in one round trip, {aborted} aborted");
    assert!(at_once * 4 > committed && committed > at_once && aborted > committed / 4, "the schedules show all of it");
}
