//! What stays of an entry whose value has gone to disk: its husk. And the access clock, with the mark that tells which
//! values were looked up since somebody last went by.
//!
//! ```text
//! husk  := a packed entry whose payload is: keyspace u16 LE ‖ flags u8      (bit 0: the deadline is that of its fields)
//! clock := visited, 1 bit ‖ stamp, 3 bits (see `stamp`) ‖ unix seconds modulo 2^28, or an LFU counter
//! ```

use std::cell::Cell;

use effect::{KeyspaceId, Kind};

use super::entry::Entry;
use super::packed;
use super::stamp::Stamp;

/// The value was looked up.
const VISITED: u32 = 1 << 31;

/// The bits of the time, or of the counter.
const TIME: u32 = (1 << 28) - 1;

const _: () = assert!(VISITED & (TIME | Stamp::MASK) == 0 && TIME & Stamp::MASK == 0, "they share a word");

/// Seconds by which a clock may be set back and be recognised: two years.
const SET_BACK_MOST: u32 = 1 << 26;

/// When a value at rest ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Unix ms; `None`: never.
    pub(crate) at: Option<i64>,
    /// It is the last of its fields that ends then; the key itself may have no deadline, or a later one.
    pub(crate) by_fields: bool,
}

impl Entry {
    /// The husk of a value of `space`.
    pub(crate) fn husk(key: &[u8], kind: Kind, ends: Ends, space: KeyspaceId) -> Self {
        let payload = [&space.0.to_le_bytes()[..], &[u8::from(ends.by_fields)]];
        Self::Rest(Cell::new(0), packed::build(kind, 0, key, ends.at, &payload))
    }

    /// Whether the value is at rest: only key, type and deadline are here.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Rest(..))
    }

    /// The keyspace on whose disk the value is.
    pub(crate) fn rests_in(&self) -> Option<KeyspaceId> {
        let Self::Rest(_, bytes) = self else { return None };
        let payload = packed::payload(bytes);
        Some(KeyspaceId(u16::from_le_bytes([payload[0], payload[1]])))
    }

    /// When the value ends: the key's deadline, or the last of its fields' if all of them have one and that is earlier.
    pub(crate) fn ends(&self) -> Ends {
        let own = self.deadline();
        let fields = self.hash().filter(|hash| hash.min_deadline().is_some());
        let last = fields.and_then(|hash| hash.iter().try_fold(i64::MIN, |last, f| Some(last.max(f.deadline?))));
        match last.filter(|last| own.is_none_or(|own| *last < own)) {
            Some(last) => Ends { at: Some(last), by_fields: true },
            None => Ends { at: own, by_fields: false },
        }
    }

    /// Notes an access at `seconds` (unix).
    #[inline]
    pub(crate) fn touch(&self, seconds: u32) {
        let word = self.word();
        word.set(seconds & TIME | VISITED | word.get() & Stamp::MASK);
    }

    /// Whether the value was looked up since this was last asked.
    pub(crate) fn take_visit(&self) -> bool {
        let word = self.word();
        let visited = word.get() & VISITED != 0;
        word.set(word.get() & !VISITED);
        visited
    }

    /// The access clock without its marks.
    pub fn clock(&self) -> u32 {
        self.word().get() & TIME
    }

    /// Sets the access clock; what it means is for the owner to say.
    pub fn set_clock(&self, clock: u32) {
        let word = self.word();
        word.set(word.get() & !TIME | clock & TIME);
    }

    /// For how many seconds the value has not been used at `seconds` (unix); a clock that was set back reads as 0.
    pub fn idle_seconds(&self, seconds: u32) -> u32 {
        let idle = seconds.wrapping_sub(self.clock()) & TIME;
        if idle > TIME - SET_BACK_MOST { 0 } else { idle }
    }

    /// What a checkpoint knows of the entry.
    #[inline]
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::of(self.word().get())
    }

    /// Sets what a checkpoint knows of the entry.
    #[inline]
    pub(crate) fn set_stamp(&self, stamp: Stamp) {
        let word = self.word();
        word.set(word.get() & !Stamp::MASK | stamp.bits());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Epoch;

    #[test]
    fn a_husk_keeps_key_type_deadline_and_place() {
        for (kind, at, by_fields) in [(Kind::Hash, Some(77), true), (Kind::String, None, false)] {
            let husk = Entry::husk(b"page:1", kind, Ends { at, by_fields }, KeyspaceId(300));
            assert_eq!((husk.key(), husk.kind(), husk.deadline()), (&b"page:1"[..], kind, at));
            assert_eq!((husk.is_at_rest(), husk.rests_in()), (true, Some(KeyspaceId(300))));
            assert!(husk.bytes().is_none() && husk.hash().is_none() && husk.list().is_none());
        }
        assert_eq!(Entry::string(b"k", b"v", None).rests_in(), None);
    }

    #[test]
    fn the_marks_of_an_entry_do_not_disturb_each_other() {
        let entry = Entry::string(b"k", b"v", None);
        let stamp = Stamp::changed(Epoch::default().next(), true);
        entry.set_stamp(stamp);
        entry.touch(u32::MAX);
        assert_eq!((entry.stamp(), entry.clock()), (stamp, TIME));
        entry.set_clock(7);
        assert!(entry.take_visit() && !entry.take_visit());
        assert_eq!((entry.stamp(), entry.clock()), (stamp, 7));
        entry.set_stamp(Stamp::default());
        assert_eq!((entry.stamp(), entry.clock()), (Stamp::default(), 7));
    }

    #[test]
    fn a_visit_is_told_once_and_changes_no_idle_time() {
        let entry = Entry::string(b"k", b"v", None);
        for seconds in [1_700_000_000, i32::MAX as u32, u32::MAX - 5] {
            entry.touch(seconds);
            assert_eq!(entry.idle_seconds(seconds.wrapping_add(3)), 3);
            assert!(entry.take_visit() && !entry.take_visit());
            assert_eq!((entry.idle_seconds(seconds.wrapping_add(3)), entry.idle_seconds(seconds - 2)), (3, 0));
        }
    }
}
