//! What a start has found, for whoever talks to the other replicas.

use std::collections::BTreeMap;

use effect::{Hlc, Origin, Vector};

use crate::engine::Engine;
use crate::error::Refusal;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Under which this node writes from now on.
    pub origin: Origin,
    /// All that log and rows have. It is durable.
    pub vector: Vector,
    /// Of each origin the timestamp of its last effect; where that is not known, a later one.
    pub heads: BTreeMap<Origin, Hlc>,
    /// Of each origin what it had applied, of others, when it wrote that.
    pub contexts: BTreeMap<Origin, Vector>,
    /// What is known to be stable.
    pub stable: Vector,
    /// Everything up to this timestamp is.
    pub cut_hlc: Option<Hlc>,
}

impl Engine {
    /// What the log and the rows say. Makes it durable.
    pub fn opening(&self) -> Result<Opening, Refusal> {
        let shared = &*self.shared;
        shared.log.sync()?;
        let stable = shared.replication.stable();
        let mut log = shared.log.lock();
        let sequencer = log.state();
        sequencer.note_own_head(shared.origin());
        let vector = sequencer.vector(shared.origin());
        let late = sequencer.clock.last();
        let head = |origin: Origin| sequencer.heads.last.get(&origin).copied().unwrap_or(late);
        let heads = vector.iter().map(|dot| (dot.origin, head(dot.origin))).collect();
        let said = sequencer.waymarks.contexts().iter().chain(&sequencer.heads.unsaid);
        let contexts = said.map(|(origin, context)| (*origin, without(context, *origin))).collect();
        Ok(Opening { origin: shared.origin(), vector, heads, contexts, stable: stable.vector, cut_hlc: stable.hlc })
    }
}

fn without(context: &Vector, origin: Origin) -> Vector {
    let mut context = context.clone();
    context.remove(origin);
    context
}
