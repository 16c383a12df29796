//! Of each origin when it wrote last, and what it had applied then if no record says so.

use std::collections::HashMap;

use effect::{Hlc, Origin, Vector};

use crate::engine::Sequencer;

/// See the module. Of this node's own last effect it knows once something else is logged, or somebody asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Heads {
    pub(crate) last: HashMap<Origin, Hlc>,
    /// This node's own, and those under which it wrote before: their records have no context.
    pub(crate) unsaid: HashMap<Origin, Vector>,
}

impl Sequencer {
    /// The record that ends the log is about not to be the last one, or somebody asks for heads. If it is this node's own, nothing of
    /// others came behind it.
    pub(crate) fn note_own_head(&mut self, own: Origin) {
        if let Some((last, hlc)) = self.record_end.map(|end| end.last())
            && last.origin == own
        {
            self.heads.last.insert(own, hlc);
            self.heads.unsaid.insert(own, self.others.clone());
        }
    }
}
