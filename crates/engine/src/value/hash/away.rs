//! Fields of a large hash that are away.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::FieldRef;
use super::big::{BigHash, FieldCell};
use crate::value::HashSeed;
use crate::value::away::{AwayNames, Shed};
use crate::value::wide::Named;

impl BigHash {
    /// A hash of which so many fields are away: all.
    pub(in crate::value) fn away_all(seed: HashSeed, count: usize, all: &Arc<AtomicUsize>) -> Self {
        let mut hash = Self::new(seed);
        hash.away = Some(Box::new(AwayNames::new(count, all)));
        hash
    }

    /// How many fields are away.
    pub(in crate::value) fn away(&self) -> usize {
        self.away.as_ref().map_or(0, |away| away.count())
    }

    /// Whether a field that is not in memory may be away.
    pub(in crate::value) fn lacks(&self, field: &[u8]) -> bool {
        self.away.as_ref().is_some_and(|away| away.is_unknown(field)) && self.get(field).is_none()
    }

    /// A field has come, as its row says it is. Whether it was away.
    pub(in crate::value) fn arrive(
        &mut self,
        (hash, field): (u64, &[u8]),
        value: &[u8],
        deadline: Option<i64>,
        trail: Option<&Named<FieldCell>>,
    ) -> bool {
        let Some(away) = &mut self.away else { return false };
        let is_here = self.table.find(hash, |cell| cell.field() == field).is_some();
        if is_here || trail.is_some_and(|trail| trail.has_gone(&(hash, field.into()))) {
            return false;
        }
        away.arrived();
        if away.count() == 0 {
            self.away = None;
        }
        self.load(hash, field, value, deadline);
        true
    }

    /// There is no such field.
    pub(in crate::value) fn note_vacant(&mut self, field: &[u8], holds: bool) {
        if let Some(away) = &mut self.away {
            away.note_vacant(field, holds);
        }
    }

    /// Lets fields go, from a hash on, that are at rest. Answers where to go on.
    pub(in crate::value) fn shed(&mut self, from: u64, all: &Arc<AtomicUsize>, shed: &mut Shed) -> Option<u64> {
        let (seed, mut gone) = (self.seed, Vec::new());
        // Deadlines are looked at in memory.
        let may_go = |cell: &FieldCell| cell.get().deadline.is_none();
        let next = self.table.shed_at(from, |cell| seed.hash(cell.field()), may_go, &mut gone);
        if !gone.is_empty() {
            let away = self.away.get_or_insert_with(|| Box::new(AwayNames::new(0, all)));
            away.left(gone.len());
            let heap = gone.iter().map(FieldCell::heap).sum::<usize>();
            self.heap -= heap;
            shed.note(gone.len(), heap + gone.len() * size_of::<FieldCell>());
        }
        next
    }

    /// Visits the fields in memory whose hashes lie from one up to, not including, another.
    pub(in crate::value) fn scan_to<'a>(
        &'a self,
        from: u64,
        to: Option<u64>,
        visit: &mut dyn FnMut(u64, FieldRef<'a>),
    ) {
        let hash = |cell: &FieldCell| self.seed.hash(cell.field());
        self.table.scan_to(from, to, hash, |hash, cell| visit(hash, cell.get()));
    }
}
