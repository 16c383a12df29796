//! Transactions whose verdict has not come, or not to everybody.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use effect::codec::Left;
use effect::{Batch, Dot, Effect, Vector, WireError};
use parking_lot::Mutex;
use wal::Position;

use super::bind_of;
use crate::backup::Hold;
use crate::feed::Waymark;
use crate::shard::DbKey;
use crate::suffix::Written;

/// A transaction that was logged.
#[derive(Clone)]
pub(crate) struct Pending {
    /// Its batch: the bind, then what it does.
    pub(crate) batch: Arc<[u8]>,
    pub(crate) first: Dot,
    /// What its writer had observed.
    pub(crate) context: Vector,
    /// What it writes, by physical database, and what it leaves there.
    pub(crate) written: Vec<(DbKey, Option<Left>)>,
    /// Where whatever it has not observed stands in the log.
    pub(crate) from: Waymark,
    /// Effects with its verdict; none while it is undecided.
    pub(crate) verdicts: Vec<Dot>,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Exclusives {
    /// How many are remembered: nearly always none.
    count: AtomicUsize,
    table: Mutex<Table>,
    /// Recent flushes: of one physical database, or of all.
    flushes: Mutex<Vec<(Dot, Option<u8>)>>,
}

#[derive(Default)]
struct Table {
    pending: BTreeMap<Dot, Arc<Pending>>,
    /// Those that are committed, by what they write.
    committed: HashMap<DbKey, Vec<Dot>>,
    /// What keeps the log, and where the verdict stands.
    holds: BTreeMap<Dot, (Hold, Option<Position>)>,
}

impl Pending {
    /// Of a batch that begins with a bind.
    pub(crate) fn new(batch: &Batch<'_>, bytes: &[u8], from: Waymark) -> Result<Self, WireError> {
        let bind = bind_of(batch).ok_or(WireError::Invalid { what: "bind", at: 0 })?;
        let keys = bind.keys.iter().filter(|key| key.written);
        let written = keys.map(|key| ((key.db, key.key.into()), key.left)).collect();
        let context = bind.context.iter().collect();
        Ok(Self { batch: bytes.into(), first: batch.first, context, written, from, verdicts: Vec::new() })
    }
}

impl Exclusives {
    /// Whether any is remembered.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Remembers one that has been logged, while its keys are locked.
    pub(crate) fn put(&self, pending: Pending, hold: Hold) {
        let mut table = self.table.lock();
        table.holds.insert(pending.first, (hold, None));
        table.pending.insert(pending.first, Arc::new(pending));
        self.count.store(table.pending.len(), Ordering::Release);
    }

    pub(crate) fn find(&self, bind: Dot) -> Option<Arc<Pending>> {
        if !self.is_any() {
            return None;
        }
        self.table.lock().pending.get(&bind).cloned()
    }

    /// A verdict was logged at `position`, by the effect `dot`.
    pub(crate) fn decided(&self, bind: Dot, committed: bool, dot: Dot, position: Position) {
        let mut table = self.table.lock();
        let Table { pending, committed: by_key, holds } = &mut *table;
        if let Some((_, verdict)) = holds.get_mut(&bind) {
            verdict.get_or_insert(position);
        }
        let Some(found) = pending.get_mut(&bind) else { return };
        if !committed {
            pending.remove(&bind);
        } else {
            let found = Arc::make_mut(found);
            for (name, _) in found.written.iter().filter(|_| found.verdicts.is_empty()) {
                by_key.entry(name.clone()).or_default().push(bind);
            }
            found.verdicts.push(dot);
        }
        self.count.store(pending.len(), Ordering::Release);
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

    /// What undecided transactions write.
    pub(crate) fn held_keys(&self) -> HashSet<DbKey> {
        if !self.is_any() {
            return HashSet::new();
        }
        let table = self.table.lock();
        let undecided = table.pending.values().filter(|pending| pending.verdicts.is_empty());
        undecided.flat_map(|pending| &pending.written).map(|(name, _)| name.clone()).collect()
    }

    /// Those that are undecided, in the order of their dots.
    pub(crate) fn undecided(&self) -> Vec<Arc<Pending>> {
        let table = self.table.lock();
        table.pending.values().filter(|pending| pending.verdicts.is_empty()).cloned().collect()
    }

    /// Forgets those of which everybody has seen the verdict.
    pub(crate) fn settle(&self, stable: &Vector) {
        let oldest = self.undecided();
        // Of what an undecided one has not observed nothing is forgotten.
        self.flushes.lock().retain(|(dot, _)| !stable.has(*dot) || oldest.iter().any(|one| !one.context.has(*dot)));
        if !self.is_any() {
            return;
        }
        let mut table = self.table.lock();
        let Table { pending, committed, .. } = &mut *table;
        pending.retain(|_, pending| !pending.verdicts.first().is_some_and(|verdict| stable.has(*verdict)));
        committed.retain(|_, binds| {
            binds.retain(|bind| pending.contains_key(bind));
            !binds.is_empty()
        });
        self.count.store(table.pending.len(), Ordering::Release);
    }

    /// A start will read the log from here on: what was decided before it is needed no more.
    pub(crate) fn checkpointed(&self, position: Position) {
        self.table.lock().holds.retain(|_, (_, verdict)| verdict.is_none_or(|verdict| verdict > position));
    }
}
