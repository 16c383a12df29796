//! What others lack of the log: records, with what their writers had applied.
//!
//! ```text
//!   log   own │ own │ of b │ own │ of c │ own        a record of this node's own has as context whatever stands before it;
//!                     └ context      └ context       one of another origin says its own, or has that of the one before
//!         ▲ waymark: position, vector, contexts      so a reader that begins at a waymark knows the context of all behind it
//! ```
//! *Invariant:* a record is fed with the context of its first batch, and all its batches have that one.

mod records;
mod waymarks;

use std::collections::HashMap;
use std::sync::Arc;

use effect::{Batches, Dot, Origin, Vector, WireError};
use thiserror::Error;
use wal::{LogError, Position, Reader};

use crate::engine::{Engine, RECORD_BATCHES, Shared};

pub use records::{Records, Told};
pub(crate) use waymarks::{Waymark, Waymarks};

/// Why a log cannot be fed from.
#[derive(Debug, Error)]
pub enum FeedError {
    /// What is asked for was freed: it is in the rows of a checkpoint.
    #[error("the log no longer has what comes behind {since} effects of the origin {origin}: it goes on at {first}")]
    Gone {
        /// Whose effects.
        origin: u64,
        /// How many are known.
        since: u64,
        /// How many stand before the log.
        first: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A record is not what this version writes.
    #[error("the record at position {position} of the log cannot be read: {source}")]
    Record {
        /// Where it begins.
        position: u64,
        /// What is wrong with it.
        source: WireError,
    },
}

/// A record of the log, for somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fed {
    /// What its writer had applied before it, of other origins.
    pub context: Vector,
    /// The first of its effects.
    pub first: Dot,
    /// The number behind the last of them.
    pub next_seq: u64,
    /// Its batches.
    pub record: Vec<u8>,
}

/// Reads the log from where somebody knows it; at its end it waits for more.
pub struct Feeder {
    /// If only what this node writes is asked for: whoever knows as what it does.
    own_of: Option<Arc<Shared>>,
    reader: Reader,
    /// What stands before the reader.
    vector: Vector,
    /// What the last record of each other origin said that its writer had applied.
    contexts: HashMap<Origin, Vector>,
    known: Vector,
}

impl Engine {
    /// Reads what is not in `known`: of this node's own effects only, or of all.
    pub fn feed(&self, known: Vector, own_only: bool) -> Result<Feeder, FeedError> {
        let shared = &*self.shared;
        let mark = {
            let mut log = shared.log.lock();
            let sequencer = log.state();
            let own = [shared.origin()];
            match own_only {
                true => sequencer.waymarks.before(&known, own.into_iter()),
                false => {
                    let all: Vec<Origin> = sequencer.vector(shared.origin()).iter().map(|dot| dot.origin).collect();
                    sequencer.waymarks.before(&known, all.into_iter())
                }
            }
        };
        let Waymark { position, vector, contexts } =
            mark.map_err(|(dot, first)| FeedError::Gone { origin: dot.origin.0, since: dot.seq, first })?;
        let reader = shared.log.reader(position)?;
        let own_of = own_only.then(|| Arc::clone(&self.shared));
        Ok(Feeder { own_of, reader, vector, contexts, known })
    }

    /// All that is in the log.
    pub fn vector(&self) -> Vector {
        self.shared.log.lock().state().vector(self.shared.origin())
    }
}

impl Feeder {
    /// Reads what is not in `known`, of all origins, behind a note.
    pub(crate) fn behind(shared: &Shared, mark: Waymark, known: Vector) -> Result<Self, FeedError> {
        let Waymark { position, vector, contexts } = mark;
        let reader = shared.log.reader(position)?;
        Ok(Self { own_of: None, reader, vector, contexts, known })
    }

    /// The next record that is not known; none at the end of what is written, where it can be asked again.
    pub fn next_record(&mut self) -> Result<Option<Fed>, FeedError> {
        while let Some(record) = self.reader.next()? {
            if record.kind != RECORD_BATCHES {
                continue;
            }
            let refused = |source| FeedError::Record { position: record.start.get(), source };
            let (mut first, mut next_seq, mut said) = (None, 0, None);
            for batch in Batches::decode(record.payload) {
                let batch = batch.map_err(refused)?;
                if first.is_none() {
                    (first, said) = (Some(batch.first), batch.context_vector());
                }
                next_seq = batch.first.seq + batch.len();
            }
            let Some(first) = first else { continue };
            let before = self.vector.clone();
            self.vector.add(Dot { origin: first.origin, seq: next_seq - 1 });
            let is_of_others = self.own_of.as_ref().is_some_and(|shared| shared.origin() != first.origin);
            if let Some(said) = said {
                self.contexts.insert(first.origin, said);
            }
            if is_of_others || self.known.get(first.origin) >= next_seq - 1 {
                continue;
            }
            let mut context = match self.contexts.get(&first.origin) {
                Some(context) => context.clone(),
                None => before,
            };
            context.remove(first.origin);
            return Ok(Some(Fed { context, first, next_seq, record: record.payload.to_vec() }));
        }
        Ok(None)
    }

    /// Where in the log it is.
    pub fn position(&self) -> Position {
        self.reader.position()
    }
}
