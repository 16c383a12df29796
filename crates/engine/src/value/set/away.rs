//! Members of a large set that are away.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::big::BigSet;
use crate::value::away::{AwayNames, Shed};
use crate::value::wide::Named;
use crate::value::{HashSeed, size_class};

impl BigSet {
    /// A set of which so many members are away: all.
    pub(in crate::value) fn away_all(seed: HashSeed, count: usize, all: &Arc<AtomicUsize>) -> Self {
        Self { away: Some(Box::new(AwayNames::new(count, all))), ..Self::new(seed) }
    }

    /// How many members are away.
    pub(in crate::value) fn away(&self) -> usize {
        self.away.as_ref().map_or(0, |away| away.count())
    }

    /// Whether a member that is not in memory may be away.
    pub(in crate::value) fn lacks(&self, member: &[u8]) -> bool {
        self.away.as_ref().is_some_and(|away| away.is_unknown(member)) && !self.contains(member)
    }

    /// A member has come, of which there is a row. Whether it was away.
    pub(in crate::value) fn arrive(&mut self, hash: u64, member: &[u8], trail: Option<&Named<()>>) -> bool {
        let Some(away) = &mut self.away else { return false };
        let is_here = self.table.find(hash, |other| **other == *member).is_some();
        if is_here || trail.is_some_and(|trail| trail.has_gone(&(hash, member.into()))) {
            return false;
        }
        away.arrived();
        if away.count() == 0 {
            self.away = None;
        }
        self.load(hash, member);
        true
    }

    /// There is no such member.
    pub(in crate::value) fn note_vacant(&mut self, member: &[u8], holds: bool) {
        if let Some(away) = &mut self.away {
            away.note_vacant(member, holds);
        }
    }

    /// Lets members go, from a hash on, that are at rest. Answers where to go on.
    pub(in crate::value) fn shed(&mut self, from: u64, all: &Arc<AtomicUsize>, shed: &mut Shed) -> Option<u64> {
        let (seed, mut gone) = (self.seed, Vec::new());
        let next = self.table.shed_at(from, |member| seed.hash(member), |_| true, &mut gone);
        if !gone.is_empty() {
            let away = self.away.get_or_insert_with(|| Box::new(AwayNames::new(0, all)));
            away.left(gone.len());
            let heap = gone.iter().map(|member| size_class(member.len())).sum::<usize>();
            self.heap -= heap;
            shed.note(gone.len(), heap + gone.len() * size_of::<Box<[u8]>>());
        }
        next
    }

    /// Visits the members in memory whose hashes lie from one up to, not including, another.
    pub(in crate::value) fn scan_to<'a>(&'a self, from: u64, to: Option<u64>, visit: &mut dyn FnMut(u64, &'a [u8])) {
        self.table.scan_to(from, to, |member| self.seed.hash(member), |hash, member| visit(hash, member));
    }
}
