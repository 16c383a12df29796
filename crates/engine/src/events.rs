//! Keyspace events: what happened to a key, for those who subscribed to hear of it.
//!
//! Events are collected in a context while it runs and handed out when it commits, still under the locks of its
//! shards: so the events of one key come in the order of its changes. The keeper hands out those of what it reclaims.
//! Who hears them, and under which names of channels, is said elsewhere.
//!
//! *Invariant:* while nobody wants events, a command pays one relaxed load for them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use effect::{BatchMark, Effect, Kind};
use wal::Position;

use crate::context::{Context, settle};
use crate::engine::Shared;
use crate::guards::Guards;
use crate::state::is_dead_hash;
use crate::undo::Undo;

/// Kinds of events, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventClass(pub u32);

impl EventClass {
    /// DEL, EXPIRE, RENAME and the like: any type of key.
    pub const GENERIC: Self = Self(1 << 2);
    /// Strings.
    pub const STRING: Self = Self(1 << 3);
    /// Lists.
    pub const LIST: Self = Self(1 << 4);
    /// Sets.
    pub const SET: Self = Self(1 << 5);
    /// Hashes.
    pub const HASH: Self = Self(1 << 6);
    /// Sorted sets.
    pub const ZSET: Self = Self(1 << 7);
    /// A key expired.
    pub const EXPIRED: Self = Self(1 << 8);
    /// A key was evicted.
    pub const EVICTED: Self = Self(1 << 9);
    /// A key was made that was not there.
    pub const NEW: Self = Self(1 << 12);
    /// A key was looked for that is not there.
    pub const MISS: Self = Self(1 << 13);
    /// A key's whole value was replaced.
    pub const OVERWRITTEN: Self = Self(1 << 14);
    /// A key's type changed.
    pub const TYPE_CHANGED: Self = Self(1 << 15);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any bit of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Something happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Of which class.
    pub class: EventClass,
    /// What happened: `set`, `lpush`, `expired`, …
    pub name: &'static str,
    /// The logical database.
    pub db: u8,
    /// The key.
    pub key: Box<[u8]>,
}

/// Is told of events, under the lock of the key's shard, with the log position that holds what happened.
pub type EventSink = Box<dyn Fn(&Event, Position) + Send + Sync>;

/// Which events are wanted, and who gets them.
#[derive(Default)]
pub(crate) struct Events {
    wanted: AtomicU32,
    sink: OnceLock<EventSink>,
}

impl Events {
    /// The classes that are wanted.
    #[inline]
    pub(crate) fn wanted(&self) -> EventClass {
        EventClass(self.wanted.load(Ordering::Relaxed))
    }

    pub(crate) fn want(&self, classes: EventClass) {
        self.wanted.store(classes.0, Ordering::Relaxed);
    }

    /// False if there is a sink already.
    pub(crate) fn set_sink(&self, sink: EventSink) -> bool {
        self.sink.set(sink).is_ok()
    }

    pub(crate) fn tell(&self, event: &Event, position: Position) {
        if self.wanted().has(event.class)
            && let Some(sink) = self.sink.get()
        {
            sink(event, position);
        }
    }
}

/// A key that was taken away because its time is over is held as no cache any more, unless it has been made anew.
fn forget_reclaimed(guards: &mut Guards<'_>, shared: &Shared, event: &Event) {
    let (place, db) = (shared.place_of(&event.key), shared.physical(event.db));
    let Some(shard) = guards.get_mut(place.shard) else { return };
    if shard.find(db, place.order, &event.key).is_none() {
        shard.forget_cached(db, place);
    }
}

/// A moment in a context's life: what it changes from here on can be looked at.
#[derive(Debug, Clone, Copy)]
pub struct EventMark {
    batch: BatchMark,
    rewritten: usize,
}

impl Context<'_> {
    /// The classes of events that somebody wanted when the context began.
    #[inline]
    pub fn events_wanted(&self) -> EventClass {
        self.wanted
    }

    /// Whether there is something to tell.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Says that something happened to `key` of logical database `db`; it is told when the context commits.
    pub fn tell(&mut self, class: EventClass, name: &'static str, db: u8, key: &[u8]) {
        if self.events_wanted().has(class) {
            self.events.push(Event { class, name, db, key: key.into() });
        }
    }

    /// The moment now.
    pub fn event_mark(&self) -> EventMark {
        EventMark { batch: self.out.batch.mark(), rewritten: self.out.rewritten.len() }
    }

    /// Hands the effects that were emitted since `mark` on to `visit`.
    pub fn each_effect_since(&self, mark: EventMark, visit: impl FnMut(&Effect<'_>)) {
        self.out.batch.each_since(mark.batch, visit);
    }

    /// Keys, with their logical databases, that were written since `mark` without being changed.
    pub fn rewritten_since(&self, mark: EventMark) -> impl Iterator<Item = (u8, &[u8])> {
        self.out.rewritten[mark.rewritten..].iter().map(|(db, key)| (*db, &**key))
    }

    /// The logical database that has a physical number now.
    pub fn logical_db(&self, physical: u8) -> u8 {
        self.shared.logical(physical)
    }

    /// Applies what was emitted so far to this context's own view.
    pub fn settle(&mut self) {
        settle(&mut self.state, &mut self.out);
    }

    /// What type of value a key of a logical database has, if it exists and its shard is locked. It counts as no access.
    pub fn peek(&self, db: u8, key: &[u8]) -> Option<Kind> {
        let place = self.shared.place_of(key);
        let entry = self.state.guards.get(place.shard)?.find(self.shared.physical(db), place.order, key)?;
        let now_ms = self.state.now_ms;
        let gone = entry.deadline().is_some_and(|at| at <= now_ms) || is_dead_hash(entry, now_ms);
        let gone = gone || entry.is_at_rest() && self.state.is_given_up(self.shared.physical(db), entry);
        (!gone).then(|| entry.kind())
    }

    /// Takes a key away whose time is over, as whoever looks for it would in a server that keeps it until then, and tells
    /// of it. An abort brings it back, hidden as it was. Whether there was such a key.
    pub fn expire_on_access(&mut self, db: u8, key: &[u8]) -> bool {
        let (physical, now_ms) = (self.shared.physical(db), self.state.now_ms);
        let place = self.shared.place_of(key);
        let Some(shard) = self.state.guards.get_mut(place.shard) else { return false };
        let Some(entry) = shard.find(physical, place.order, key) else { return false };
        let expired = entry.deadline().is_some_and(|at| at <= now_ms);
        if !expired && !is_dead_hash(entry, now_ms) {
            return false;
        }
        shard.keep_recent(physical, place, key);
        if let Some(entry) = shard.take(physical, place, key, self.shared) {
            self.state.undo.push(Undo::Entry((physical, key.into()), Some(entry)));
        }
        // An event that nobody wants is kept all the same: the commit counts the key by it.
        let mut tell = |class, name| self.events.push(Event { class, name, db, key: key.into() });
        if expired {
            tell(EventClass::EXPIRED, "expired");
        } else {
            tell(EventClass::HASH, "hexpired");
            tell(EventClass::GENERIC, "del");
        }
        true
    }

    /// Hands out what happened, now that it is sure.
    #[cold]
    pub(crate) fn tell_events(&mut self, position: Position) {
        for event in self.events.drain(..) {
            if matches!(event.name, "expired" | "hexpired") {
                self.shared.expired.fetch_add(1, Ordering::Relaxed);
                if self.shared.keyspaces.is_active() {
                    forget_reclaimed(&mut self.state.guards, self.shared, &event);
                }
            }
            self.shared.events.tell(&event, position);
        }
    }
}
