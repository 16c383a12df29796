//! Images of large values, against a plain model of the rows that a store would hold.
//!
//! *Rule:* after each image that was written, the store's rows are the value as it was when the image began; an image has
//! only rows that changed since the one before, in order; and the rows make the same value again.

use super::small_limits;
use crate::digest::digest_value;
use crate::value::wide::{BLOCK_BYTES, Budget, Content, Loader, RowKey, WideRow};
use crate::value::{Entry, Kind, Limits};
use effect::{ListPos, PathStep};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What a row is called, in the order of rows: of a sorted set, members come before scores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Hashed(u64, Vec<u8>),
    Scored(Order, Vec<u8>),
    Placed(ListPos),
    Block(u64),
}

/// A score, ordered as numbers are.
#[derive(Clone, Copy, Debug)]
struct Order(f64);

impl Ord for Order {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.partial_cmp(&other.0).expect("scores are numbers")
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Order {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Order {}

/// What a row says; a score by its bits, since the sign of zero counts.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Nothing,
    Field(Vec<u8>, Option<i64>),
    Score(u64),
    Bytes(Vec<u8>),
}

type Rows = BTreeMap<Key, Said>;

fn key(of: &RowKey<'_>) -> Key {
    match of {
        RowKey::Hashed { hash, name } => Key::Hashed(*hash, name.to_vec()),
        RowKey::Scored { score, member } => Key::Scored(Order(*score), member.to_vec()),
        RowKey::Placed(pos) => Key::Placed(pos.clone()),
        RowKey::Block(number) => Key::Block(*number),
    }
}

fn said(by: Content<'_>) -> Said {
    match by {
        Content::Nothing => Said::Nothing,
        Content::Field(value, deadline) => Said::Field(value.to_vec(), deadline),
        Content::Score(score) => Said::Score(score.to_bits()),
        Content::Bytes(bytes) => Said::Bytes(bytes.to_vec()),
    }
}

/// The rows that say what the value is.
fn rows_of(entry: &Entry, limits: &Limits) -> Rows {
    let hashed = |name: &[u8]| Key::Hashed(limits.seed.hash(name), name.to_vec());
    match entry.kind() {
        Kind::String => {
            let blocks = entry.bytes().expect("a string").chunks(BLOCK_BYTES).zip(0..);
            blocks.map(|(block, number)| (Key::Block(number), Said::Bytes(block.to_vec()))).collect()
        }
        Kind::List => {
            let list = entry.list().expect("a list");
            let positions = list.positions(0..list.len()).map(Key::Placed);
            positions.zip(list.iter().map(|value| Said::Bytes(value.to_vec()))).collect()
        }
        Kind::Hash => {
            let fields = entry.hash().expect("a hash").iter();
            fields.map(|f| (hashed(f.field), Said::Field(f.value.to_vec(), f.deadline))).collect()
        }
        Kind::Set => entry.set().expect("a set").iter().map(|member| (hashed(&member), Said::Nothing)).collect(),
        Kind::ZSet => {
            let members = entry.zset().expect("a sorted set").iter();
            let both = |(member, score): (&[u8], f64)| {
                let scored = (Key::Scored(Order(score), member.to_vec()), Said::Nothing);
                [(hashed(member), Said::Score(score.to_bits())), scored]
            };
            members.flat_map(both).collect()
        }
    }
}

/// Makes a value of rows.
fn load(kind: Kind, rows: &Rows, limits: &Limits, incarnation: u64) -> Option<Entry> {
    let mut loader = Loader::new(kind, b"key", None, limits, rows.len() as u64);
    for (key, said) in rows {
        let content = match said {
            Said::Nothing => Content::Nothing,
            Said::Field(value, deadline) => Content::Field(value, *deadline),
            Said::Score(bits) => Content::Score(f64::from_bits(*bits)),
            Said::Bytes(bytes) => Content::Bytes(bytes),
        };
        let key = match key {
            Key::Hashed(hash, name) => RowKey::Hashed { hash: *hash, name },
            // They say nothing that the rows of members do not say.
            Key::Scored(..) => continue,
            Key::Placed(pos) => RowKey::Placed(pos.clone()),
            Key::Block(number) => RowKey::Block(*number),
        };
        loader.add(&key, content).expect("a row in its place");
    }
    loader.finish(incarnation)
}

/// What happens, with small numbers that choose the element and what becomes of it.
#[derive(Clone, Debug)]
enum Op {
    Add(u16, u16),
    Remove(u16, u16),
    /// Takes back the last change that was not taken back.
    Undo,
    Freeze,
    Step(usize, usize),
    Thaw,
    Cancel,
    /// Writes all of the value and goes on with one that is loaded.
    Reload,
    Rename,
}

fn name(n: u16) -> Vec<u8> {
    format!("element:{n}").into_bytes()
}

fn place(n: u16, salt: u16) -> ListPos {
    let pos = ListPos::new(0, 1, i64::from(n));
    let step = PathStep { digit: i64::from(salt % 3), origin: 1 };
    if salt.is_multiple_of(7) { ListPos { path: pos.path.with(step), ..pos } } else { pos }
}

fn score(salt: u16) -> f64 {
    if salt.is_multiple_of(9) { -0.0 } else { f64::from(salt % 40) - 9.0 }
}

/// How a change is taken back.
type Undo = Box<dyn FnOnce(&mut Entry, &Limits)>;

/// A value, the store that its images go to, and what the images must be.
struct Bench {
    entry: Entry,
    limits: Limits,
    store: Rows,
    incarnation: Option<u64>,
    last: u64,
    undo: Vec<Undo>,
    /// Rows that have changed since the last image that was written began, and whether one was given up since.
    touched: BTreeSet<Key>,
    given_up: bool,
    image: Option<Taken>,
}

/// An image that is being written.
struct Taken {
    is: Rows,
    may_have: BTreeSet<Key>,
    run: Vec<(Key, Option<Said>)>,
    done: bool,
}

impl Bench {
    fn new(kind: Kind, count: u16) -> Self {
        let limits = small_limits();
        let mut bench = Self {
            entry: Entry::empty(kind, b"key", None),
            limits,
            store: Rows::new(),
            incarnation: None,
            last: 0,
            undo: Vec::new(),
            touched: BTreeSet::new(),
            given_up: false,
            image: None,
        };
        (0..count).for_each(|n| bench.add(n * 2, n));
        bench
    }

    /// Notes the rows of an element, whatever becomes of it.
    fn touch(&mut self, n: u16, salt: u16) {
        let now = rows_of(&self.entry, &self.limits);
        match self.entry.kind() {
            Kind::Hash => drop(self.touched.insert(Key::Hashed(self.limits.seed.hash(&name(n)), name(n)))),
            Kind::List => drop(self.touched.insert(Key::Placed(place(n, salt)))),
            Kind::String => self.touched.extend(now.into_keys()),
            Kind::Set | Kind::ZSet => {}
        }
    }

    /// Makes a change and notes all rows that differ after it.
    fn change(&mut self, change: impl FnOnce(&mut Entry, &Limits)) {
        let before = rows_of(&self.entry, &self.limits);
        change(&mut self.entry, &self.limits);
        let after = rows_of(&self.entry, &self.limits);
        self.touched
            .extend(before.iter().filter(|(key, said)| after.get(key) != Some(said)).map(|(key, _)| key.clone()));
        self.touched
            .extend(after.iter().filter(|(key, said)| before.get(key) != Some(said)).map(|(key, _)| key.clone()));
        // A score that changes its sign of zero moves its row away and back.
        let scores = before.into_keys().filter(|key| matches!(key, Key::Scored(order, _) if order.0 == 0.0));
        self.touched.extend(scores);
    }

    fn add(&mut self, n: u16, salt: u16) {
        self.touch(n, salt);
        let value = salt.to_string().repeat(1 + usize::from(salt % 11)).into_bytes();
        let (id, pos) = (name(n), place(n, salt));
        let undo: Undo = match self.entry.kind() {
            Kind::String => {
                let offset = usize::from(n) * 451;
                let (len, old) = {
                    let bytes = self.entry.bytes().expect("a string");
                    let end = bytes.len().min(offset + value.len());
                    (bytes.len(), bytes.get(offset..end).unwrap_or_default().to_vec())
                };
                self.change(|entry, _| drop(entry.write_at(offset, &value)));
                Box::new(move |entry, _| {
                    entry.write_at(offset.min(len), &old);
                    entry.truncate(len);
                })
            }
            Kind::List => {
                let list = self.entry.list().expect("a list");
                let old = list.index_of(&pos).and_then(|at| list.get(at)).map(<[u8]>::to_vec);
                self.change(|entry, limits| put(entry, limits, &pos, &value));
                Box::new(move |entry, limits| match old {
                    Some(old) => put(entry, limits, &pos, &old),
                    None => drop(entry.list_mut(limits).expect("a list").remove(&pos)),
                })
            }
            Kind::Hash => {
                let old = self.entry.hash().expect("a hash").get(&id).map(|f| (f.value.to_vec(), f.deadline));
                let deadline = salt.is_multiple_of(5).then_some(i64::from(salt) + 1);
                let name = id.clone();
                self.change(|entry, limits| {
                    entry.hash_mut(limits).expect("a hash").insert(&name, &value, deadline);
                });
                Box::new(move |entry, limits| {
                    let mut hash = entry.hash_mut(limits).expect("a hash");
                    drop(match old {
                        Some((value, deadline)) => hash.insert(&id, &value, deadline),
                        None => hash.remove(&id),
                    });
                })
            }
            Kind::Set => {
                let old = self.entry.set().expect("a set").contains(&id);
                let name = id.clone();
                self.change(|entry, limits| drop(entry.set_mut(limits).expect("a set").insert(&name)));
                Box::new(move |entry, limits| {
                    if !old {
                        entry.set_mut(limits).expect("a set").remove(&id);
                    }
                })
            }
            Kind::ZSet => {
                let old = self.entry.zset().expect("a sorted set").score(&id);
                let name = id.clone();
                self.change(|entry, limits| {
                    entry.zset_mut(limits).expect("a sorted set").insert(&name, score(salt));
                });
                Box::new(move |entry, limits| {
                    let mut zset = entry.zset_mut(limits).expect("a sorted set");
                    drop(match old {
                        Some(score) => zset.insert(&id, score),
                        None => zset.remove(&id),
                    });
                })
            }
        };
        self.undo.push(undo);
    }

    fn remove(&mut self, n: u16, salt: u16) {
        self.touch(n, salt);
        let (id, pos) = (name(n), place(n, salt));
        // What is removed many at a time is not taken back here.
        self.undo.clear();
        match self.entry.kind() {
            Kind::String => self.change(|entry, _| entry.truncate(usize::from(n) * 451 + 1)),
            Kind::List if salt.is_multiple_of(3) => {
                self.change(|entry, limits| {
                    drop(entry.list_mut(limits).expect("a list").cut(&ListPos::new(0, 1, i64::from(n)), 5));
                });
            }
            Kind::List => self.change(|entry, limits| drop(entry.list_mut(limits).expect("a list").remove(&pos))),
            Kind::Hash if salt.is_multiple_of(3) => self.change(|entry, limits| {
                entry.hash_mut(limits).expect("a hash").set_deadline(&id, Some(9));
            }),
            Kind::Hash => self.change(|entry, limits| drop(entry.hash_mut(limits).expect("a hash").remove(&id))),
            Kind::Set => self.change(|entry, limits| drop(entry.set_mut(limits).expect("a set").remove(&id))),
            Kind::ZSet => self.change(|entry, limits| drop(entry.zset_mut(limits).expect("a sorted set").remove(&id))),
        }
    }

    fn take_back(&mut self) {
        if let Some(undo) = self.undo.pop() {
            self.change(undo);
        }
    }

    fn freeze(&mut self) {
        let last = &mut self.last;
        let is = rows_of(&self.entry, &self.limits);
        let Some(image) = self.entry.freeze(|| {
            *last += 1;
            *last
        }) else {
            return;
        };
        assert_eq!(image.len, len_of(&is));
        let places = || is.keys().filter_map(|key| if let Key::Placed(pos) = key { Some(pos.clone()) } else { None });
        assert_eq!(image.ends, places().next().zip(places().last()));
        assert_eq!(image.incarnation, *self.incarnation.get_or_insert(image.incarnation));
        assert_eq!(image.incarnation, self.last);
        let may_have = self.touched.clone();
        self.touched.clear();
        self.image = Some(Taken { is, may_have, run: Vec::new(), done: false });
    }

    fn step(&mut self, rows: usize, bytes: usize) {
        let Some(image) = &mut self.image else { return };
        let before = image.run.len();
        image.done = self.entry.next_rows(Budget { rows, bytes }, &mut |row| {
            image.run.push(match row {
                WideRow::Put(of, content) => (key(&of), Some(said(content))),
                WideRow::Remove(of) => (key(&of), None),
            });
        });
        assert!(image.run.len() - before <= rows, "a step hands over more rows than it may");
    }

    /// Checks the run and applies it.
    fn thaw(&mut self) {
        if !self.image.as_ref().is_some_and(|image| image.done) {
            assert!(self.entry.thaw().is_none(), "an image that is not whole is not written");
            return;
        }
        assert!(self.entry.thaw().is_some());
        let image = self.image.take().expect("it was just seen");
        assert!(image.run.is_sorted_by(|(one, _), (two, _)| one < two), "rows are out of order");
        for (key, said) in image.run {
            assert!(image.may_have.contains(&key), "{key:?} has not changed");
            let known = match said {
                Some(said) => {
                    self.store.insert(key.clone(), said);
                    true
                }
                None => self.store.remove(&key).is_some(),
            };
            assert!(known || self.given_up, "{key:?} had no row");
        }
        assert!(self.store == image.is, "the rows are not the value as it was");
        self.given_up = false;
    }

    fn cancel(&mut self) {
        let Some(image) = self.image.take() else {
            assert!(self.entry.cancel().is_none());
            return;
        };
        assert!(self.entry.cancel().is_some());
        self.touched.extend(image.may_have);
        self.given_up = true;
        if self.store.is_empty() && self.entry.incarnation().is_none() {
            self.incarnation = None;
        }
        assert_eq!(self.entry.incarnation(), self.incarnation);
    }

    fn write_all(&mut self) {
        self.cancel();
        self.freeze();
        while self.image.as_ref().is_some_and(|image| !image.done) {
            self.step(1000, usize::MAX);
        }
        self.thaw();
    }

    fn reload(&mut self) {
        self.write_all();
        let Some(incarnation) = self.incarnation else { return };
        let Some(loaded) = load(self.entry.kind(), &self.store, &self.limits, incarnation) else { return };
        assert_eq!(digest_value(&loaded, i64::MIN), digest_value(&self.entry, i64::MIN));
        let key = self.entry.key().to_vec();
        self.entry = loaded;
        self.entry.rename(&key);
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Add(n, salt) => self.add(n, salt),
            Op::Remove(n, salt) => self.remove(n, salt),
            Op::Undo => self.take_back(),
            Op::Freeze => self.freeze(),
            Op::Step(rows, bytes) => self.step(rows, bytes),
            Op::Thaw => self.thaw(),
            Op::Cancel => self.cancel(),
            Op::Reload => self.reload(),
            Op::Rename => self.entry.rename(b"another key"),
        }
        self.entry.validate();
    }
}

/// How many elements the rows are of; how many bytes, if they are of a string.
fn len_of(rows: &Rows) -> usize {
    let len = |(key, said): (&Key, &Said)| match (key, said) {
        (Key::Block(_), Said::Bytes(bytes)) => bytes.len(),
        (Key::Scored(..), _) => 0,
        _ => 1,
    };
    rows.iter().map(len).sum()
}

fn put(entry: &mut Entry, limits: &Limits, pos: &ListPos, value: &[u8]) {
    let mut list = entry.list_mut(limits).expect("a list");
    if !list.set(pos, value) {
        list.insert(pos, value);
    }
}

fn op() -> impl Strategy<Value = Op> {
    // Elements near one another, now and then any: those that come next, and those that were just handed over.
    let n = || prop_oneof![3 => 0u16..40, 1 => 0u16..700];
    prop_oneof![
        30 => (n(), any::<u16>()).prop_map(|(n, salt)| Op::Add(n, salt)),
        30 => (n(), any::<u16>()).prop_map(|(n, salt)| Op::Remove(n, salt)),
        8 => Just(Op::Undo),
        10 => Just(Op::Freeze),
        20 => (1usize..60, 1usize..3000).prop_map(|(rows, bytes)| Op::Step(rows, bytes)),
        8 => Just(Op::Step(2000, usize::MAX)),
        10 => Just(Op::Thaw),
        3 => Just(Op::Cancel),
        1 => Just(Op::Reload),
        1 => Just(Op::Rename),
    ]
}

fn images_are_the_value(kind: Kind, count: u16, ops: Vec<Op>) {
    let mut bench = Bench::new(kind, count);
    ops.into_iter().for_each(|op| bench.run(op));
    bench.write_all();
    bench.reload();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn images_of_a_hash_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::Hash, count, ops);
    }

    #[test]
    fn images_of_a_set_are_what_it_was(count in 21u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::Set, count, ops);
    }

    #[test]
    fn images_of_a_sorted_set_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::ZSet, count, ops);
    }

    #[test]
    fn images_of_a_list_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..120)) {
        images_are_the_value(Kind::List, count, ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn images_of_a_string_are_what_it_was(count in 13u16..300, ops in prop::collection::vec(op(), 0..80)) {
        images_are_the_value(Kind::String, count, ops);
    }
}
