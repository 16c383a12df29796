//! `get_or_load`: of the callers who miss the same key at once, one loads and the others wait for its value.

use super::{Inner, Store};
use crate::buf::Guard;
use crate::error::Error;
use crate::hash::KeyHash;
use crate::store::PutOptions;
use crate::sync::atomic::Ordering;
use crate::sync::{Arc, Condvar, Mutex, lock};
use std::collections::HashMap;
use std::sync::PoisonError;

#[derive(Clone)]
enum Outcome {
    Value(Guard),
    /// The loader failed or panicked: whoever waits tries for itself.
    Nothing,
}

/// One load under way.
#[derive(Default)]
struct Flight {
    outcome: Mutex<Option<Outcome>>,
    landed: Condvar,
}

impl Flight {
    fn land(&self, outcome: Outcome) {
        lock(&self.outcome).get_or_insert(outcome);
        self.landed.notify_all();
    }

    fn wait(&self) -> Outcome {
        let mut outcome = lock(&self.outcome);
        loop {
            if let Some(outcome) = &*outcome {
                return outcome.clone();
            }
            outcome = self.landed.wait(outcome).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The loads under way, by key.
#[derive(Default)]
pub(super) struct Flights(Mutex<HashMap<(KeyHash, Vec<u8>), Arc<Flight>>>);

/// Takes the flight off the table when the loader is done, also by panic.
struct Pilot<'a> {
    flights: &'a Flights,
    flight: Arc<Flight>,
    key: (KeyHash, Vec<u8>),
}

impl Drop for Pilot<'_> {
    fn drop(&mut self) {
        lock(&self.flights.0).remove(&self.key);
        self.flight.land(Outcome::Nothing);
    }
}

impl Store {
    /// The value of a key, made by `load` and stored if there is none. Concurrent callers for one key share one
    /// load. A value that cannot be stored because a limit is reached is an error, as with `put`.
    ///
    /// # Errors
    /// What `load` returned, or what reading or storing failed with.
    pub fn get_or_load<E: From<Error>>(
        &self,
        key: &[u8],
        options: PutOptions,
        load: impl FnOnce() -> std::result::Result<Vec<u8>, E>,
    ) -> std::result::Result<Guard, E> {
        let inner = &self.inner;
        loop {
            if let Some(guard) = inner.get(key)? {
                return Ok(guard);
            }
            match inner.board(key) {
                Boarded::Pilot(pilot) => {
                    // Another pilot may have landed between our miss and our boarding.
                    if let Some(guard) = inner.get(key)? {
                        pilot.flight.land(Outcome::Value(guard.clone()));
                        return Ok(guard);
                    }
                    let value = load()?;
                    inner.counters.loads.fetch_add(1, Ordering::Relaxed);
                    self.put_with(key, &value, options)?;
                    let guard = inner.get(key)?.ok_or(Error::Busy(crate::error::BusyReason::Disk))?;
                    pilot.flight.land(Outcome::Value(guard.clone()));
                    return Ok(guard);
                }
                Boarded::Passenger(flight) => {
                    inner.counters.shared_loads.fetch_add(1, Ordering::Relaxed);
                    if let Outcome::Value(guard) = flight.wait() {
                        return Ok(guard);
                    }
                }
            }
        }
    }
}

enum Boarded<'a> {
    Pilot(Pilot<'a>),
    Passenger(Arc<Flight>),
}

impl Inner {
    fn board(&self, key: &[u8]) -> Boarded<'_> {
        let key = (self.hash(key), key.to_vec());
        let mut flights = lock(&self.flights.0);
        if let Some(flight) = flights.get(&key) {
            return Boarded::Passenger(Arc::clone(flight));
        }
        let flight = Arc::new(Flight::default());
        flights.insert(key.clone(), Arc::clone(&flight));
        Boarded::Pilot(Pilot { flights: &self.flights, flight, key })
    }
}
