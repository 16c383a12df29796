//! Which timestamps are being read, and below which none may be: the watermark of retention and the readers that hold
//! it back.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

/// The first timestamp that may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// All that lies below is collected.
    pub committed: Timestamp,
    /// What a compaction that is under way collects below. Reads below it are refused already.
    pub pending: Option<Timestamp>,
}

impl Watermark {
    /// The first timestamp that may be read now.
    pub fn effective(&self) -> Timestamp {
        self.pending.map_or(self.committed, |pending| pending.max(self.committed))
    }
}

/// The watermark of a store and its pinned readers, changed under one lock.
#[derive(Debug, Default)]
pub(crate) struct Pins(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    watermark: Watermark,
    /// How many pins there are at a timestamp.
    held: BTreeMap<Timestamp, usize>,
}

impl Pins {
    pub(crate) fn watermark(&self) -> Watermark {
        self.0.lock().watermark
    }

    /// Replaces the watermark by one that a caller knows to be durable.
    pub(crate) fn set(&self, watermark: Watermark) {
        self.0.lock().watermark = watermark;
    }

    /// Raises the pending watermark as far as `horizon` and the pinned readers allow. `persist` makes the new one
    /// durable before any reader is refused for it; no pin can be taken meanwhile. Answers the watermark as it then is.
    pub(crate) fn raise(&self, horizon: Timestamp, persist: impl FnOnce(Watermark) -> Result<()>) -> Result<Watermark> {
        let mut inner = self.0.lock();
        let allowed = inner.held.first_key_value().map_or(horizon, |(&oldest, _)| oldest.min(horizon));
        if allowed > inner.watermark.effective() {
            let raised = Watermark { pending: Some(allowed), ..inner.watermark };
            persist(raised)?;
            inner.watermark = raised;
        }
        Ok(inner.watermark)
    }

    /// Holds the watermark at or below `at`.
    pub(crate) fn pin(&self, at: Timestamp) -> Result<Pin> {
        let mut inner = self.0.lock();
        let watermark = inner.watermark.effective();
        if at < watermark {
            return Err(Error::Compacted { at, watermark });
        }
        *inner.held.entry(at).or_default() += 1;
        Ok(Pin { at, pins: Arc::clone(&self.0) })
    }
}

/// While it lives, the watermark does not pass its timestamp: whatever was readable there stays so.
#[derive(Debug)]
#[must_use = "a pin that is dropped holds nothing"]
pub struct Pin {
    at: Timestamp,
    pins: Arc<Mutex<Inner>>,
}

impl Pin {
    /// The timestamp that it holds.
    pub fn at(&self) -> Timestamp {
        self.at
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut inner = self.pins.lock();
        if let Some(count) = inner.held.get_mut(&self.at) {
            *count -= 1;
            if *count == 0 {
                inner.held.remove(&self.at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(pins: &Pins, to: u64) -> Timestamp {
        pins.raise(Timestamp(to), |_| Ok(())).unwrap().effective()
    }

    #[test]
    fn the_oldest_pin_holds_the_watermark_until_all_at_its_timestamp_are_gone() {
        let pins = Pins::default();
        let (young, old, twin) =
            (pins.pin(Timestamp(9)).unwrap(), pins.pin(Timestamp(5)).unwrap(), pins.pin(Timestamp(5)).unwrap());
        assert_eq!(raise(&pins, 20), Timestamp(5));
        drop(old);
        assert_eq!(raise(&pins, 20), Timestamp(5));
        drop(twin);
        assert_eq!(raise(&pins, 20), Timestamp(9));
        assert!(matches!(pins.pin(Timestamp(8)), Err(Error::Compacted { watermark: Timestamp(9), .. })));
        drop(young);
        assert_eq!(raise(&pins, 20), Timestamp(20));
    }

    #[test]
    fn a_watermark_that_could_not_be_made_durable_is_not_raised() {
        let pins = Pins::default();
        assert!(pins.raise(Timestamp(3), |_| Err(Error::Poisoned)).is_err());
        assert_eq!(pins.watermark(), Watermark::default());
    }

    #[test]
    fn it_never_sinks() {
        let pins = Pins::default();
        assert_eq!(raise(&pins, 7), Timestamp(7));
        assert_eq!(raise(&pins, 3), Timestamp(7));
    }
}
