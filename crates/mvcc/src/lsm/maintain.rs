//! Sweeps of prefix deletions, and compactions. Both go in steps of a few hundred rows under the writers' lock and keep
//! their place in the tree, so that neither writers nor restarts make them begin anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use fjall::PersistMode;

use super::view::{View, decode};
use super::write::Batch;
use super::{LsmStore, Writer, books};
use crate::deletes::Pending;
use crate::error::Result;
use crate::header::Header;
use crate::input;
use crate::layout::{self, WATERMARK_KEY};
use crate::limits::{SWEEP_BYTES, SWEEP_ROWS};
use crate::pins::Watermark;
use crate::span::{prefix_end, successor};
use crate::store::{Compaction, Retention};
use crate::timestamp::Timestamp;

/// What one step did.
#[derive(Default)]
pub(super) struct Step {
    visited: usize,
    collected: usize,
    /// Where to go on; `None` at the end.
    next: Option<Vec<u8>>,
}

impl LsmStore {
    /// Carries out a part of the oldest prefix deletion. Answers how many rows were visited and collected.
    pub(super) fn sweep_some(&self, budget: usize) -> Result<Step> {
        let view = View::now(self);
        let Some(delete) = view.deletes.first() else { return Ok(Step::default()) };
        let mut batch = Batch::new(self, &view.rows, PersistMode::Buffer);
        let step = self.sweep_rows(&mut batch, &view, delete, budget)?;
        let mut deletes = view.deletes.to_vec();
        match &step.next {
            Some(cursor) => {
                deletes[0].cursor.clone_from(cursor);
                batch.insert(layout::delete_key(delete.commit), deletes[0].row());
            }
            None => {
                batch.remove(layout::delete_key(delete.commit));
                deletes.remove(0);
            }
        }
        batch.commit()?;
        self.shared.write().deletes = Arc::new(deletes);
        Ok(step)
    }

    fn sweep_rows(&self, batch: &mut Batch, view: &View<'_>, delete: &Pending, budget: usize) -> Result<Step> {
        let floor = self.floor();
        let from = layout::tagged(layout::CURRENT, &delete.cursor);
        let to =
            prefix_end(&delete.prefix).map_or(vec![layout::CURRENT + 1], |end| layout::tagged(layout::CURRENT, &end));
        let (mut step, mut bytes) = (Step::default(), 0);
        if from >= to {
            return Ok(step);
        }
        for guard in view.range(&from, &to) {
            let (row_key, found) = decode(guard, &self.seal)?;
            let key = &row_key[1..];
            step.visited += 1;
            if delete.covers(key, &found.header) && !view.is_dead(key, &found.header) {
                bytes += found.row().len();
                if self.retention == Retention::Versions {
                    batch.supersede(key, &found, None, delete.commit, view)?;
                }
                let tombstone = Header::tombstone(delete.commit);
                if tombstone.is_garbage(floor) {
                    step.collected += 1;
                    batch.remove(&*row_key);
                } else {
                    batch.insert(row_key.to_vec(), tombstone.row(&[]));
                }
            }
            if step.visited >= budget.min(SWEEP_ROWS) || bytes >= SWEEP_BYTES {
                step.next = Some(successor(key));
                break;
            }
        }
        Ok(step)
    }

    pub(super) fn compact_some(&self, horizon: Timestamp, budget: usize) -> Result<Compaction> {
        input::horizon(horizon)?;
        let mut sum = Compaction { watermark: horizon, visited: 0, collected: 0, done: false };
        loop {
            let mut writer = self.writer.lock();
            let watermark = self.begin_compaction(&mut writer, horizon)?;
            sum.watermark = watermark.effective();
            let allowed = budget.saturating_sub(sum.visited).max(1);
            let step = if !self.shared.read().deletes.is_empty() {
                self.sweep_some(allowed)?
            } else if watermark.pending.is_some() {
                self.collect_some(&mut writer, watermark, allowed)?
            } else {
                sum.done = true;
                return Ok(sum);
            };
            sum.visited += step.visited;
            sum.collected += step.collected;
            if sum.visited >= budget && self.is_compacting() {
                return Ok(sum);
            }
        }
    }

    fn is_compacting(&self) -> bool {
        self.pins.watermark().pending.is_some() || !self.shared.read().deletes.is_empty()
    }

    /// The watermark of the compaction under way; if there is none, it begins, provided there is something to raise it
    /// to.
    fn begin_compaction(&self, writer: &mut Writer, horizon: Timestamp) -> Result<Watermark> {
        let watermark = self.pins.watermark();
        if watermark.pending.is_some() {
            return Ok(watermark);
        }
        writer.cursor.clear();
        let rows = self.shared.read().rows.clone();
        let raised = self.pins.raise(horizon, |watermark| {
            let mut batch = Batch::new(self, &rows, PersistMode::SyncAll);
            batch.insert(WATERMARK_KEY.to_vec(), books::watermark_row(watermark, &[]));
            batch.commit()?;
            // Before the lock of the pins is given back: whoever pins now sees it.
            self.floor.store(watermark.effective().0, Ordering::Release);
            Ok(())
        })?;
        Ok(raised)
    }

    /// Visits some rows, drops those that are garbage; at the end of the rows the watermark is committed.
    fn collect_some(&self, writer: &mut Writer, watermark: Watermark, budget: usize) -> Result<Step> {
        let floor = watermark.effective();
        let view = View::now(self);
        let from = if writer.cursor.is_empty() { vec![layout::CURRENT] } else { writer.cursor.clone() };
        let mut removed = Vec::new();
        let mut step = Step::default();
        for guard in view.range(&from, &[layout::END]) {
            let (row_key, found) = decode(guard, &self.seal)?;
            step.visited += 1;
            let is_forgotten = self.retention == Retention::Newest && found.header.successor.is_some();
            if is_forgotten || found.header.is_garbage(floor) {
                removed.push(row_key.clone());
            }
            if step.visited >= budget.min(SWEEP_ROWS) {
                step.next = Some(successor(&row_key));
                break;
            }
        }
        step.collected = removed.len();
        let settled = match &step.next {
            Some(_) => watermark,
            None => Watermark { committed: floor, pending: None },
        };
        let cursor = step.next.clone().unwrap_or_default();
        let mode = if settled.pending.is_some() { PersistMode::Buffer } else { PersistMode::SyncAll };
        let mut batch = Batch::new(self, &view.rows, mode);
        removed.into_iter().for_each(|row_key| batch.remove(row_key));
        batch.insert(WATERMARK_KEY.to_vec(), books::watermark_row(settled, &cursor));
        batch.commit()?;
        writer.cursor = cursor;
        self.pins.set(settled);
        Ok(step)
    }
}
