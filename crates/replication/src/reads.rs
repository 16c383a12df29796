//! What peers lack, read from the log, as far as one frame goes; readers stay where they are, for what is asked next.

use std::collections::HashMap;

use causal::{Entry, Found, LinkId, Purpose};
use effect::{Origin, Vector};
use engine::{Engine, FeedError, Records, Told};
use wal::LogError;

/// What is read for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) link: LinkId,
    pub(crate) purpose: Purpose,
    pub(crate) origin: Origin,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) max_bytes: u64,
}

/// Readers of the log, by what they are for.
#[derive(Default)]
pub(crate) struct Reads {
    open: HashMap<(LinkId, bool, Origin), Open>,
}

struct Open {
    records: Records,
    /// The next effect.
    next: u64,
    /// What was read and did not fit.
    told: Option<Told>,
}

impl Reads {
    pub(crate) fn read(&mut self, engine: &Engine, wanted: &Wanted, before: &Vector) -> Result<Found, FeedError> {
        let untold = before.get(wanted.origin);
        if wanted.from <= untold {
            return Ok(Found::Gone(untold + 1));
        }
        let key = (wanted.link, wanted.purpose == Purpose::Stream, wanted.origin);
        let mut open = match self.open.remove(&key) {
            Some(open) if open.next == wanted.from => open,
            _ => match engine.records_of(wanted.origin, wanted.from) {
                Ok(records) => Open { records, next: wanted.from, told: None },
                Err(FeedError::Gone { first, .. }) => return Ok(Found::Gone(first + 1)),
                Err(error) => return Err(error),
            },
        };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        loop {
            let told = match open.told.take() {
                Some(told) => Some(told),
                None => match open.records.next_record() {
                    // It was freed while the peer was slow: the next one begins anew, and finds out how much is left.
                    Err(FeedError::Log(LogError::Removed { .. })) if !entries.is_empty() => break,
                    Err(FeedError::Log(LogError::Removed { .. })) => {
                        return match engine.records_of(wanted.origin, wanted.from) {
                            Err(FeedError::Gone { first, .. }) => Ok(Found::Gone(first + 1)),
                            Err(error) => Err(error),
                            Ok(records) => {
                                self.open.insert(key, Open { records, next: wanted.from, told: None });
                                self.read(engine, wanted, before)
                            }
                        };
                    }
                    other => other?,
                },
            };
            let Some(told) = told else { break };
            let entry = entry(told.clone());
            bytes += entry.size();
            if entry.last().seq > wanted.to || (bytes > wanted.max_bytes && !entries.is_empty()) {
                open.told = Some(told);
                break;
            }
            open.next = entry.last().seq + 1;
            entries.push(entry);
        }
        self.open.insert(key, open);
        Ok(Found::Batches(entries))
    }

    pub(crate) fn forget(&mut self, link: LinkId) {
        self.open.retain(|(of, ..), _| *of != link);
    }
}

/// A record as replication sees it.
pub(crate) fn entry(told: Told) -> Entry {
    let Told { first, count, hlc, last_hlc, grown, bytes } = told;
    Entry { first, count, hlc, ticks: last_hlc.0 - hlc.0, grown, bytes }
}
