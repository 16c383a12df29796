//! Fetching into the processor's caches what will be read soon.
//!
//! The way from a key to its value is a chain of places in memory, each of which names the next: the shard's table, a
//! segment, an item, the allocation that it points to, and for a member of a large collection all of it once more. For
//! one command the processor waits at each. For a pipeline of commands every step is made for all of them before the
//! next, so that the waits overlap.

use parking_lot::MutexGuard;
use smallvec::SmallVec;

use crate::engine::Engine;
use crate::shard::{Shard, ShardId};
use crate::stop::Place;
use crate::value::{Entry, Fetch, Steps, Table};

/// Commands that are looked ahead for at once.
const MOST: usize = 16;

/// Asks for the cache line at `place`. Only a hint: it may be any address.
#[inline]
pub(crate) fn prefetch<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    // SAFETY: a prefetch changes nothing but caches, whatever the address; SSE is part of every x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// What a command is going to look at, as far as its arguments tell.
#[derive(Debug, Clone, Copy)]
pub struct Sight<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The two arguments behind it: one of them may be a member of a collection.
    pub next: [Option<&'a [u8]>; 2],
}

impl Engine {
    /// Places the keys of commands that are about to run in logical database `db`, and fetches what they will read.
    pub fn foresee(&self, db: u8, sights: &[Sight<'_>]) -> SmallVec<[Place; MOST]> {
        let shared = &*self.shared;
        let db = shared.physical(db);
        let mut places: SmallVec<[Place; MOST]> = SmallVec::new();
        // Where a row of commands on one key begins: pipelines often have one key only.
        let mut rows: SmallVec<[usize; MOST]> = SmallVec::new();
        for (at, sight) in sights.iter().enumerate() {
            match at.checked_sub(1) {
                Some(before) if sights[before].key == sight.key => places.push(places[before]),
                _ => {
                    rows.push(at);
                    places.push(shared.place_of(sight.key));
                }
            }
        }
        let mut shards: SmallVec<[(ShardId, Option<MutexGuard<'_, Shard>>); MOST]> = SmallVec::new();
        let whose: SmallVec<[usize; MOST]> = collect(rows.iter().map(|at| {
            let id = places[*at].shard;
            shards.iter().position(|(other, _)| *other == id).unwrap_or_else(|| {
                // Whoever holds a lock has the lines in another processor's cache: nothing to be gained there.
                shards.push((id, shared.shards[usize::from(id.0)].try_lock()));
                shards.len() - 1
            })
        }));
        let of_row = |row: usize| places[rows[row]].order;
        if shared.replicates() {
            let of_shard = |(row, whose): (usize, &usize)| Some((&shards[*whose].1.as_ref()?.suffix, of_row(row)));
            whose.iter().enumerate().filter_map(of_shard).for_each(|(suffix, order)| suffix.foresee(order));
        }
        let table = |whose: &usize| Some(&shards[*whose].1.as_ref()?.db(db)?.table);
        let tables: SmallVec<[(usize, &Table<_>); MOST]> =
            collect(whose.iter().enumerate().filter_map(|(row, whose)| Some((row, table(whose)?))));
        tables.iter().for_each(|(row, table)| table.to_segment(of_row(*row)));
        let entries: SmallVec<[(usize, &Entry); MOST]> = collect(tables.iter().filter_map(|(row, table)| {
            let entry = table.likely(of_row(*row));
            if entry.is_none() {
                table.to_vacancy(of_row(*row));
            }
            Some((*row, entry?))
        }));
        entries.iter().for_each(|(_, entry)| prefetch(std::ptr::from_ref(*entry)));
        entries.iter().for_each(|(_, entry)| entry.fetch());
        let mut members: SmallVec<[(&dyn Steps, u64); MOST]> = SmallVec::new();
        for (row, entry) in &entries {
            let end = rows.get(row + 1).copied().unwrap_or(sights.len());
            for sight in &sights[rows[*row]..end] {
                let found = entry.members(sight.next);
                members.extend(found.map(|(steps, member)| (steps, shared.seed.hash(member))));
            }
        }
        members.iter().for_each(|(steps, hash)| steps.to_segment(*hash));
        members.iter().for_each(|(steps, hash)| steps.to_item(*hash));
        members.iter().for_each(|(steps, hash)| steps.to_value(*hash));
        places
    }
}

/// Collects one by one: the general way of doing it costs more than all the rest for so few.
#[inline(always)]
fn collect<T>(items: impl Iterator<Item = T>) -> SmallVec<[T; MOST]>
where
    [T; MOST]: smallvec::Array<Item = T>,
{
    let mut all = SmallVec::new();
    items.for_each(|item| all.push(item));
    all
}
