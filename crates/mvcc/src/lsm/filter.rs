//! Garbage, and what is dead, is dropped by the tree's own compactions as they come past it.
//!
//! This costs nothing and may happen at any time: what is garbage under the watermark, or dead, is absent for every
//! operation already. A compaction of the store walks what is left.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};

use super::books::ROWS_PREFIX;
use super::dead::{DeadRows, is_dead_row};
use super::seal::{Seal, Sealing};
use crate::header::Header;
use crate::layout;
use crate::limits::PACE_ROWS;
use crate::pace::{Others, Pace};
use crate::timestamp::Timestamp;

type Assigner = Arc<dyn Fn(&str) -> Option<Arc<dyn Factory>> + Send + Sync>;

/// Gives the trees of rows a filter that follows `floor`, the effective watermark, and what `dead` says, and lets `others` go
/// first.
pub(super) fn assigner(
    floor: Arc<AtomicU64>,
    dead: Option<Arc<dyn DeadRows>>,
    seal: Arc<Seal>,
    others: Others,
) -> Assigner {
    Arc::new(move |name| {
        let (floor, dead) = (Arc::clone(&floor), AssertUnwindSafe(dead.clone()));
        let (seal, others) = (AssertUnwindSafe(Arc::clone(&seal)), others.clone());
        name.starts_with(ROWS_PREFIX).then(|| Arc::new(Filters { floor, dead, seal, others }) as Arc<dyn Factory>)
    })
}

struct Filters {
    floor: Arc<AtomicU64>,
    /// The tree catches no panic of a filter and asks for this all the same.
    dead: AssertUnwindSafe<Option<Arc<dyn DeadRows>>>,
    seal: AssertUnwindSafe<Arc<Seal>>,
    others: Others,
}

impl Factory for Filters {
    fn name(&self) -> &str {
        "garbage below the watermark"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        let floor = Timestamp(self.floor.load(Ordering::Acquire));
        let sealing = self.seal.sealing_anew();
        Box::new(Filter { floor, dead: self.dead.clone(), sealing, pace: Pace::begin(&self.others), seen: 0 })
    }
}

struct Filter {
    floor: Timestamp,
    dead: Option<Arc<dyn DeadRows>>,
    /// What rows are sealed with that are in clear, or sealed with a data key that is to go.
    sealing: Option<Sealing>,
    /// Compactions are long, and have no other place where others could be let go.
    pace: Pace,
    seen: u32,
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        self.seen = self.seen.wrapping_add(1);
        if self.seen.is_multiple_of(PACE_ROWS) {
            self.pace.step();
        }
        let is_row = matches!(item.key().first(), Some(&(layout::CURRENT | layout::HISTORY)));
        if !is_row || (self.floor == Timestamp::ZERO && self.dead.is_none() && self.sealing.is_none()) {
            return Ok(Verdict::Keep);
        }
        let row = item.value()?;
        // A row that cannot be read is left for a reader to complain about.
        let is_garbage = || Header::read(&row).is_ok_and(|(header, ..)| header.is_garbage(self.floor));
        let is_dead =
            || Header::commit_of(&row).is_some_and(|commit| is_dead_row(self.dead.as_deref(), item.key(), commit));
        if is_dead() || is_garbage() {
            return Ok(Verdict::Remove);
        }
        // What cannot be sealed now stays as it is; whoever seals everything anew looks at the rows themselves.
        let resealed = self.sealing.as_mut().and_then(|sealing| sealing.renewed(item.key(), &row).ok().flatten());
        Ok(resealed.map_or(Verdict::Keep, |row| Verdict::ReplaceValue(row.into())))
    }
}
