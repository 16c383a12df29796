//! Frees large values on a thread of its own, so that nobody waits for it.
//!
//! *Invariant:* who hands something over does no more than that: the queue has no bound, for what is in it takes the
//! memory that it took before, and freeing is quicker than making.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::limits::{FREE_ASIDE_BYTES, FREE_ASIDE_ELEMENTS, REAPER_STEPS};
use crate::shard::{Db, weight};
use crate::undo::Undo;
use crate::value::{Entry, Remains};

enum Garbage {
    Entry(Entry),
    Remains(Remains),
    Dbs(Vec<Option<Box<Db>>>),
    Undo(Vec<Undo>),
}

/// Takes values that nobody can see any more.
pub(crate) struct Reaper {
    queue: Option<Sender<Garbage>>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (queue, garbage) = channel::<Garbage>();
        let thread = std::thread::Builder::new().name("reaper".into()).spawn(move || {
            let mut pace = Pace::default();
            garbage.into_iter().for_each(|garbage| free(garbage, &mut pace));
        })?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Frees a value: here if it is small, aside if it is large.
    #[inline]
    pub(crate) fn free_entry(&self, entry: Entry) {
        if is_large(&entry) {
            self.send(Garbage::Entry(entry));
        }
    }

    /// Frees what is left of a part of a value.
    pub(crate) fn free_remains(&self, remains: Remains) {
        self.send(Garbage::Remains(remains));
    }

    /// Frees whole databases.
    pub(crate) fn free_dbs(&self, dbs: Vec<Option<Box<Db>>>) {
        self.send(Garbage::Dbs(dbs));
    }

    /// Frees records of changes that stay: here if they are few.
    pub(crate) fn free_undo(&self, undo: Vec<Undo>) {
        if undo.len() >= FREE_ASIDE_ELEMENTS {
            self.send(Garbage::Undo(undo));
        }
    }

    fn send(&self, garbage: Garbage) {
        if let Some(queue) = &self.queue {
            // Without a thread, which only a panic of it can bring about, the garbage comes back and is dropped here.
            let _ = queue.send(garbage);
        }
    }
}

/// Whether freeing the value takes so long that others should not wait for it.
#[inline]
pub(crate) fn is_large(entry: &Entry) -> bool {
    matches!(entry, Entry::Big(..))
        && (weight(entry) >= FREE_ASIDE_ELEMENTS || entry.memory_bytes() >= FREE_ASIDE_BYTES)
}

/// Gives the processor, and with it the allocator's locks, to others every so often.
#[derive(Default)]
struct Pace {
    steps: usize,
}

impl Pace {
    fn step(&mut self) {
        self.steps += 1;
        if self.steps.is_multiple_of(REAPER_STEPS) {
            std::thread::yield_now();
        }
    }
}

fn free(garbage: Garbage, pace: &mut Pace) {
    match garbage {
        Garbage::Entry(entry) => free_whole(entry, pace),
        Garbage::Remains(remains) => free_remains(remains, pace),
        Garbage::Dbs(dbs) => {
            for db in dbs.into_iter().flatten() {
                db.table.into_batches().for_each(|entries| {
                    pace.step();
                    entries.into_iter().for_each(|entry| free_whole(entry, pace));
                });
            }
        }
        Garbage::Undo(undo) => {
            for undo in undo {
                pace.step();
                drop(undo);
            }
        }
    }
}

fn free_whole(entry: Entry, pace: &mut Pace) {
    if let Some(remains) = entry.dismantle() {
        free_remains(remains, pace);
    }
}

fn free_remains(mut remains: Remains, pace: &mut Pace) {
    while remains.free_some() {
        pace.step();
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the reaper has been printed; there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}
