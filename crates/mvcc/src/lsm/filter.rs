//! Garbage is dropped by the tree's own compactions as they come past it.
//!
//! This costs nothing and may happen at any time: what is garbage under the watermark is absent for every operation
//! already. A compaction of the store walks what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};

use super::books::ROWS_PREFIX;
use crate::header::Header;
use crate::layout;
use crate::timestamp::Timestamp;

type Assigner = Arc<dyn Fn(&str) -> Option<Arc<dyn Factory>> + Send + Sync>;

/// Gives the trees of rows a filter that follows `floor`, the effective watermark.
pub(super) fn assigner(floor: Arc<AtomicU64>) -> Assigner {
    Arc::new(move |name| {
        let floor = Arc::clone(&floor);
        name.starts_with(ROWS_PREFIX).then(|| Arc::new(Filters { floor }) as Arc<dyn Factory>)
    })
}

struct Filters {
    floor: Arc<AtomicU64>,
}

impl Factory for Filters {
    fn name(&self) -> &str {
        "garbage below the watermark"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Filter { floor: Timestamp(self.floor.load(Ordering::Acquire)) })
    }
}

struct Filter {
    floor: Timestamp,
}

impl CompactionFilter for Filter {
    fn filter_item(&mut self, item: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        let is_row = matches!(item.key().first(), Some(&(layout::CURRENT | layout::HISTORY)));
        if !is_row || self.floor == Timestamp::ZERO {
            return Ok(Verdict::Keep);
        }
        // A row that cannot be read is left for a reader to complain about.
        let is_garbage = Header::decode(&item.value()?).is_ok_and(|(header, _)| header.is_garbage(self.floor));
        Ok(if is_garbage { Verdict::Remove } else { Verdict::Keep })
    }
}
