//! Sets beyond the packed limits: a table of one allocation per member.

use crate::value::away::AwayNames;
use crate::value::wide::{Budget, Content, Named, RowSink, Source};
use crate::value::{Batches, HashSeed, Steps, Table, size_class};

/// A set beyond the packed limits.
pub struct BigSet {
    pub(super) table: Table<Box<[u8]>>,
    pub(super) seed: HashSeed,
    /// What of it is away.
    pub(super) away: Option<Box<AwayNames>>,
    pub(super) heap: usize,
}

impl BigSet {
    pub(super) fn new(seed: HashSeed) -> Self {
        Self { table: Table::new(), seed, away: None, heap: 0 }
    }

    pub(super) fn insert(&mut self, member: &[u8]) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(member));
        let (_, new) =
            self.table.find_or_insert(hash, |other| **other == *member, || member.into(), |other| seed.hash(other));
        self.heap += if new { size_class(member.len()) } else { 0 };
        if new && let Some(away) = &mut self.away {
            away.came(member);
        }
        new
    }

    pub(super) fn remove(&mut self, member: &[u8], trail: Option<&mut Named<()>>) -> bool {
        let (seed, hash) = (self.seed, self.seed.hash(member));
        let taken = self.table.take(hash, |other| **other == *member, |other| seed.hash(other));
        let Some((gone, mark)) = taken else { return false };
        self.heap -= size_class(gone.len());
        if let Some(away) = &mut self.away {
            away.went(member);
        }
        if let Some(trail) = trail {
            trail.note_removal(mark, || (hash, gone), || ());
        }
        true
    }

    /// An empty set with room for about `count` members, which come in the order of their hashes.
    pub(in crate::value) fn with_room(seed: HashSeed, count: u64) -> Self {
        Self { table: Table::with_room(count), ..Self::new(seed) }
    }

    /// Adds a member that is at rest and new.
    pub(in crate::value) fn load(&mut self, hash: u64, member: &[u8]) {
        let seed = self.seed;
        self.heap += size_class(member.len());
        self.table.insert_at_rest(hash, member.into(), |other| seed.hash(other));
    }

    /// An image begins, or is written.
    pub(in crate::value) fn next_epoch(&mut self) {
        if let Some(away) = &mut self.away {
            away.forget_many();
        }
        self.table.next_epoch();
    }

    /// No element has a row any more.
    pub(in crate::value) fn renew(&mut self) {
        self.table.renew();
    }

    /// The image is given up.
    pub(in crate::value) fn give_up(&mut self) {
        self.table.give_up();
    }

    /// Hands over rows of the image.
    pub(in crate::value) fn next_rows(&mut self, trail: &mut Named<()>, budget: &mut Budget, sink: &mut RowSink<'_>) {
        let mut source = Source { table: &mut self.table, pool: &(), seed: self.seed };
        source.next_rows(trail, (|(), member| (member, Content::Nothing), |()| Content::Nothing), budget, sink);
    }

    pub(in crate::value) fn len(&self) -> usize {
        self.table.len() + self.away()
    }

    pub(in crate::value) fn steps(&self) -> &dyn Steps {
        &self.table
    }

    pub(in crate::value) fn contains(&self, member: &[u8]) -> bool {
        self.table.find(self.seed.hash(member), |other| **other == *member).is_some()
    }

    /// The members in batches, to be freed in slices.
    pub(in crate::value) fn into_batches(self) -> Batches<Box<[u8]>> {
        self.table.into_batches()
    }

    pub(in crate::value) fn memory_bytes(&self) -> usize {
        self.heap + self.table.memory_bytes() + self.away.as_ref().map_or(0, |away| away.memory_bytes())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.table.iter().map(|member| &**member)
    }

    pub(super) fn scan(&self, from: u64, mut visit: impl FnMut(&[u8])) -> Option<u64> {
        self.table.scan(from, |member| self.seed.hash(member), |member| visit(member))
    }

    pub(super) fn pick(&self, rand: u64) -> Option<&[u8]> {
        self.table.pick(rand).map(|member| &**member)
    }

    pub(super) fn validate(&self) {
        self.table.validate(|member| self.seed.hash(member));
        assert!(self.away.as_ref().is_none_or(|away| away.count() > 0), "nothing is away");
        assert_eq!(self.heap, self.table.iter().map(|member| size_class(member.len())).sum::<usize>());
    }
}
