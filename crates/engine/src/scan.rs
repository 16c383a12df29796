//! Whole databases: scan, count, pick. All of it asks for every shard to be locked.

use crate::limits::SHARDS;
use crate::shard::ShardId;
use crate::state::{State, is_dead_hash};
use crate::stop::Stop;
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

    /// Hands all live keys of the database to `visit`.
    pub fn for_each(&self, mut visit: impl FnMut(&Entry)) -> Result<(), Stop> {
        self.whole()?;
        let db = self.physical();
        for shard in self.guards.iter() {
            for entry in shard.db(db).into_iter().flat_map(|db| db.table.iter()) {
                if let Some(entry) = self.live(entry) {
                    visit(entry);
                }
            }
        }
        Ok(())
    }

    /// Keys in the database, those included that have expired and are not reclaimed yet.
    pub fn len(&self) -> Result<usize, Stop> {
        self.whole()?;
        let db = self.physical();
        Ok(self.guards.iter().filter_map(|shard| shard.db(db)).map(|db| db.table.len()).sum())
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

    /// Hands live keys from `cursor` on to `visit`, at least `count` stored ones if there are as many; answers where to
    /// go on, `Cursor(0)` at the end.
    pub fn scan(&self, cursor: Cursor, count: usize, mut visit: impl FnMut(&Entry)) -> Result<Cursor, Stop> {
        self.whole()?;
        let db = self.physical();
        let (first, mut order) = cursor.place();
        let mut seen = 0;
        for id in first..SHARDS {
            let Some(tables) = self.guards.get(ShardId(id as u8)).and_then(|shard| shard.db(db)) else {
                order = 0;
                continue;
            };
            let mut from = Some(order);
            while let Some(at) = from {
                if seen >= count.max(1) {
                    return Ok(Cursor::at(id, at));
                }
                from = tables.table.scan(
                    at,
                    |e| self.shared.order_of(e.key()),
                    |entry| {
                        seen += 1;
                        if let Some(entry) = self.live(entry) {
                            visit(entry);
                        }
                    },
                );
            }
            order = 0;
        }
        Ok(Cursor(0))
    }

    /// Some live key, about uniformly by `random`; `None` if there is none.
    pub fn pick(&self, mut random: impl FnMut() -> u64) -> Result<Option<&Entry>, Stop> {
        let stored = self.len()?;
        if stored == 0 {
            return Ok(None);
        }
        let db = self.physical();
        for _ in 0..64 {
            let mut nth = (random() % stored as u64) as usize;
            for tables in self.guards.iter().filter_map(|shard| shard.db(db)) {
                if nth < tables.table.len() {
                    match tables.table.pick(random()).and_then(|e| self.live(e)) {
                        Some(entry) => return Ok(Some(entry)),
                        None => break,
                    }
                }
                nth -= tables.table.len();
            }
        }
        let mut all = self.guards.iter().filter_map(|shard| shard.db(db)).flat_map(|db| db.table.iter());
        Ok(all.find(|e| self.live(e).is_some()))
    }
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
