//! Two engines with the same history, one of which has all keys in memory: the other, whose keys come and go, shows the same.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use proptest::prelude::*;

use super::{Fill, Hand, fill};
use crate::checkpoint::tests::{Act, Bench, rough_acts};
use crate::shard::ShardId;
use crate::{Cursor, Digest};

mod away;
mod image;
mod parts;
mod peek;
mod replay;
mod rules;
mod stress;

/// What is done to the one whose keys come and go, behind each step.
#[derive(Debug, Clone, Copy)]
enum Chill {
    Nothing,
    /// Some keys are evicted.
    Some(u16),
    All,
    /// One part of the shards is brought in.
    Fill(u8),
}

fn chill() -> impl Strategy<Value = Chill> {
    prop_oneof![
        2 => Just(Chill::Nothing),
        3 => (1u16..4000).prop_map(Chill::Some),
        2 => Just(Chill::All),
        1 => any::<u8>().prop_map(Chill::Fill),
    ]
}

/// What a round does: steps while a checkpoint is taken, each with what is evicted behind it; whether the checkpoint is told to
/// stop; how both are started again afterwards.
#[derive(Debug, Clone)]
struct Round {
    acts: Vec<(Act, Chill)>,
    stops: bool,
    restart: Restart,
}

#[derive(Debug, Clone, Copy)]
enum Restart {
    No,
    Clean,
    Crash,
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let restart = prop_oneof![2 => Just(Restart::No), 1 => Just(Restart::Clean), 2 => Just(Restart::Crash)];
    let acts = (rough_acts(), prop::collection::vec(chill(), 60));
    let acts = acts.prop_map(|(acts, chills)| acts.into_iter().zip(chills).collect());
    let round = (acts, prop::bool::weighted(0.2), restart);
    prop::collection::vec(round.prop_map(|(acts, stops, restart)| Round { acts, stops, restart }), 1..5)
}

struct Twins {
    dirs: [tempfile::TempDir; 2],
    clocks: [Arc<AtomicI64>; 2],
    warm: Bench,
    cold: Bench,
    hand: Hand,
}

impl Twins {
    fn new() -> Self {
        let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let clocks = [(); 2].map(|()| Arc::new(AtomicI64::new(1_000_000)));
        let warm = Bench::open(dirs[0].path(), &clocks[0]);
        let cold = Bench::open_cold(dirs[1].path(), &clocks[1], None);
        Self { dirs, clocks, warm, cold, hand: Hand::default() }.settled()
    }

    fn settled(self) -> Self {
        [&self.warm, &self.cold].into_iter().for_each(|bench| bench.engine.set_reclaiming(false));
        self
    }

    fn restart(self, how: Restart) -> Self {
        let Self { dirs, clocks, warm, cold, .. } = self;
        match how {
            Restart::No => unreachable!("nobody restarts"),
            Restart::Clean => [warm, cold].into_iter().for_each(|bench| bench.engine.close().unwrap()),
            Restart::Crash => drop([warm, cold]),
        }
        let warm = Bench::open(dirs[0].path(), &clocks[0]);
        let cold = Bench::open_cold(dirs[1].path(), &clocks[1], None);
        Self { dirs, clocks, warm, cold, hand: Hand::default() }.settled()
    }

    fn are_equal(&self) {
        assert_eq!(seen(&self.cold), seen(&self.warm));
        self.cold.validate();
    }
}

/// Evicts, or brings in.
fn do_chill(bench: &Bench, chill: Chill, hand: &mut Hand) {
    let shared = &bench.engine.shared;
    match chill {
        Chill::Nothing => {}
        Chill::Some(bytes) => drop(shared.evict_idle(u64::from(bytes), hand)),
        Chill::All => drop(shared.evict_idle(u64::MAX, hand)),
        Chill::Fill(from) => {
            let Some(rows) = shared.checkpoints.found_rows() else { return };
            for id in from..=from.saturating_add(60) {
                fill(shared, rows, ShardId(id), Fill::Arrive, || true).unwrap();
            }
        }
    }
}

/// All that can be seen of an engine by asking about many keys.
#[derive(Debug, PartialEq)]
struct View {
    digest: Digest,
    /// Of both databases.
    keys: Vec<BTreeSet<Vec<u8>>>,
    scanned: Vec<BTreeSet<Vec<u8>>>,
    counts: Vec<(usize, usize)>,
    /// What those hear who take no lock.
    published: Vec<(u64, u64)>,
}

fn seen(bench: &Bench) -> View {
    let now_ms = bench.now_ms();
    let shared = &bench.engine.shared;
    // Else what has expired at rest counts longer than elsewhere.
    if let Some(rows) = shared.checkpoints.found_rows().filter(|_| shared.residency.is_on()) {
        for id in 0..=u8::MAX {
            fill(shared, rows, ShardId(id), Fill::Expired(now_ms), || true).unwrap();
        }
    }
    crate::keeper::reclaim(shared, now_ms);
    let of_db = |db: u8| {
        bench.look(|state| {
            state.select(db);
            let mut keys = BTreeSet::new();
            state.each_key(|key| assert!(keys.insert(key.to_vec()), "a key is named once"))?;
            let picked = state.pick(|| 0x9E37_79B9_7F4A_7C15)?.map(<[u8]>::to_vec);
            assert_eq!(picked.is_some(), !keys.is_empty());
            assert!(picked.is_none_or(|key| keys.contains(&key)), "a key was picked that does not exist");
            Ok((keys, (state.len()?, state.volatile_len()?)))
        })
    };
    let (keys, counts) = [0, 1].map(of_db).into_iter().unzip();
    let scanned = [0, 1].map(|db| scan(bench, db)).into();
    let published = [0, 1].map(|db| bench.engine.key_counts(db)).map(|c| (c.keys, c.volatile)).into();
    View { digest: bench.digest(), keys, scanned, counts, published }
}

fn scan(bench: &Bench, db: u8) -> BTreeSet<Vec<u8>> {
    let (mut cursor, mut found) = (Cursor(0), BTreeSet::new());
    loop {
        let (next, page) = bench.look(|state| {
            state.select(db);
            let mut page = Vec::new();
            let next = state.scan(cursor, 7, |sighted| page.push(sighted.key.to_vec()))?;
            Ok((next, page))
        });
        found.extend(page);
        cursor = next;
        if cursor == Cursor(0) {
            return found;
        }
    }
}

fn twins_stay_equal(rounds: Vec<Round>) {
    let (mut twins, mut looks) = (Twins::new(), 1u32);
    for Round { acts, stops, restart } in rounds {
        let mut acts = acts.into_iter();
        let Twins { warm, cold, hand, .. } = &mut twins;
        cold.checkpoint(&mut || match acts.next() {
            Some(((steps, commit, _), chill)) => {
                warm.run(&steps, commit);
                cold.run(&steps, commit);
                do_chill(cold, chill, hand);
                true
            }
            None => !stops,
        });
        twins.are_equal();
        for ((steps, commit, _), chill) in acts {
            twins.warm.run(&steps, commit);
            twins.cold.run(&steps, commit);
            do_chill(&twins.cold, chill, &mut twins.hand);
            looks = looks.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            match looks >> 29 {
                // Brings all elements of all values in.
                0 => assert_eq!(twins.cold.digest(), twins.warm.digest()),
                1 => assert_eq!(peek::pages(&twins.cold), peek::pages(&twins.warm)),
                _ => assert_eq!(peek::peek(&twins.cold, looks % 800), peek::peek(&twins.warm, looks % 800)),
            }
        }
        twins.are_equal();
        if !matches!(restart, Restart::No) {
            twins = twins.restart(restart);
            twins.are_equal();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("ANABRANCH_CHECKPOINT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(30),
        max_shrink_iters: 400,
        ..ProptestConfig::default()
    })]

    #[test]
    fn an_engine_whose_keys_come_and_go_shows_what_one_shows_that_has_them_all(rounds in rounds()) {
        twins_stay_equal(rounds);
    }
}
