//! Recent effects beside plain values: what stands for parts, and what becomes of it when values leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::{Deadline, Dot, Effect, Hlc, KeyspaceId, Op, Origin, Seq, Vector};

use super::{Suffix, Written};
use crate::exclusive::Exclusives;
use crate::residency::Hand;
use crate::shard::ShardId;
use crate::stop::Place;
use crate::{AtRest, Engine, Lock, Options, Received, Recycled, keeper};

const NOW_MS: i64 = 1_700_000_000_000;

struct Node {
    engine: Engine,
    clock: Arc<AtomicI64>,
    _dir: tempfile::TempDir,
}

impl Node {
    fn open(id: u8) -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(AtomicI64::new(NOW_MS)));
        let mut entropy = [7; 22];
        entropy[5] = id;
        let ticks = Arc::clone(&clock);
        let options = Options::new(Arc::new(move || ticks.load(Ordering::Relaxed)), entropy);
        let engine = Engine::open(dir.path(), Options { fills: false, ..options }).unwrap();
        engine.set_replicating(true).unwrap();
        Self { engine, clock, _dir: dir }
    }

    fn emit(&self, ops: &[(&[u8], bool, Op<'_>)]) {
        let mut recycled = Recycled::new();
        let mut context = self.engine.context(Lock::All, 0, self.engine.now_ms(), &mut recycled);
        ops.iter().for_each(|(key, fresh, op)| context.out.emit(key, *fresh, op.clone()));
        context.commit().unwrap();
    }

    fn set(&self, key: &[u8], value: &[u8], deadline: Deadline) {
        self.emit(&[(key, false, Op::Set { value, deadline })]);
    }

    /// The other hears all that this one has written; how often it was asked to take a record.
    fn tell(&self, other: &Node) -> usize {
        self.engine.log().write_out().unwrap();
        let (mut feeder, mut asked) = (self.engine.feed(other.engine.vector(), true).unwrap(), 0);
        while let Some(fed) = feeder.next_record().unwrap() {
            asked += 1;
            while let Received::Part(_) = other.engine.receive_record(&fed.record, &fed.context).unwrap() {
                asked += 1;
            }
            assert!(matches!(other.engine.receive_record(&fed.record, &fed.context), Ok(Received::Known)));
        }
        asked
    }

    fn get(&self, key: &[u8]) -> Option<String> {
        let (mut recycled, at_rest) = (Recycled::new(), AtRest::default());
        let place = self.engine.shared.place_of(key);
        self.engine.shared.fetch(0, key).unwrap();
        let mut context = self.engine.context(Lock::All, 0, self.engine.now_ms(), &mut recycled);
        context.know(&at_rest);
        let entry = context.state.guards.get(place.shard).unwrap().find(0, place.order, key);
        entry.map(|entry| String::from_utf8_lossy(entry.bytes().unwrap()).into_owned())
    }
}

fn pair() -> (Node, Node) {
    (Node::open(1), Node::open(2))
}

#[test]
fn a_flush_that_had_not_seen_a_value_leaves_it_even_where_it_was_evicted() {
    let (here, there) = pair();
    here.set(b"s", b"5", Deadline::Clear);
    here.engine.checkpoint().unwrap();
    here.engine.shared.evict_idle(u64::MAX, &mut Hand::default());
    assert_eq!(here.engine.residency_figures().cold_keys, 1);
    there.emit(&[(b"", false, Op::FlushAll)]);
    there.tell(&here);
    assert_eq!(here.get(b"s"), Some("5".into()));
}

#[test]
fn what_has_expired_is_still_there_for_who_did_not_know_of_it() {
    let (here, there) = pair();
    here.set(b"s", b"5", Deadline::At(NOW_MS + 10));
    here.clock.fetch_add(20, Ordering::Relaxed);
    keeper::reclaim(&here.engine.shared, NOW_MS + 20);
    assert!(here.get(b"s").is_some(), "it is not reclaimed while somebody may not know of it");
    there.emit(&[(b"s", true, Op::AddInt(2))]);
    there.tell(&here);
    here.tell(&there);
    assert_eq!([here.get(b"s"), there.get(b"s")], [Some("7".into()), Some("7".into())]);
}

#[test]
fn nothing_is_left_of_what_is_stable_however_often_it_was_written() {
    let (here, there) = pair();
    for round in 0..3 {
        (0..300_u32).for_each(|n| here.set(&(n % 100).to_le_bytes(), &[round], Deadline::Clear));
        here.emit(&[(&[1, 0, 0, 0], false, Op::Patch(effect::Patch::Append(b"x")))]);
        here.set(&[1, 0, 0, 0], b"last", Deadline::Clear);
        here.tell(&there);
        for node in [&here, &there] {
            assert_eq!(node.engine.unstable_keys(), 100);
            let half = [Dot { origin: here.engine.origin(), seq: 302 * u64::from(round) + 250 }].into_iter().collect();
            node.engine.note_stable(&half, None);
            assert_eq!(node.engine.unstable_keys(), 51, "what was written last is not");
            node.engine.note_stable(&node.engine.vector(), None);
            assert_eq!(node.engine.unstable_keys(), 0);
            assert!(node.engine.shared.shards.iter().all(|shard| shard.lock().suffix.recent.is_empty()));
        }
    }
}

#[test]
fn records_are_taken_in_parts_where_an_effect_concerns_all_shards() {
    let (here, there) = pair();
    here.set(b"s", b"1", Deadline::Clear);
    here.set(b"t", b"1", Deadline::Clear);
    here.emit(&[(b"", false, Op::FlushDb)]);
    here.set(b"s", b"2", Deadline::Clear);
    here.set(b"u", b"2", Deadline::Clear);
    assert_eq!(here.tell(&there), 3, "what is before the flush, the flush, and what is behind it");
    assert_eq!([b"s", b"t", b"u"].map(|key| there.get(key)), [Some("2".into()), None, Some("2".into())]);
    assert_eq!(there.engine.vector(), here.engine.vector());
}

#[test]
fn of_a_record_only_what_is_new_is_taken() {
    let (here, there) = pair();
    here.set(b"s", b"1", Deadline::Clear);
    here.tell(&there);
    here.set(b"s", b"2", Deadline::Clear);
    here.set(b"s", b"3", Deadline::Clear);
    // The same record, if nothing was written out in between, and else the next.
    here.engine.log().write_out().unwrap();
    let fed = here.engine.feed(Vector::new(), true).unwrap().next_record().unwrap().unwrap();
    drop(there.engine.receive_record(&fed.record, &fed.context).unwrap());
    here.tell(&there);
    assert_eq!(there.get(b"s"), Some("3".into()));
}

const PLACE: Place = Place { shard: ShardId(0), order: 7 };

fn dot(origin: u64, seq: u64) -> Dot {
    Dot { origin: Origin(origin), seq }
}

/// Notes a SET; `None` as context: it is this node's own.
fn note(suffix: &mut Suffix, key: &[u8], dot: Dot, context: Option<&Vector>) -> bool {
    let deps = Seq::empty(effect::codec::DotShape);
    let op = Op::Set { value: b"", deadline: Deadline::Clear };
    let effect = Effect { keyspace: KeyspaceId::DEFAULT, db: 0, key, fresh: false, deps, op };
    suffix.note_set(PLACE, &effect, &Written { dot, hlc: Hlc(dot.seq), context })
}

fn last(suffix: &Suffix, key: &[u8]) -> Option<Dot> {
    suffix.find(PLACE, 0, key).map(|unstable| unstable.set)
}

#[test]
fn keys_of_one_order_are_told_apart() {
    let mut suffix = Suffix::default();
    for (key, seq) in [(b"a", 1), (b"b", 2), (b"a", 3)] {
        assert!(note(&mut suffix, key, dot(1, seq), None));
    }
    assert_eq!(suffix.len(), 2);
    assert_eq!([last(&suffix, b"a"), last(&suffix, b"b")], [Some(dot(1, 3)), Some(dot(1, 2))]);
    suffix.settle(&[dot(1, 2)].into_iter().collect(), &Exclusives::default());
    assert_eq!([last(&suffix, b"a"), last(&suffix, b"b")], [Some(dot(1, 3)), None]);
}

#[test]
fn what_nobody_looks_for_is_forgotten_without_a_table() {
    let mut suffix = Suffix::default();
    let none = Vector::new();
    assert!(note(&mut suffix, b"a", dot(2, 1), Some(&none)) && note(&mut suffix, b"a", dot(2, 2), Some(&none)));
    assert!(note(&mut suffix, b"b", dot(1, 1), None));
    assert!(suffix.keys.is_empty() && !suffix.is_empty());
    suffix.settle(&[dot(2, 2)].into_iter().collect(), &Exclusives::default());
    assert!(suffix.keys.is_empty() && !suffix.is_empty());
    suffix.settle(&[dot(2, 2), dot(1, 1)].into_iter().collect(), &Exclusives::default());
    assert!(suffix.is_empty() && suffix.keys.is_empty());
}

#[test]
fn what_had_not_observed_it_finds_what_is_pending() {
    for other in [dot(1, 9), dot(3, 9)] {
        let (mut suffix, none) = (Suffix::default(), Vector::new());
        assert!(note(&mut suffix, b"a", dot(2, 1), Some(&none)) && note(&mut suffix, b"a", dot(2, 2), Some(&none)));
        assert!(note(&mut suffix, b"b", other, Some(&none)), "nothing is recent on its key");
        assert!(!note(&mut suffix, b"a", other, Some(&none)), "it is concurrent with the last one");
        assert!(note(&mut suffix, b"a", other, Some(&[dot(2, 2)].into_iter().collect())));
        assert_eq!(last(&suffix, b"a"), Some(other));
    }
}

#[test]
fn nothing_is_pending_beside_parts() {
    let mut suffix = Suffix::default();
    let mut unstable = Suffix::default();
    assert!(note(&mut unstable, b"a", dot(1, 1), None));
    let mut opened = unstable.take(PLACE, 0, b"a").unwrap();
    opened.open(None);
    suffix.note(dot(1, 1), 0, PLACE.order);
    suffix.put(opened);
    assert!(note(&mut suffix, b"b", dot(1, 2), None));
    assert_eq!((last(&suffix, b"b"), suffix.opened), (Some(dot(1, 2)), 1));
    // It takes the place of the parts, and from then on others may wait.
    assert!(note(&mut suffix, b"a", dot(1, 3), None) && note(&mut suffix, b"c", dot(1, 4), None));
    assert_eq!((suffix.opened, suffix.keys.len(), suffix.pending.len()), (0, 2, 1));
    assert_eq!(suffix.len(), 3);
}
