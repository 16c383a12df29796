//! Spikes of latency: what took longer than `latency-monitor-threshold`, by event.

use std::collections::{BTreeMap, VecDeque};

use crate::limits::LATENCY_SAMPLES_MAX;

/// The most that an event took within one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spike {
    /// When, unix seconds.
    pub at_s: i64,
    /// How long, ms.
    pub took_ms: u64,
}

/// An event's spikes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Event {
    /// The oldest first.
    pub spikes: VecDeque<Spike>,
    /// The longest since the event was last reset, ms.
    pub max_ms: u64,
}

/// All events.
#[derive(Debug, Default)]
pub struct LatencyLog {
    events: BTreeMap<&'static str, Event>,
}

impl LatencyLog {
    /// Notes a spike. Of those of one second the longest stays.
    pub fn add(&mut self, event: &'static str, at_s: i64, took_ms: u64) {
        let event = self.events.entry(event).or_default();
        event.max_ms = event.max_ms.max(took_ms);
        if let Some(last) = event.spikes.back_mut().filter(|last| last.at_s == at_s) {
            last.took_ms = last.took_ms.max(took_ms);
            return;
        }
        if event.spikes.len() == LATENCY_SAMPLES_MAX {
            event.spikes.pop_front();
        }
        event.spikes.push_back(Spike { at_s, took_ms });
    }

    /// Events with spikes, by name.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &Event)> {
        self.events.iter().map(|(name, event)| (*name, event))
    }

    /// The event with this name, in any case.
    pub fn find(&self, name: &[u8]) -> Option<&Event> {
        self.events.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, event)| event)
    }

    /// Forgets the events that `forget` chooses; answers how many.
    pub fn reset(&mut self, forget: impl Fn(&str) -> bool) -> usize {
        let before = self.events.len();
        self.events.retain(|name, _| !forget(name));
        before - self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_keeps_its_longest_spike_and_an_event_its_newest_ones() {
        let mut log = LatencyLog::default();
        for second in 0..2 * LATENCY_SAMPLES_MAX as i64 {
            log.add("command", second, 5);
            log.add("command", second, 9);
            log.add("command", second, 7);
        }
        let event = log.find(b"COMMAND").unwrap();
        assert_eq!(event.spikes.len(), LATENCY_SAMPLES_MAX);
        assert!(event.spikes.iter().all(|spike| spike.took_ms == 9));
        assert_eq!(event.spikes[0].at_s, LATENCY_SAMPLES_MAX as i64);
        assert_eq!((log.reset(|name| name == "command"), log.reset(|_| true)), (1, 0));
    }
}
