//! Transactions that a start finds in the log.

use std::collections::{BTreeMap, HashMap};

use effect::{Batch, Batches, Op, Vector};
use wal::Position;

use super::{Pending, bind_of};
use crate::engine::{RECORD_BATCHES, Shared};
use crate::error::OpenError;
use crate::feed::Waymark;

/// Remembers a transaction that is read back, which waits for its verdict again; `from` is where to look for what it has not observed.
pub(crate) fn recall(shared: &Shared, batch: &Batch<'_>, from: Waymark) -> Result<(), OpenError> {
    let position = from.position;
    let hold = shared.kept.hold(&shared.log, position)?;
    let refused = |source| OpenError::Batch { position: position.get(), source };
    let pending = Pending::new(batch, &batch.to_bytes(), from).map_err(refused)?;
    shared.exclusives.put(pending, hold);
    Ok(())
}

/// Those that stand before the place where the replay begins, without a verdict there.
pub(crate) fn recall_before(shared: &Shared, end: Position) -> Result<(), OpenError> {
    let mut reader = shared.log.reader(shared.log.first())?;
    let (mut open, mut contexts) = (BTreeMap::new(), HashMap::new());
    while let Some(record) = reader.next()?
        && record.start < end
    {
        if record.kind != RECORD_BATCHES {
            continue;
        }
        let refused = |source| OpenError::Batch { position: record.start.get(), source };
        for batch in Batches::decode(record.payload) {
            let batch = batch.map_err(refused)?;
            if let Some(said) = batch.context_vector() {
                contexts.insert(batch.first.origin, said);
            }
            match batch.effects().next().transpose().map_err(refused)?.map(|effect| effect.op) {
                Some(Op::Bind(bind)) if bind.exclusive => {
                    let vector: Vector = bind.context.iter().collect();
                    let from = Waymark { position: record.start, vector, contexts: contexts.clone() };
                    open.insert(batch.first, (from, batch.to_bytes()));
                }
                Some(Op::Verdict { bind, .. }) => drop(open.remove(&bind)),
                _ => {}
            }
        }
    }
    for (from, bytes) in open.into_values() {
        let position = from.position;
        let refused = |source| OpenError::Batch { position: position.get(), source };
        let batch = Batch::decode(&bytes).map_err(refused)?;
        debug_assert!(bind_of(&batch).is_some());
        recall(shared, &batch, from)?;
    }
    Ok(())
}
