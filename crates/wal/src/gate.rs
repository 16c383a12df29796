//! Who leads: at most one thread syncs or seals at a time, and the others wait for what it publishes.

use parking_lot::{Condvar, Mutex};

/// The right to sync and to seal.
#[derive(Default)]
pub(crate) struct Gate {
    held: Mutex<bool>,
    changed: Condvar,
}

/// The right, held. Whoever drops it wakes all that wait, after the result has been published.
pub(crate) struct Lead<'a> {
    gate: &'a Gate,
}

impl Gate {
    /// Waits for the right.
    pub(crate) fn enter(&self) -> Lead<'_> {
        match self.enter_unless(|| None::<std::convert::Infallible>) {
            Ok(lead) => lead,
            Err(never) => match never {},
        }
    }

    /// Waits until `answer` has something to say, or for the right to make it so. `answer` is asked again each time
    /// that a leader is done.
    pub(crate) fn enter_unless<T>(&self, mut answer: impl FnMut() -> Option<T>) -> Result<Lead<'_>, T> {
        let mut held = self.held.lock();
        loop {
            if let Some(answer) = answer() {
                return Err(answer);
            }
            if !*held {
                *held = true;
                return Ok(Lead { gate: self });
            }
            self.changed.wait(&mut held);
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        *self.gate.held.lock() = false;
        self.gate.changed.notify_all();
    }
}
