//! Exclusive transactions: in the log from their EXEC on, and in force from their verdict on.
//!
//! ```text
//!   EXEC ─▶ run on the state, taken back ─▶ log: bind ‖ effects ─┐
//!   others ─▶ receive: bind ‖ effects ─▶ log ────────────────────┴▶ table ─▶ verdict, logged ─┬─ committed ─▶ suffix::commit
//!                                                                                             └─ failed ───▶ dropped
//! ```
//! Who decides is not this crate's matter. What has come of its keys and was not observed by a transaction is read from the log when that
//! is committed: it comes behind it (`docs/merging.md`).
//!
//! *Invariant:* an undecided transaction has changed no shard, and of its keys nothing is forgotten.
//! *Invariant:* what a start, or whoever has a copy, needs of a transaction is in the checkpoint or behind it in the log.

mod begin;
mod later;
mod preview;
mod recall;
mod serialize;
mod stored;
mod table;
mod undecided;
mod verdict;

#[cfg(test)]
mod tests;

pub(crate) use begin::place;
pub use begin::{Begun, ExclusiveError};
pub(crate) use later::Later;
pub(crate) use preview::ruled;
pub(crate) use recall::{Recalled, observed, recall};
pub use serialize::{Serialized, Since};
pub(crate) use stored::{Frozen, Kept};
pub(crate) use table::{Exclusives, Pending};
pub(crate) use verdict::at_start;
pub use verdict::{Decided, VerdictError};
pub(crate) use verdict::{Ruling, names_of};

use effect::{Batch, Bind, Effect, Op};

use crate::engine::Shared;
use crate::guards::Guards;
use crate::residency::ReadError;
use crate::shard::{DbKey, ShardId};

/// Whether an effect begins an exclusive transaction.
pub(crate) fn is_bind(effect: &Effect<'_>) -> bool {
    matches!(&effect.op, Op::Bind(bind) if bind.exclusive)
}

/// The bind that a batch begins with, if it is of an exclusive transaction.
pub(crate) fn bind_of<'b>(batch: &Batch<'b>) -> Option<Bind<'b>> {
    match batch.effects().next()?.ok()?.op {
        Op::Bind(bind) if bind.exclusive => Some(bind),
        _ => None,
    }
}

/// Locks the shards of these keys.
pub(crate) fn lock_names<'s>(shared: &'s Shared, names: &[DbKey]) -> Guards<'s> {
    let mut ids: Vec<ShardId> = names.iter().map(|(_, key)| ShardId::of(key)).collect();
    ids.sort_unstable();
    ids.dedup();
    Guards::new(ids.into_iter().map(|id| (id, shared.shards[usize::from(id.0)].lock())))
}

/// Brings into memory what the effects change and has not been brought.
fn prepare<'e>(
    shared: &Shared,
    guards: &mut Guards<'_>,
    effects: impl Iterator<Item = &'e Effect<'e>>,
) -> Result<(), ReadError> {
    if !shared.residency.is_on() {
        return Ok(());
    }
    for effect in effects {
        let place = shared.place_of(effect.key);
        if let Some(guard) = guards.get_mut(place.shard) {
            shared.fetch_locked(guard, effect.db, place, effect.key)?;
            shared.prepare_part(guard, effect, place)?;
        }
    }
    Ok(())
}
