//! Whole databases: scan, count, pick. All of it asks for every shard to be locked.

use effect::Kind;

use crate::limits::SHARDS;
use crate::residency::{Listed, Page};
use crate::shard::{Db, Shard, ShardId};
use crate::state::{State, is_dead_hash};
use crate::stop::{Miss, Stop};
use crate::value::Entry;

/// A place in a database for SCAN to go on: `keyspace u16 ‖ slot u16 ‖ h32`, as one number. 0 is the beginning.
///
/// *Invariant:* a page returns all keys of equal (slot, h32) or none of them, so a key that is there during a whole scan
/// is returned at least once, whatever comes and goes, also across a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor(pub u64);

impl Cursor {
    /// The shard, and the place in its hash space.
    fn place(self) -> (usize, u64) {
        let slot = self.0 >> 32 & 0x3fff;
        let h32 = self.0 & 0xffff_ffff;
        ((slot >> 6) as usize, slot << 58 | h32 << 26)
    }

    /// The cursor of a place, rounded up to the next whole group.
    fn at(shard: usize, order: u64) -> Self {
        let group = order.div_ceil(1 << 26);
        let slot = (shard as u64) << 6 | group >> 32;
        Self(slot << 32 | group & 0xffff_ffff)
    }
}

/// A key that was come across, in memory or at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighted<'s> {
    /// The key.
    pub key: &'s [u8],
    /// The type of its value.
    pub kind: Kind,
}

impl State<'_> {
    fn whole(&self) -> Result<(), Stop> {
        if self.guards.is_all() { Ok(()) } else { Err(Stop::NeedsAll) }
    }

    fn live<'s>(&'s self, entry: &'s Entry) -> Option<&'s Entry> {
        let now_ms = self.now_ms;
        let lives = entry.deadline().is_none_or(|d| d > now_ms) && !is_dead_hash(entry, now_ms);
        let lives = lives && !(entry.is_at_rest() && self.is_given_up(self.physical(), entry));
        lives.then_some(entry)
    }

    /// Hands all live values of the database that are in memory to `visit`, and the keys of those at rest to `listed`; their
    /// digests are there if `values` are asked for.
    pub(crate) fn for_each(
        &self,
        values: bool,
        mut visit: impl FnMut(&Entry),
        mut listed: impl FnMut(&Listed),
    ) -> Result<(), Stop> {
        self.whole()?;
        let db = self.physical();
        for (id, shard) in (0..=u8::MAX).map(ShardId).zip(self.guards.iter()) {
            let Some(tables) = shard.db(db) else { continue };
            if tables.cold.is_some() {
                let page = self.page(db, id, shard, 0, values).filter(|page| page.to.is_none());
                let page = page.ok_or(Stop::Miss(Miss::Database { db, values }))?;
                at_rest(page, tables).for_each(&mut listed);
            }
            tables.table.iter().filter_map(|entry| self.live(entry)).for_each(&mut visit);
        }
        Ok(())
    }

    /// Hands all live values of the database to `visit`. Every key must be in memory.
    pub fn each_entry(&self, visit: impl FnMut(&Entry)) -> Result<(), Stop> {
        let db = self.physical();
        match self.guards.iter().filter_map(|shard| shard.db(db)).any(|tables| tables.cold.is_some()) {
            true => Err(Stop::error("ERR not every key is in memory")),
            false => self.for_each(false, visit, |_| ()),
        }
    }

    /// Hands all live keys of the database to `visit`.
    pub fn each_key(&self, visit: impl FnMut(&[u8])) -> Result<(), Stop> {
        let visit = std::cell::RefCell::new(visit);
        self.for_each(false, |entry| visit.borrow_mut()(entry.key()), |listed| visit.borrow_mut()(&listed.key))
    }

    /// Keys in the database, those included that have expired and are not reclaimed yet.
    pub fn len(&self) -> Result<usize, Stop> {
        self.whole()?;
        let db = self.physical();
        Ok(self.guards.iter().filter_map(|shard| shard.db(db)).map(Db::len).sum())
    }

    /// Whether the database has no key.
    pub fn is_empty(&self) -> Result<bool, Stop> {
        Ok(self.len()? == 0)
    }

    /// Keys with a deadline, or hashes with fields that have one.
    pub fn volatile_len(&self) -> Result<usize, Stop> {
        self.whole()?;
        let db = self.physical();
        Ok(self.guards.iter().filter_map(|shard| shard.db(db)).map(|db| db.volatile).sum())
    }

    /// Hands live keys from `cursor` on to `visit`, at least `count` stored ones if there are as many, or fewer if some are at
    /// rest; answers where to go on, `Cursor(0)` at the end.
    pub fn scan(&self, cursor: Cursor, count: usize, mut visit: impl FnMut(Sighted<'_>)) -> Result<Cursor, Stop> {
        self.whole()?;
        let db = self.physical();
        let (first, mut order) = cursor.place();
        let mut seen = 0;
        for id in first..SHARDS {
            let shard = self.guards.get(ShardId(id as u8));
            let Some((shard, tables)) = shard.and_then(|shard| Some((shard, shard.db(db)?))) else {
                order = 0;
                continue;
            };
            let mut end = None;
            if tables.cold.is_some() {
                let shard_id = ShardId(id as u8);
                let Some(page) = self.page(db, shard_id, shard, order, false) else {
                    // What was found so far is a page; without anything it is not.
                    return match seen {
                        0 => Err(Stop::Miss(Miss::Names { db, shard: shard_id, order, count: count.max(1) })),
                        _ => Ok(Cursor::at(id, order)),
                    };
                };
                end = page.to;
                for listed in at_rest(page, tables).filter(|listed| listed.order >= order) {
                    seen += 1;
                    visit(Sighted { key: &listed.key, kind: listed.kind });
                }
            }
            let mut from = Some(order);
            while let Some(at) = from.filter(|at| end.is_none_or(|end| *at < end)) {
                // Of what is at rest as well, a page is a page.
                if seen >= count.max(1) && tables.cold.is_none() {
                    return Ok(Cursor::at(id, at));
                }
                let order_of = |e: &Entry| self.shared.order_of(e.key());
                from = tables.table.scan(at, order_of, |entry| {
                    seen += 1;
                    let is_within = end.is_none_or(|end| order_of(entry) < end);
                    if let Some(entry) = self.live(entry).filter(|_| is_within) {
                        visit(Sighted { key: entry.key(), kind: entry.kind() });
                    }
                });
            }
            if let Some(end) = end {
                return Ok(Cursor::at(id, end));
            }
            order = 0;
        }
        Ok(Cursor(0))
    }

    /// Some live key, about uniformly by `random`; `None` if there is none.
    pub fn pick(&self, mut random: impl FnMut() -> u64) -> Result<Option<&[u8]>, Stop> {
        let stored = self.len()?;
        if stored == 0 {
            return Ok(None);
        }
        let db = self.physical();
        let shards = || (0..=u8::MAX).map(ShardId).zip(self.guards.iter()).filter_map(|(id, s)| Some((id, s.db(db)?)));
        if let Some(key) = self.pick_listed(db, &mut random) {
            return Ok(Some(key));
        }
        // What is at rest there may all have expired: then all names are listed.
        if self.at_rest.is_some_and(|at_rest| at_rest.pages(db).count() > PARTS_PICKED_FROM) {
            let is_listed = |(id, tables): (ShardId, &Db)| {
                let page = self.guards.get(id).and_then(|shard| self.page(db, id, shard, 0, false));
                tables.cold.is_none() || page.is_some_and(|page| page.to.is_none())
            };
            if !shards().all(is_listed) {
                return Err(Stop::Miss(Miss::Database { db, values: false }));
            }
            return Ok(shards()
                .flat_map(|(_, tables)| tables.table.iter())
                .find(|e| self.live(e).is_some())
                .map(Entry::key));
        }
        for _ in 0..64 {
            let mut nth = (random() % stored as u64) as usize;
            for (shard, tables) in shards() {
                if nth < tables.len() {
                    if tables.cold.is_some() {
                        return Err(Stop::Miss(Miss::Names { db, shard, order: random(), count: PICKED_FROM }));
                    }
                    match tables.table.pick(random()).and_then(|e| self.live(e)) {
                        Some(entry) => return Ok(Some(entry.key())),
                        None => break,
                    }
                }
                nth -= tables.len();
            }
        }
        let mut all = shards().flat_map(|(_, tables)| tables.table.iter());
        Ok(all.find(|e| self.live(e).is_some()).map(Entry::key))
    }

    /// Some live key of the parts of which it is known what is at rest there.
    fn pick_listed(&self, db: u8, random: &mut impl FnMut() -> u64) -> Option<&[u8]> {
        let mut keys: Vec<&[u8]> = Vec::new();
        for (id, page) in self.at_rest?.pages(db) {
            let shard = self.guards.get(id)?;
            let (Some(tables), Some(page)) = (shard.db(db), self.page(db, id, shard, page.from, false)) else {
                continue;
            };
            keys.extend(at_rest(page, tables).map(|listed| &listed.key[..]));
            let mut from = Some(page.from);
            while let Some(at) = from.filter(|at| page.to.is_none_or(|to| *at < to)) {
                from = tables.table.scan(
                    at,
                    |e| self.shared.order_of(e.key()),
                    |entry| {
                        keys.extend(self.live(entry).map(Entry::key));
                    },
                );
            }
        }
        let at = (!keys.is_empty()).then(|| random() % keys.len() as u64)?;
        keys.get(at as usize).copied()
    }

    /// The page in which a place lies of which an earlier run has learnt what is at rest.
    fn page(&self, db: u8, id: ShardId, shard: &Shard, order: u64, values: bool) -> Option<&Page> {
        self.at_rest?.page(db, id, shard, order, values)
    }
}

/// Keys that are looked up at rest so that one of them can be picked.
const PICKED_FROM: usize = 8;

/// Parts in which nothing was found at rest to be picked, after which all is listed.
const PARTS_PICKED_FROM: usize = 32;

/// The keys of a page that are at rest still.
fn at_rest<'p>(page: &'p Page, tables: &'p Db) -> impl Iterator<Item = &'p Listed> {
    let is_here = |listed: &Listed| tables.table.find(listed.order, |entry| entry.key() == &listed.key[..]).is_some();
    page.names.iter().filter(move |listed| !is_here(listed) && !tables.changes.is_removed(listed.order, &listed.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_name_whole_groups_and_never_step_back() {
        for (shard, order) in [(0, 1u64), (3, 1 << 26), (255, u64::MAX - (2 << 26)), (9, (5 << 58) + 77)] {
            let (s, o) = Cursor::at(shard, order).place();
            assert!((s, o) >= (shard, order) || s > shard, "{shard} {order}");
            assert_eq!(o % (1 << 26), 0);
        }
    }
}
