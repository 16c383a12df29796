//! Frees large values on a thread of its own, so that nobody waits for it.

use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use crate::limits::{FREE_ASIDE_BYTES, FREE_ASIDE_ELEMENTS, REAPER_QUEUE};
use crate::shard::{Db, weight};
use crate::value::Entry;

enum Garbage {
    Entry(#[expect(dead_code, reason = "only dropped")] Entry),
    Dbs(#[expect(dead_code, reason = "only dropped")] Vec<Option<Box<Db>>>),
}

/// Takes values that nobody can see any more.
pub(crate) struct Reaper {
    queue: Option<SyncSender<Garbage>>,
    thread: Option<JoinHandle<()>>,
}

impl Reaper {
    pub(crate) fn start() -> std::io::Result<Self> {
        let (queue, garbage) = sync_channel::<Garbage>(REAPER_QUEUE);
        let thread =
            std::thread::Builder::new().name("reaper".into()).spawn(move || garbage.into_iter().for_each(drop))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Frees a value: here if it is small, aside if it is large.
    #[inline]
    pub(crate) fn free_entry(&self, entry: Entry) {
        if matches!(entry, Entry::Big(..))
            && (weight(&entry) >= FREE_ASIDE_ELEMENTS || entry.memory_bytes() >= FREE_ASIDE_BYTES)
        {
            self.send(Garbage::Entry(entry));
        }
    }

    /// Frees whole databases.
    pub(crate) fn free_dbs(&self, dbs: Vec<Option<Box<Db>>>) {
        self.send(Garbage::Dbs(dbs));
    }

    fn send(&self, garbage: Garbage) {
        match self.queue.as_ref().map(|queue| queue.try_send(garbage)) {
            // A full queue means that the reaper is behind: whoever makes garbage then frees it.
            Some(Err(TrySendError::Full(garbage) | TrySendError::Disconnected(garbage))) => drop(garbage),
            Some(Ok(())) | None => {}
        }
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
