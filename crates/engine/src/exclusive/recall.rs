//! Transactions that a start meets in the log: they are taken as when they came.

use std::sync::Arc;

use effect::{Batch, Vector};
use wal::Position;

use super::{Pending, bind_of, lock_names};
use crate::engine::Shared;
use crate::error::OpenError;
use crate::feed::Waymark;
use crate::shard::DbKey;
use crate::suffix;

/// One that was read back.
pub(crate) struct Recalled {
    pub(crate) batch: Arc<[u8]>,
    /// Where it stands.
    pub(crate) here: Waymark,
    /// Where its record ends.
    pub(crate) end: Position,
    /// The last note in the log before what it has not observed.
    pub(crate) before: Option<Waymark>,
}

/// What its writer had observed.
pub(crate) fn observed(batch: &Batch<'_>) -> Vector {
    bind_of(batch).map(|bind| bind.context.iter().collect()).unwrap_or_default()
}

/// It waits for its verdict again. All before it has been applied.
pub(crate) fn recall(shared: &Shared, Recalled { batch, here, end, before }: &Recalled) -> Result<(), OpenError> {
    let refused = |source| OpenError::Batch { position: here.position.get(), source };
    let mut pending = Pending::new(&Batch::decode(batch).map_err(refused)?, batch, None).map_err(refused)?;
    let names: Vec<DbKey> = pending.written.iter().map(|(name, _)| name.clone()).collect();
    let mut guards = lock_names(shared, &names);
    pending.from = match names.iter().any(|name| suffix::has_unobserved(&mut guards, shared, name, &pending.context)) {
        true => before.clone(),
        false => Some(here.clone()),
    };
    let hold = shared.kept.hold(&shared.log, pending.from.as_ref().map_or(*end, |from| from.position))?;
    shared.exclusives.put(pending, hold, *end);
    Ok(())
}
