//! What outlives a crash of a node: its log up to the last fsync, and a few records that are fsynced before anything goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use causal::bind::Logged;
use causal::{Config, Cut, Entry, Epoch, Found, Opening, Replica, Start, Vote};
use effect::{Dot, Hlc, Origin, Vector};

use crate::batch::Kind;
use crate::rng::Rng;

/// The disk of one node. A copy of it is a backup.
#[derive(Debug, Clone)]
pub struct Disk {
    /// All batches in the order in which they were applied.
    pub log: Vec<Entry>,
    /// How many of them are fsynced.
    pub synced: usize,
    /// What the log has.
    pub has: Vector,
    /// What of it is fsynced.
    pub durable: Vector,
    /// Where in the log an origin's batches are, by first effect.
    places: BTreeMap<Origin, Vec<usize>>,
    /// The last origin that was taken.
    pub origin: Origin,
    /// It is an older one or a copy, and has not been counted on since.
    pub restored: bool,
    /// The clock never passes this.
    pub ceiling: Hlc,
    /// Batches that the group never got, to be written again, each with the batch that does so once there is one.
    pub again: Vec<(Entry, Option<Dot>)>,
    /// The epoch.
    pub epoch: Epoch,
    /// See [`Vote`].
    pub vote: Vote,
    /// What must not be forgotten of exclusive transactions. Each is durable before anything goes on.
    pub votes: Vec<Logged>,
    /// What was reported as undone.
    pub undone: BTreeSet<Dot>,
}

impl Disk {
    /// An empty one.
    pub fn new(node: u64, epoch: Epoch) -> Self {
        Self {
            log: Vec::new(),
            synced: 0,
            has: Vector::new(),
            durable: Vector::new(),
            places: BTreeMap::new(),
            origin: Origin::new(node, 0),
            restored: false,
            ceiling: Hlc(0),
            again: Vec::new(),
            epoch,
            vote: Vote::default(),
            votes: Vec::new(),
            undone: BTreeSet::new(),
        }
    }

    /// Appends a batch.
    pub fn append(&mut self, entry: Entry) {
        self.has.add(entry.last());
        self.places.entry(entry.first.origin).or_default().push(self.log.len());
        self.log.push(entry);
    }

    /// An fsync that began when the log was so long has ended.
    pub fn sync(&mut self, len: usize) {
        for entry in &self.log[self.synced.min(len)..len] {
            self.durable.add(entry.last());
        }
        self.synced = self.synced.max(len);
    }

    /// The transactions whose verdict is fsynced.
    pub fn verdicts(&self) -> BTreeSet<Dot> {
        let exclusive = self.log[..self.synced].iter().filter(|entry| Kind::is_exclusive(entry));
        let verdict = |entry| match Kind::of(entry) {
            Kind::Verdict(bind, _) => Some(bind),
            _ => None,
        };
        exclusive.filter_map(verdict).collect()
    }

    /// The power fails: of what was not fsynced, a beginning is there or nothing.
    pub fn tear(&mut self, rng: &mut Rng) {
        let keep = rng.between(self.synced, self.log.len());
        self.log.truncate(keep);
        self.rebuild();
        self.sync(keep);
        // Written again is what the log says so of.
        for (_, as_dot) in &mut self.again {
            *as_dot = as_dot.filter(|dot| self.has.has(*dot));
        }
    }

    /// Gives up log and state, but for what must be written again: own batches from these dots on. A transaction that nobody got was never
    /// decided, and is not written again: who comes back may have been told of nothing.
    pub fn give_up(&mut self, undelivered: &[Dot]) -> Vec<Entry> {
        let is_one = |e: &&Entry| undelivered.iter().any(|dot| dot.origin == e.first.origin && e.first.seq >= dot.seq);
        let kept: Vec<Entry> = self.log.iter().filter(is_one).filter(|e| !Kind::is_exclusive(e)).cloned().collect();
        self.votes.clear();
        // What was written again and did not arrive is among them.
        self.again.retain(|(_, as_dot)| as_dot.is_none());
        self.again.extend(kept.iter().map(|entry| (entry.clone(), None)));
        self.log.clear();
        self.rebuild();
        (self.synced, self.durable, self.restored) = (0, Vector::new(), true);
        kept
    }

    /// The transactions of these that nobody else has got: they are not written again.
    pub fn lost_binds(&self, undelivered: &[Dot]) -> Vec<Entry> {
        let is_one = |e: &&Entry| undelivered.iter().any(|dot| dot.origin == e.first.origin && e.first.seq >= dot.seq);
        self.log.iter().filter(is_one).filter(|e| Kind::is_exclusive(e)).cloned().collect()
    }

    /// Counts anew what the log has.
    pub fn rebuild(&mut self) {
        let log = std::mem::take(&mut self.log);
        self.places.clear();
        self.has = Vector::new();
        log.into_iter().for_each(|entry| self.append(entry));
    }

    /// Reads batches of an origin.
    pub fn read(&self, origin: Origin, from: u64, to: u64, max_bytes: u64) -> Found {
        let mut batches: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        let places = self.places.get(&origin).map_or(&[][..], Vec::as_slice);
        let start = places.partition_point(|at| self.log[*at].first.seq < from);
        for at in &places[start..] {
            let entry = &self.log[*at];
            bytes += entry.size();
            if entry.last().seq > to || (bytes > max_bytes && !batches.is_empty()) {
                break;
            }
            batches.push(entry.clone());
        }
        Found::Batches(batches)
    }

    /// The replica that starts on it.
    pub fn open(&self, config: Config) -> Replica {
        let mut heads = BTreeMap::new();
        let mut contexts: BTreeMap<Origin, Arc<Vector>> = BTreeMap::new();
        for entry in &self.log {
            heads.insert(entry.first.origin, entry.last_hlc());
            Arc::make_mut(contexts.entry(entry.first.origin).or_default()).join(&entry.grown);
        }
        let opening = Opening {
            origin: self.origin,
            start: if self.restored { Start::Restored } else { Start::Sound },
            applied: self.has.clone(),
            heads,
            contexts,
            cut: Cut::default(),
            epoch: self.epoch.clone(),
            vote: self.vote.clone(),
        };
        Replica::open(config, opening)
    }
}
