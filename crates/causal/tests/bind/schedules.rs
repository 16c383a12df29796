//! Random schedules. `BIND_SCHEDULES` says how many, `BIND_SEED` runs one.

use causal::bind::{Input, Key, KeyUse};

use crate::cluster::Cluster;
use crate::rng::Rng;

struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("run it again with BIND_SEED={}", self.0);
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What happens, by how often in a hundred: begin, plain write, next effect, message, time, recovery, crash, restart, partition,
/// stability. The second is for recoveries that overtake each other.
const CALM: [usize; 10] = [12, 3, 25, 35, 9, 5, 2, 3, 3, 3];
const DUELS: [usize; 10] = [3, 4, 9, 56, 2, 18, 2, 4, 1, 1];

/// Runs one schedule: how many binds were committed and aborted, and how many of the commits took one round trip.
fn run(seed: u64) -> (usize, usize, usize) {
    let _seed = Seed(seed);
    let mut rng = Rng(!seed);
    let duels = rng.percent(50);
    let n = if duels { rng.pick(&[3, 3, 3, 5]) } else { 3 + seed % 5 };
    let mut cluster = Cluster::new(n, seed);
    let ids = cluster.ids();
    cluster.audit = rng.percent(50);
    cluster.loss_percent = rng.pick(&[0, 0, 5, 20, 50]);
    cluster.crash_percent = rng.pick(&[0, 0, 1, 5]);
    let keys = rng.pick(&[1, 2, 4]);
    let most_binds = rng.pick(&[2, 3, 5, 9]);
    for _ in 0..rng.pick(&[40, 100, 200]) {
        let what = draw(&mut rng, if duels { &DUELS } else { &CALM });
        event(&mut cluster, &mut rng, &ids, what, (keys, most_binds));
    }
    cluster.heal();
    cluster.agree();
    assert_eq!(cluster.verdicts.len(), cluster.binds.len(), "every bind has a verdict");
    let committed = cluster.verdicts.values().filter(|vote| vote.commit).count();
    let at_once = cluster.verdicts.values().filter(|vote| vote.commit && vote.ballot.0 == 0).count();
    (committed, cluster.verdicts.len() - committed, at_once)
}

fn draw(rng: &mut Rng, weights: &[usize; 10]) -> usize {
    let mut left = rng.below(weights.iter().sum());
    weights
        .iter()
        .position(|weight| left.checked_sub(*weight).map(|rest| left = rest).is_none())
        .expect("below the sum")
}

fn event(cluster: &mut Cluster, rng: &mut Rng, ids: &[u64], what: usize, (keys, most_binds): (usize, usize)) {
    let (id, other) = (rng.pick(ids), rng.pick(ids));
    if rng.percent(60) {
        cluster.tell_own(id);
    }
    let up = cluster.nodes[&id].up;
    let key = |at: usize| Key::named(format!("k{at}").as_bytes());
    match what {
        0 if up && cluster.binds.len() < most_binds => {
            let mut used = Vec::new();
            for at in 0..keys {
                let (read, written) = (rng.percent(40), rng.percent(40));
                if read || written {
                    used.push(KeyUse { key: key(at), read, written });
                }
            }
            cluster.write_bind(id, used);
        }
        1 if up => cluster.write_plain(id, key(rng.below(keys))),
        2 if up => drop(cluster.apply_next(id, other)),
        3 if !cluster.net.is_empty() => {
            let at = rng.below(cluster.net.len());
            if rng.percent(10) {
                let twice = cluster.net[at].clone();
                cluster.net.push(twice);
            }
            cluster.deliver(at);
        }
        4 => {
            cluster.now_ms += rng.pick(&[1, 10, 60, 300]);
            if up {
                cluster.step(id, Input::Tick);
            }
        }
        5 if up && !cluster.binds.is_empty() => {
            let at = rng.below(cluster.binds.len());
            let dot = *cluster.binds.keys().nth(at).expect("counted");
            cluster.step(id, Input::Recover(dot));
        }
        6 if cluster.crash_percent > 0 => cluster.node(id).up = false,
        7 => cluster.restart(id),
        8 => cluster.node(id).side = rng.below(2) as u8,
        9 if up && !cluster.audit => cluster.stable(id),
        _ => {}
    }
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
    assert!(at_once * 8 > committed && committed > at_once && aborted > committed / 4, "the schedules show all of it");
}
