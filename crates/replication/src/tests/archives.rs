//! Members whose disks are lost and who come back from their archives, and servers that are made of what a member archived.

use std::sync::Arc;

use archive::seal::KeyPair;
use archive::storage::{Memory, Storage};
use backup::{Job, Progress, Purpose, Report, Repository, Restore, Restored, Returning, Sizes, take};
use engine::CheckpointPolicy;

use super::*;
use crate::membership::Membership;

struct Archive {
    repository: Repository,
    keys: KeyPair,
}

impl Archive {
    fn new() -> Self {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        Self { repository: Repository::open_or_begin(storage).unwrap(), keys: KeyPair::generate().unwrap() }
    }

    fn store(&self, engine: &Engine) -> Report {
        let (repository, recipient, purpose) = (&self.repository, &self.keys.public, Purpose::Archive);
        // Rows are stored anew now and then.
        let (sizes, progress) = (Sizes { rebase: 20_000, ..Sizes::of_archive() }, &Progress::default());
        take(engine, &Job { repository, recipient, purpose, full: false, sizes, beside: None, progress }).unwrap()
    }

    fn restore(&self, to: &std::path::Path, options: &Options, returning: Option<Returning>) -> Restored {
        let (repository, key, progress) = (&self.repository, &self.keys.private, &Progress::default());
        let restore = Restore { repository, key, node: None, backup: None, at_ms: None, returning, progress };
        restore.to(to, &Options { checkpoint: CheckpointPolicy { log_bytes: None }, ..options.clone() }).unwrap()
    }
}

fn next(n: &mut u64) -> usize {
    *n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*n >> 33) as usize
}

/// What an engine of nobody's shows.
fn digest_of(engine: &Engine) -> Digest {
    let mut recycled = Recycled::new();
    engine.fill().unwrap();
    let context = engine.context(Lock::All, 0, START_MS, &mut recycled);
    let digest = context.state.digest().map_err(|_| "nothing is at rest").unwrap();
    context.abort();
    digest
}

/// Writes here and there, with partitions, checkpoints and rounds in between.
fn go_on(group: &mut Group, random: &mut u64, up: &[usize], writes: usize) {
    for n in 0..writes {
        let at = up[next(random) % up.len()];
        group.set(at, &format!("k{}", next(random) % 40), format!("{n}:{}", next(random)).as_bytes()).unwrap();
        match next(random) % 40 {
            0 => group.hub.cut(at, &(0..NODES).collect::<Vec<_>>()),
            1 => group.hub.heal(),
            2 => drop(group.engine(at).checkpoint().unwrap()),
            3..20 => group.round(),
            _ => {}
        }
    }
}

#[test]
fn a_member_whose_disk_is_lost_comes_back_from_its_archive_with_all_that_is_there() {
    for seed in 0..8 {
        let (mut group, archive, mut random) = (Group::ready(), Archive::new(), seed);
        let victim = next(&mut random) % NODES;
        let others: Vec<usize> = (0..NODES).filter(|at| *at != victim).collect();
        for stored in 0..4 {
            go_on(&mut group, &mut random, &[0, 1, 2], 150);
            // Nobody else has that when the disk is lost.
            group.hub.cut(victim, &others);
            group.set(victim, &format!("own{stored}"), b"x").unwrap();
            archive.store(group.engine(victim));
            let (dir, options) = (tempfile::tempdir().unwrap(), group.options(7));
            archive.restore(dir.path(), &options, None);
            let alone = Engine::open(dir.path(), options).unwrap();
            assert_eq!(digest_of(&alone), group.digest(victim), "seed {seed}: a server of its own");
            assert!(!alone.is_replicating() && alone.membership().unwrap().is_none());
            assert_ne!(alone.origin().node(), group.engine(victim).origin().node());
            if stored < 3 {
                group.hub.heal();
            }
        }
        group.set(victim, "lost", b"x").unwrap();
        let before = group.engine(victim).origin();
        group.crash(victim);
        group.nodes[victim].dir = tempfile::tempdir().unwrap();
        group.hub.heal();
        go_on(&mut group, &mut random, &others, 100);
        let dir = group.nodes[victim].dir.path().to_owned();
        let restored = archive.restore(&dir, &group.options(victim), Some(Membership::returning));
        assert_eq!(restored.origin.node(), before.node());
        group.start(victim).unwrap();
        assert!(matches!(group.set(victim, "early", b"x"), Err(Refusal::NotOpen)), "it writes as nobody yet");
        group.hub.heal();
        group.until(|group| group.nodes[victim].status.get().role == Role::Member);
        group.settle();
        let now = group.engine(victim).origin();
        assert!(now.node() == before.node() && now.incarnation() > before.incarnation(), "seed {seed}: {now:?}");
        group.set(victim, "again", b"x").unwrap();
        group.settle();
        // 40 that all wrote, what only the archive had, and the one that was written now.
        let keys = group.engine(others[0]).key_counts(0).keys;
        assert_eq!(keys, 45, "seed {seed}");
    }
}
