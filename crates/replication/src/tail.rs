//! What the log tells of this node: what it has written, how far that is fsynced, and that nothing older can come.

use std::collections::VecDeque;
use std::time::Instant;

use effect::{Dot, Vector};
use engine::backup::LogPin;
use engine::{Engine, FeedError, Records, Told};
use wal::{Fsync, Position};

use crate::limits::{SYNC_LATE, SYNC_MARKS};

/// Reads the log behind whoever writes it.
pub(crate) struct Tail {
    records: Records,
    /// Has the log kept from somewhere before it.
    pin: LogPin,
    pinned: Position,
    /// What stands before it.
    passed: Vector,
    /// Places that are not fsynced yet, and what stands before them.
    marks: VecDeque<(Position, Vector)>,
    unsynced_since: Option<Instant>,
}

impl Tail {
    pub(crate) fn new(engine: &Engine) -> Result<Self, FeedError> {
        let (passed, records) = (engine.vector(), engine.records()?);
        let pinned = records.position();
        let pin = engine.pin_log(pinned)?;
        Ok(Self { records, pin, pinned, passed, marks: VecDeque::new(), unsynced_since: None })
    }

    /// The next record of this node's own; others' are passed over.
    pub(crate) fn next_own(&mut self, engine: &Engine) -> Result<Option<Told>, FeedError> {
        while let Some(told) = self.records.next_record()? {
            self.passed.add(Dot { seq: told.first.seq + told.count - 1, ..told.first });
            if told.first.origin == engine.origin() {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    /// How far it has come.
    pub(crate) fn position(&self) -> Position {
        self.records.position()
    }

    /// All that has been passed was told. Notes the place, to hear when it is fsynced.
    pub(crate) fn note(&mut self, now: Instant) {
        let position = self.position();
        if self.marks.back().is_some_and(|(last, _)| *last == position) {
            return;
        }
        if self.marks.len() >= SYNC_MARKS {
            let mut n = 0;
            self.marks.retain(|_| {
                n += 1;
                n % 2 == 0
            });
        }
        self.marks.push_back((position, self.passed.clone()));
        self.unsynced_since.get_or_insert(now);
    }

    /// What has become durable since this was asked last.
    pub(crate) fn synced(&mut self, durable: Position, now: Instant) -> Option<Vector> {
        let mut synced = None;
        while let Some((_, vector)) = self.marks.pop_front_if(|(position, _)| *position <= durable) {
            synced = Some(vector);
            self.unsynced_since = Some(now);
        }
        if self.marks.is_empty() {
            self.unsynced_since = None;
        }
        synced
    }

    /// What has been told may be freed.
    pub(crate) fn let_go(&mut self, engine: &Engine) -> Result<(), FeedError> {
        let position = self.position();
        if position > self.pinned {
            (self.pin, self.pinned) = (engine.pin_log(position)?, position);
        }
        Ok(())
    }

    /// Has fsynced what nobody else asks for: what others wrote is stable only once every member has it for good.
    pub(crate) fn see_to_sync(&self, engine: &Engine, now: Instant) {
        let is_due = match engine.log().policy() {
            Fsync::Always => !self.marks.is_empty(),
            Fsync::EverySec => false,
            Fsync::No => self.unsynced_since.is_some_and(|since| now - since >= SYNC_LATE),
        };
        if is_due {
            engine.log().request_commit();
        }
    }
}
