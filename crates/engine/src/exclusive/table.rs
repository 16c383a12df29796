//! Transactions whose verdict has not come, or not to everybody.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use effect::codec::Left;
use effect::{Batch, Dot, Effect, Hlc, Vector, WireError};
use parking_lot::Mutex;
use wal::Position;

use super::later::Early;
use super::stored::{Flush, Frozen, Kept};
use super::undecided::Undecided;
use super::{Decided, bind_of};
use crate::backup::Hold;
use crate::feed::Waymark;
use crate::limits::READ_LAG_MS;
use crate::shard::DbKey;
use crate::suffix::Written;

/// A transaction that was logged.
#[derive(Clone)]
pub(crate) struct Pending {
    /// Its batch: the bind, then what it does.
    pub(crate) batch: Arc<[u8]>,
    pub(crate) first: Dot,
    pub(crate) hlc: Hlc,
    /// What its writer had observed.
    pub(crate) context: Vector,
    /// What it writes, by physical database, and what it leaves there.
    pub(crate) written: Vec<(DbKey, Option<Left>)>,
    /// What it only read.
    pub(crate) read: Vec<DbKey>,
    /// Where in the log whatever it has not observed stands, but for what is `early`; none if the log was cut behind that.
    pub(crate) from: Option<Waymark>,
    /// What it has not observed of its keys and stands before the last checkpoint.
    pub(crate) early: Option<Arc<[Early]>>,
    /// How it ended, as the first verdict here says: committed or not, and at which ballot.
    pub(crate) outcome: Option<(bool, u64)>,
    /// Effects with its verdict.
    pub(crate) verdicts: Vec<Dot>,
    /// It may be seen before its verdict, and not be committed after all.
    pub(crate) is_unsafe: bool,
    /// It was shown here as committed, or as lost; only that is final.
    pub(crate) shown: Option<bool>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Exclusives {
    /// How many are remembered: nearly always none.
    count: AtomicUsize,
    table: Mutex<Table>,
    /// Recent flushes.
    flushes: Mutex<Vec<Flush>>,
    /// Bytes of keys that lie aside, since copies of them are shown.
    aside: AtomicUsize,
}

#[derive(Default)]
struct Table {
    pending: BTreeMap<Dot, Arc<Pending>>,
    /// Those that are committed, by what they write, in the order of their verdicts.
    committed: HashMap<DbKey, Vec<Dot>>,
    /// What keeps the log for those that no checkpoint has yet, and where they stand in it.
    holds: BTreeMap<Dot, (Hold, Position)>,
    /// How many unsafe ones write a key: whoever wrote there may have seen what is not here.
    unsure: HashMap<DbKey, usize>,
    undecided: Undecided,
    /// Those that have their verdict.
    decided: BTreeSet<Dot>,
}

impl Table {
    /// Remembers one without a verdict.
    fn insert(&mut self, pending: Pending) {
        self.forget(pending.first);
        if pending.is_unsafe {
            pending.written.iter().for_each(|(name, _)| *self.unsure.entry(name.clone()).or_default() += 1);
        }
        self.undecided.add(&pending);
        self.pending.insert(pending.first, Arc::new(pending));
    }

    fn forget(&mut self, bind: Dot) {
        let Some(pending) = self.pending.remove(&bind) else { return };
        if !self.decided.remove(&bind) {
            self.undecided.remove(&pending);
        }
        for (name, _) in pending.written.iter().filter(|_| pending.is_unsafe) {
            if let Entry::Occupied(mut unsure) = self.unsure.entry(name.clone()) {
                *unsure.get_mut() -= 1;
                if *unsure.get() == 0 {
                    unsure.remove();
                }
            }
        }
    }
}

impl Pending {
    /// Of a batch that begins with a bind.
    pub(crate) fn new(batch: &Batch<'_>, bytes: &[u8], from: Option<Waymark>) -> Result<Self, WireError> {
        let bind = bind_of(batch).ok_or(WireError::Invalid { what: "bind", at: 0 })?;
        let (mut written, mut read) = (Vec::new(), Vec::new());
        for key in bind.keys.iter() {
            let name: DbKey = (key.db, key.key.into());
            match key.written {
                true => written.push((name, key.left)),
                false => read.push(name),
            }
        }
        let (context, first, hlc) = (bind.context.iter().collect(), batch.first, batch.hlc);
        let (early, outcome, verdicts, is_unsafe, shown) = (None, None, Vec::new(), bind.is_unsafe, None);
        let batch = bytes.into();
        Ok(Self { batch, first, hlc, context, written, read, from, early, outcome, verdicts, is_unsafe, shown })
    }
}

impl Exclusives {
    /// Whether any is remembered.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Remembers one that has been logged at `position`, while its keys are locked.
    pub(crate) fn put(&self, pending: Pending, hold: Hold, position: Position) {
        let mut table = self.table.lock();
        table.holds.insert(pending.first, (hold, position));
        table.insert(pending);
        self.count.store(table.pending.len(), Ordering::Release);
    }

    pub(crate) fn find(&self, bind: Dot) -> Option<Arc<Pending>> {
        if !self.is_any() {
            return None;
        }
        self.table.lock().pending.get(&bind).cloned()
    }

    /// A verdict was logged.
    pub(crate) fn decided(&self, decided: &Decided) {
        let &Decided { bind, committed, ballot, dot } = decided;
        let mut table = self.table.lock();
        let Table { pending, committed: by_key, undecided, decided: all, .. } = &mut *table;
        let Some(found) = pending.get_mut(&bind).map(Arc::make_mut) else { return };
        if found.outcome.is_none() {
            undecided.remove(found);
            all.insert(bind);
        }
        for (name, _) in found.written.iter().filter(|_| committed && found.outcome.is_none()) {
            by_key.entry(name.clone()).or_default().push(bind);
        }
        found.outcome.get_or_insert((committed, ballot));
        found.verdicts.push(dot);
    }

    /// A flush was applied.
    pub(crate) fn flushed(&self, dot: Dot, db: Option<u8>) {
        self.flushes.lock().push((dot, db));
    }

    /// Whether there was a recent flush of a physical database that is not in `context`.
    pub(crate) fn was_flushed(&self, db: u8, context: &Vector) -> bool {
        self.flushes.lock().iter().any(|(dot, of)| of.is_none_or(|of| of == db) && !context.has(*dot))
    }

    /// What the last committed transaction left that has written the effect's key, if who wrote the effect had not seen the verdict. (What he
    /// wrote himself he has seen.)
    pub(crate) fn unseen(&self, effect: &Effect<'_>, written: &Written<'_>) -> Option<Option<Left>> {
        let context = written.context.filter(|_| self.is_any())?;
        let table = self.table.lock();
        let (name, author): (DbKey, _) = ((effect.db, effect.key.into()), written.dot.origin);
        let last = table.committed.get(&name)?.iter().rev().find_map(|bind| table.pending.get(bind))?;
        let is_seen = last.verdicts.iter().any(|verdict| verdict.origin == author || context.has(*verdict));
        let left = last.written.iter().find(|(written, _)| *written == name).and_then(|(_, left)| *left);
        (!is_seen).then_some(left)
    }

    /// Whether a transaction that has written the key was committed, and none of its verdicts is in `seen`.
    pub(crate) fn has_unseen(&self, name: &DbKey, seen: &Vector) -> bool {
        if !self.is_any() {
            return false;
        }
        let table = self.table.lock();
        let mut committed = table.committed.get(name).into_iter().flatten().filter_map(|bind| table.pending.get(bind));
        committed.any(|one| !one.verdicts.iter().any(|verdict| seen.has(*verdict)))
    }

    /// An unsafe transaction is seen here, or is not any more.
    pub(crate) fn show(&self, bind: Dot, committed: bool) {
        let mut table = self.table.lock();
        let Table { pending, undecided, .. } = &mut *table;
        let Some(found) = pending.get_mut(&bind).map(Arc::make_mut) else { return };
        if found.outcome.is_none() {
            undecided.show(found, committed);
        }
        found.shown = Some(committed);
    }

    /// Whether a transaction that is not decided is seen here.
    pub(crate) fn is_shown(&self, bind: Dot) -> bool {
        self.find(bind).is_some_and(|pending| pending.shown == Some(true) && pending.outcome.is_none())
    }

    /// A key that lies aside has become larger or smaller, or is there, or is gone.
    pub(crate) fn count_aside(&self, before: usize, now: usize) {
        self.aside.fetch_add(now, Ordering::Relaxed);
        self.aside.fetch_sub(before, Ordering::Relaxed);
    }

    /// What is kept for transactions that are seen here and not decided, in bytes: keys that lie aside, and what was logged of them.
    pub(crate) fn shown_bytes(&self) -> usize {
        if !self.is_any() {
            return 0;
        }
        self.aside.load(Ordering::Relaxed) + self.table.lock().undecided.shown_bytes()
    }

    /// Whether an effect on the key may have been made on what is not here.
    #[inline]
    pub(crate) fn is_unsure(&self, db: u8, key: &[u8]) -> bool {
        if !self.is_any() {
            return false;
        }
        let unsure = &self.table.lock().unsure;
        !unsure.is_empty() && unsure.contains_key(&(db, key.into()))
    }

    /// Whether an undecided transaction writes the key, whose shard is locked.
    pub(crate) fn holds(&self, db: u8, key: &[u8]) -> bool {
        self.is_any() && self.table.lock().undecided.write(&(db, key.into()))
    }

    /// Whether an undecided transaction competes with one over these keys, of which those that are true are written. Their shards are locked.
    /// One that is shown is in the way of safe ones only: these could be decided before it is.
    pub(crate) fn clashes<'k>(&self, is_unsafe: bool, mut keys: impl Iterator<Item = (&'k DbKey, bool)>) -> bool {
        if !self.is_any() {
            return false;
        }
        let table = self.table.lock();
        keys.any(|(name, written)| table.undecided.clashes(is_unsafe, name, written))
    }

    /// How many are undecided, and how many of them are not shown.
    pub(crate) fn open(&self) -> (usize, usize) {
        if !self.is_any() {
            return (0, 0);
        }
        let table = self.table.lock();
        (table.undecided.len(), table.undecided.unseen())
    }

    /// Those that are undecided, in the order of their dots.
    pub(crate) fn undecided(&self) -> Vec<Arc<Pending>> {
        if !self.is_any() {
            return Vec::new();
        }
        let table = self.table.lock();
        table.pending.values().filter(|pending| pending.outcome.is_none()).cloned().collect()
    }

    /// All that are remembered, in the order of their dots.
    pub(crate) fn all(&self) -> Vec<Arc<Pending>> {
        self.table.lock().pending.values().cloned().collect()
    }

    /// The moment before which no undecided one has looked at anything, unix ms.
    pub(crate) fn looked_at_ms(&self) -> i64 {
        if !self.is_any() {
            return i64::MAX;
        }
        self.table.lock().undecided.first_ms().map_or(i64::MAX, |ms| ms.saturating_sub(READ_LAG_MS))
    }

    /// Forgets those of which everybody has seen the verdict.
    pub(crate) fn settle(&self, stable: &Vector) {
        if !self.flushes.lock().is_empty() {
            let undecided = self.undecided();
            // Of what an undecided one has not observed nothing is forgotten.
            let is_kept = |dot: Dot| !stable.has(dot) || undecided.iter().any(|one| !one.context.has(dot));
            self.flushes.lock().retain(|(dot, _)| is_kept(*dot));
        }
        if !self.is_any() {
            return;
        }
        let mut table = self.table.lock();
        let is_over = |bind: &&Dot| {
            table.pending.get(bind).and_then(|one| one.verdicts.first()).is_some_and(|verdict| stable.has(*verdict))
        };
        let over: Vec<Dot> = table.decided.iter().filter(is_over).copied().collect();
        over.into_iter().for_each(|bind| table.forget(bind));
        let Table { pending, committed, .. } = &mut *table;
        committed.retain(|_, binds| {
            binds.retain(|bind| pending.contains_key(bind));
            !binds.is_empty()
        });
        self.count.store(table.pending.len(), Ordering::Release);
    }

    /// A checkpoint's flip.
    pub(crate) fn freeze(&self) -> Frozen {
        let table = self.table.lock();
        let mut pending: Vec<_> = table.pending.values().cloned().collect();
        // Of two that write one key the later has observed the earlier, and what that had.
        pending.sort_by_key(|pending| pending.context.iter().map(|dot| u128::from(dot.seq)).sum::<u128>());
        Frozen { pending, flushes: self.flushes.lock().clone() }
    }

    /// A checkpoint at the position of `mark` is in force, and has these: what they have not observed is in there, or stands behind it.
    pub(crate) fn checkpointed(&self, mark: &Waymark, kept: &Kept) {
        let mut table = self.table.lock();
        for kept in &kept.pending {
            let Ok(restored) = kept.restore(mark) else { continue };
            if let Some(found) = table.pending.get_mut(&restored.first) {
                let found = Arc::make_mut(found);
                (found.from, found.early) = (restored.from, restored.early);
            }
        }
        table.holds.retain(|_, (_, position)| *position > mark.position);
    }

    /// Takes over what a checkpoint has, at a start.
    pub(crate) fn restore(&self, mark: &Waymark, kept: &Kept) -> Result<(), WireError> {
        for one in &kept.pending {
            let pending = one.restore(mark)?;
            let bind = pending.first;
            self.table.lock().insert(pending);
            for dot in &one.verdicts {
                let (committed, ballot) = one.outcome;
                self.decided(&Decided { bind, committed, ballot, dot: *dot });
            }
        }
        self.count.store(self.table.lock().pending.len(), Ordering::Release);
        self.flushes.lock().clone_from(&kept.flushes);
        Ok(())
    }
}
