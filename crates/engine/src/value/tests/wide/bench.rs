//! A value that changes while images of it are written, with the store that they go to.

use super::super::small_limits;
use super::model::{Key, Rows, Said, key_of, load, rows_of, said};
use crate::digest::digest_value;
use crate::value::Part;
use crate::value::wide::{Budget, WideRow};
use crate::value::{Entry, Kind, Limits};
use effect::{ListPos, PathStep};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// What happens, with small numbers that choose the element and what becomes of it.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Add(u16, u16),
    Remove(u16, u16),
    /// Removes many neighbours by number at once.
    Shrink(u16),
    /// Takes back the last change that was not taken back.
    Undo,
    Freeze,
    Step(usize, usize),
    Thaw,
    Cancel,
    /// Leaves the rows to nobody.
    Disown,
    /// The same, with no image under way and nothing to be remembered.
    Forget,
    /// Writes all of the value and goes on with one that is loaded.
    Reload,
    /// The same, with one whose elements are at rest.
    Rest,
    /// Lets some elements leave memory.
    Shed,
    /// Brings some in: by the hash of a name, by rank, or all.
    Bring(u16, u8),
    Rename,
}

pub(super) fn name(n: u16) -> Vec<u8> {
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
type Undo = Box<dyn Fn(&mut Entry, &Limits)>;

/// A value, the store that its images go to, and what the images must be.
pub(super) struct Bench {
    pub(super) entry: Entry,
    /// The same with all elements in memory.
    pub(super) warm: Entry,
    /// Values with elements away.
    pub(super) partly: Arc<AtomicUsize>,
    pub(super) fences: Rows,
    pub(super) limits: Limits,
    pub(super) store: Rows,
    pub(super) incarnation: Option<u64>,
    last: u64,
    pub(super) undo: Vec<Undo>,
    /// Rows that have changed since the last image that was written began, and whether one was given up since.
    touched: BTreeSet<Key>,
    given_up: bool,
    image: Option<Taken>,
}

/// An image that is being written.
pub(super) struct Taken {
    is: Rows,
    may_have: BTreeSet<Key>,
    run: Vec<(Key, Option<Said>)>,
    done: bool,
}

impl Bench {
    pub(super) fn new(kind: Kind, count: u16) -> Self {
        let limits = small_limits();
        let mut bench = Self {
            entry: Entry::empty(kind, b"key", None),
            warm: Entry::empty(kind, b"key", None),
            partly: Arc::default(),
            fences: Rows::new(),
            limits,
            store: Rows::new(),
            incarnation: None,
            last: 0,
            undo: Vec::new(),
            touched: BTreeSet::new(),
            given_up: false,
            image: None,
        };
        // A list has runs of neighbours, others have gaps.
        let step = if kind == Kind::List { 1 } else { 2 };
        (0..count).for_each(|n| bench.add(n * step, n));
        bench
    }

    /// Notes the rows of an element, whatever becomes of it.
    fn touch(&mut self, n: u16, salt: u16) {
        let now = rows_of(&self.warm, &self.limits);
        match self.entry.kind() {
            Kind::Hash => drop(self.touched.insert(Key::Hashed(self.limits.seed.hash(&name(n)), name(n)))),
            Kind::List => drop(self.touched.insert(Key::Placed(place(n, salt)))),
            Kind::String => self.touched.extend(now.into_keys()),
            Kind::Set | Kind::ZSet => {}
        }
    }

    /// Makes a change and notes all rows that differ after it.
    fn change(&mut self, change: impl Fn(&mut Entry, &Limits)) {
        let before = rows_of(&self.warm, &self.limits);
        change(&mut self.entry, &self.limits);
        change(&mut self.warm, &self.limits);
        let after = rows_of(&self.warm, &self.limits);
        self.touched
            .extend(before.iter().filter(|(key, said)| after.get(key) != Some(said)).map(|(key, _)| key.clone()));
        self.touched
            .extend(after.iter().filter(|(key, said)| before.get(key) != Some(said)).map(|(key, _)| key.clone()));
        // A score that changes its sign of zero moves its row away and back.
        let scores = before.into_keys().filter(|key| matches!(key, Key::Scored(order, _) if order.0 == 0.0));
        self.touched.extend(scores);
    }

    fn add(&mut self, n: u16, salt: u16) {
        self.need(n..n + 1, &[place(n, salt)]);
        self.touch(n, salt);
        let value = salt
            .to_string()
            .repeat(if salt.is_multiple_of(13) { 300 } else { 1 + usize::from(salt % 11) })
            .into_bytes();
        let (id, pos) = (name(n), place(n, salt));
        let undo: Undo = match self.entry.kind() {
            Kind::String => {
                let offset = usize::from(n) * 451;
                let (len, old) = {
                    let bytes = self.warm.bytes().expect("a string");
                    let end = bytes.len().min(offset + value.len());
                    (bytes.len(), bytes.get(offset..end).unwrap_or_default().to_vec())
                };
                self.change(|entry, _| {
                    let _ = entry.write_at(offset, &value);
                });
                Box::new(move |entry, _| {
                    entry.write_at(offset.min(len), &old);
                    entry.truncate(len);
                })
            }
            Kind::List => {
                let list = self.warm.list().expect("a list");
                let old = list.at(&pos).map(<[u8]>::to_vec);
                self.change(|entry, limits| put(entry, limits, &pos, &value));
                Box::new(move |entry, limits| match &old {
                    Some(old) => put(entry, limits, &pos, old),
                    None => {
                        let _ = entry.list_mut(limits).expect("a list").remove(&pos);
                    }
                })
            }
            Kind::Hash => {
                let old = self.warm.hash().expect("a hash").get(&id).map(|f| (f.value.to_vec(), f.deadline));
                let deadline = salt.is_multiple_of(5).then_some(i64::from(salt) + 1);
                let name = id.clone();
                self.change(|entry, limits| {
                    entry.hash_mut(limits).expect("a hash").insert(&name, &value, deadline);
                });
                Box::new(move |entry, limits| {
                    let mut hash = entry.hash_mut(limits).expect("a hash");
                    let _ = match &old {
                        Some((value, deadline)) => hash.insert(&id, value, *deadline),
                        None => hash.remove(&id),
                    };
                })
            }
            Kind::Set => {
                let old = self.warm.set().expect("a set").contains(&id);
                let name = id.clone();
                self.change(|entry, limits| {
                    let _ = entry.set_mut(limits).expect("a set").insert(&name);
                });
                Box::new(move |entry, limits| {
                    if !old {
                        entry.set_mut(limits).expect("a set").remove(&id);
                    }
                })
            }
            Kind::ZSet => {
                let old = self.warm.zset().expect("a sorted set").score(&id);
                let name = id.clone();
                self.change(|entry, limits| {
                    entry.zset_mut(limits).expect("a sorted set").insert(&name, score(salt));
                });
                Box::new(move |entry, limits| {
                    let mut zset = entry.zset_mut(limits).expect("a sorted set");
                    let _ = match old {
                        Some(score) => zset.insert(&id, score),
                        None => zset.remove(&id),
                    };
                })
            }
        };
        self.undo.push(undo);
    }

    fn remove(&mut self, n: u16, salt: u16) {
        let cut: Vec<ListPos> = (0..5).map(|k| ListPos::new(0, 1, i64::from(n) + k)).collect();
        self.need(n..n + 1, &[&cut[..], &[place(n, salt)]].concat());
        self.touch(n, salt);
        let (id, pos) = (name(n), place(n, salt));
        // What is removed many at a time is not taken back here.
        self.undo.clear();
        match self.entry.kind() {
            Kind::String => self.change(|entry, _| entry.truncate(usize::from(n) * 451 + 1)),
            Kind::List if salt.is_multiple_of(3) => {
                // Whether it is cut at once depends on the image: if it is, the other loses the same.
                let was_cut = std::cell::Cell::new(None);
                self.change(|entry, limits| {
                    let mut list = entry.list_mut(limits).expect("a list");
                    match was_cut.get() {
                        None => was_cut.set(Some(list.cut(&cut[0], 5).is_some())),
                        Some(true) => cut.iter().for_each(|pos| assert!(list.remove(pos))),
                        Some(false) => {}
                    }
                });
            }
            Kind::List => self.change(|entry, limits| {
                let _ = entry.list_mut(limits).expect("a list").remove(&pos);
            }),
            Kind::Hash if salt.is_multiple_of(3) => self.change(|entry, limits| {
                entry.hash_mut(limits).expect("a hash").set_deadline(&id, Some(9));
            }),
            Kind::Hash => self.change(|entry, limits| {
                let _ = entry.hash_mut(limits).expect("a hash").remove(&id);
            }),
            Kind::Set => self.change(|entry, limits| {
                let _ = entry.set_mut(limits).expect("a set").remove(&id);
            }),
            Kind::ZSet => self.change(|entry, limits| {
                let _ = entry.zset_mut(limits).expect("a sorted set").remove(&id);
            }),
        }
    }

    fn shrink(&mut self, from: u16) {
        self.undo.clear();
        let places: Vec<ListPos> = (from..from + 150).map(|n| place(n, 1)).collect();
        self.need(from..from + 150, &places);
        self.change(|entry, limits| {
            for n in from..from + 150 {
                match entry.kind() {
                    Kind::Hash => assert!(entry.hash_mut(limits).map(|mut hash| hash.remove(&name(n))).is_some()),
                    Kind::Set => assert!(entry.set_mut(limits).map(|mut set| set.remove(&name(n))).is_some()),
                    Kind::ZSet => assert!(entry.zset_mut(limits).map(|mut zset| zset.remove(&name(n))).is_some()),
                    Kind::List => assert!(entry.list_mut(limits).map(|mut list| list.remove(&place(n, 1))).is_some()),
                    Kind::String => {}
                }
            }
        });
    }

    fn take_back(&mut self) {
        if let Some(undo) = self.undo.pop() {
            self.bring(&Part::Whole);
            self.change(undo);
        }
    }

    fn freeze(&mut self) {
        let last = &mut self.last;
        let is = rows_of(&self.warm, &self.limits);
        let is_whole = !self.entry.is_partly_away();
        if self.image.is_none() && self.entry.incarnation().is_none() {
            self.store.clear();
            self.fences.clear();
            self.incarnation = None;
            self.touched.extend(is.keys().cloned());
        }
        let Some(image) = self.entry.freeze(|| {
            *last += 1;
            *last
        }) else {
            return;
        };
        assert_eq!(image.len, len_of(&is));
        let places = || is.keys().filter_map(|key| if let Key::Placed(pos) = key { Some(pos.clone()) } else { None });
        assert!(!is_whole || image.ends == places().next().zip(places().next_back()));
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
                WideRow::Put(of, content) => (key_of(&of), Some(said(content))),
                WideRow::Remove(of) => (key_of(&of), None),
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
            if matches!(key, Key::Fences(_)) {
                let known = match said {
                    Some(said) => self.fences.insert(key, said).is_some() || self.entry.kind() != Kind::String,
                    None => self.fences.remove(&key).is_some(),
                };
                assert!(known || self.given_up, "there was no such row");
                continue;
            }
            assert!(image.may_have.contains(&key), "{key:?} has not changed");
            let known = match said {
                Some(said) => {
                    // Of two zeros the name is the same, and says which.
                    self.store.remove(&key);
                    self.store.insert(key.clone(), said);
                    true
                }
                None => self.store.remove(&key).is_some(),
            };
            assert!(known || self.given_up, "{key:?} had no row");
        }
        assert!(self.store == image.is, "the rows are not the value as it was");
        self.are_fences_right();
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

    fn disown(&mut self) {
        self.bring(&Part::Whole);
        assert_eq!(self.entry.disown(), self.incarnation);
        self.incarnation = None;
    }

    fn forget(&mut self) {
        if self.image.is_none() {
            self.bring(&Part::Whole);
            assert_eq!(self.entry.forget_rows(), self.incarnation);
            assert!(self.entry.is_without_rows());
            self.incarnation = None;
        }
    }

    pub(super) fn write_all(&mut self) {
        self.cancel();
        self.freeze();
        while self.image.as_ref().is_some_and(|image| !image.done) {
            self.step(1000, usize::MAX);
        }
        self.thaw();
    }

    pub(super) fn reload(&mut self) {
        self.write_all();
        let Some(incarnation) = self.incarnation else { return };
        let all: Rows = self.store.iter().chain(&self.fences).map(|(key, said)| (key.clone(), said.clone())).collect();
        let Some(loaded) = load(self.entry.kind(), &all, &self.limits, incarnation) else { return };
        assert_eq!(digest_value(&loaded, i64::MIN), digest_value(&self.warm, i64::MIN));
        let key = self.entry.key().to_vec();
        self.entry = loaded;
        self.entry.rename(&key);
    }

    pub(super) fn run(&mut self, op: Op) {
        match op {
            Op::Add(n, salt) => self.add(n, salt),
            Op::Remove(n, salt) => self.remove(n, salt),
            Op::Shrink(from) => self.shrink(from),
            Op::Undo => self.take_back(),
            Op::Freeze => self.freeze(),
            Op::Step(rows, bytes) => self.step(rows, bytes),
            Op::Thaw => self.thaw(),
            Op::Cancel => self.cancel(),
            Op::Disown => self.disown(),
            Op::Forget => self.forget(),
            Op::Reload => self.reload(),
            Op::Rest => self.rest(),
            Op::Shed => self.shed(),
            Op::Bring(n, 0) => self.bring(&Part::Hashes { from: self.limits.seed.hash(&name(n)), count: 5 }),
            Op::Bring(n, 1) => self.bring(&Part::Ranks(usize::from(n)..usize::from(n) + 9)),
            Op::Bring(..) => {
                self.bring(&Part::Whole);
                assert_eq!(digest_value(&self.entry, i64::MIN), digest_value(&self.warm, i64::MIN));
            }
            Op::Rename => [&mut self.entry, &mut self.warm].into_iter().for_each(|entry| entry.rename(b"another key")),
        }
        self.entry.validate();
        assert_eq!(crate::shard::weight(&self.entry), crate::shard::weight(&self.warm));
        self.are_reads_right();
    }
}

/// How many elements the rows are of; how many bytes, if they are of a string.
pub(super) fn len_of(rows: &Rows) -> usize {
    let len = |(key, said): (&Key, &Said)| match (key, said) {
        (Key::Block(_), Said::Bytes(bytes)) => bytes.len(),
        (Key::Scored(..), _) => 0,
        _ => 1,
    };
    rows.iter().map(len).sum()
}

pub(super) fn put(entry: &mut Entry, limits: &Limits, pos: &ListPos, value: &[u8]) {
    let mut list = entry.list_mut(limits).expect("a list");
    if !list.set(pos, value) {
        list.insert(pos, value);
    }
}
