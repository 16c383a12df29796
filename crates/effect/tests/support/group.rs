//! A small group of replicas of a few keys: who writes what, who has seen what, and what each can know to be stable.

use std::collections::BTreeMap;

use effect::reduce::{Applied, Event, Reduced};
use effect::{Dot, Hlc, Origin, Vector};

use crate::support::redis::Site;
use crate::support::view::View;
use crate::support::{Act, Change};

/// One effect with its surroundings.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub dot: Dot,
    pub hlc: Hlc,
    pub context: Vector,
    pub change: Change,
}

impl Entry {
    /// Whether this has observed the effect of that dot.
    pub fn observed(&self, dot: Dot) -> bool {
        self.context.has(dot) || (dot.origin == self.dot.origin && dot.seq < self.dot.seq)
    }

    pub fn show<R>(&self, see: impl FnOnce(&Event<'_>) -> R) -> R {
        self.change.show(self.dot.origin.0, |effect| {
            see(&Event { dot: self.dot, hlc: self.hlc, context: &self.context, effect })
        })
    }

    pub fn apply(&self, key: &mut Reduced) -> Applied {
        self.show(|event| key.apply(event))
    }

    fn concerns(&self, key: &str) -> bool {
        matches!(self.change.act, Act::FlushDb | Act::FlushAll) || self.change.key == key.as_bytes()
    }
}

/// What one command or several wrote: applied as one.
pub type Written = Vec<Entry>;

/// One replica.
#[derive(Debug, Clone)]
pub struct Replica {
    pub origin: Origin,
    /// Whose the list positions are that it opens.
    pub list_owner: u64,
    /// Ms that its clock is ahead.
    pub skew: i64,
    pub applied: Vector,
    /// What each other is known to have applied when it wrote the last of its effects that are here.
    pub known: BTreeMap<Origin, Vector>,
    pub keys: BTreeMap<String, Reduced>,
    /// All that was applied.
    pub log: Vec<Entry>,
    pub hlc: Hlc,
    pub seq: u64,
}

impl Replica {
    pub fn new(node: u64) -> Self {
        Self {
            origin: Origin::new(node, 1),
            list_owner: Origin::new(node, 1).0,
            skew: 0,
            applied: Vector::new(),
            known: BTreeMap::new(),
            keys: BTreeMap::new(),
            log: Vec::new(),
            hlc: Hlc(0),
            seq: 0,
        }
    }

    pub fn key(&mut self, key: &str) -> &mut Reduced {
        self.keys.entry(key.to_owned()).or_default()
    }

    /// What a client sees.
    pub fn view(&self, key: &str, now: i64) -> Option<View> {
        self.keys.get(key).and_then(View::whole)?.at(now)
    }

    /// Writes what these commands write, one after the other, as one batch. The second word is the key, if there is one.
    pub fn write(&mut self, now: i64, commands: &[&str]) -> Written {
        let context = self.applied.clone();
        let mut written = Vec::new();
        for command in commands {
            let mut words: Vec<&str> = command.split(' ').collect();
            let key = if words.len() > 1 { words.remove(1) } else { "k" };
            let view = self.view(key, now + self.skew);
            let state = self.keys.get(key).cloned().unwrap_or_default();
            let hides = |field: Option<&[u8]>| state.hides_deadlines(field);
            let lone = |field: &[u8]| state.has_lone_deadline(field);
            let site =
                Site { me: self.list_owner, now: now + self.skew, view: view.as_ref(), hides: &hides, lone: &lone };
            let mut decided = site.decide(&words);
            // What has expired goes first.
            let is_expired = view.is_none() && View::whole(&state).is_some();
            let at = decided.iter().position(|(fresh, _)| *fresh);
            at.filter(|_| is_expired).into_iter().for_each(|at| decided.insert(at, (false, Act::Remove)));
            for (fresh, act) in decided {
                self.seq += 1;
                self.hlc = Hlc::at_ms(now + self.skew).max(self.hlc.plus(1));
                let change = Change { keyspace: 0, db: 0, key: key.into(), fresh, deps: Vec::new(), act };
                let dot = Dot { origin: self.origin, seq: self.seq };
                written.push(Entry { dot, hlc: self.hlc, context: context.clone(), change });
                self.take_in(written.last().expect("it was just written"));
            }
        }
        written
    }

    fn take_in(&mut self, entry: &Entry) {
        let applied = self.applied.clone();
        let names: Vec<String> = self.keys.keys().cloned().collect();
        for name in names.into_iter().chain([String::from_utf8_lossy(&entry.change.key).into_owned()]) {
            if entry.concerns(&name) && !self.key(&name).seen().has(entry.dot) {
                let key = self.key(&name);
                key.see(&applied);
                assert_eq!(entry.apply(key), Applied::Done);
                assert_eq!(entry.apply(key), Applied::Duplicate);
            }
        }
        self.applied.add(entry.dot);
        let known = self.known.entry(entry.dot.origin).or_default();
        known.join(&entry.context);
        known.add(entry.dot);
        self.hlc = self.hlc.max(entry.hlc);
        self.log.push(entry.clone());
    }

    /// Whether the batch can be applied now.
    pub fn awaits(&self, batch: &Written) -> bool {
        let first = &batch[0];
        let is_next = self.applied.get(first.dot.origin) + 1 == first.dot.seq;
        is_next && self.applied.covers(&first.context)
    }

    pub fn receive(&mut self, batch: &Written) {
        batch.iter().for_each(|entry| self.take_in(entry));
    }

    /// What this replica can know to be stable in a group of these origins: everybody has it, and (if `by_clock`) so with all of lower
    /// HLC.
    pub fn stable(&self, origins: &[Origin], by_clock: bool) -> Vector {
        let mut stable = self.applied.clone();
        for origin in origins.iter().filter(|origin| **origin != self.origin) {
            stable = stable.meet(self.known.get(origin).unwrap_or(&Vector::new()));
        }
        if !by_clock {
            return stable;
        }
        let open = self.log.iter().filter(|entry| !stable.has(entry.dot)).map(|entry| entry.hlc).min();
        let below = |entry: &&Entry| stable.has(entry.dot) && open.is_none_or(|open| entry.hlc < open);
        self.log.iter().filter(below).map(|entry| entry.dot).collect()
    }

    pub fn forget(&mut self, stable: &Vector) {
        self.keys.values_mut().for_each(|key| key.forget(stable));
    }
}
