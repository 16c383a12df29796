//! What seals and opens.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use crate::data_key::DataKey;
use crate::error::{Action, Error, Result};
use crate::format::{DataKeyId, HEAD_BYTES, Head, Purpose};
use crate::keyring::Keyring;
use crate::limits::{BYTES_PER_KEY, MAX_DATA_KEYS, RESERVED_DATA_KEYS, SEALS_PER_KEY};
use crate::place::{Directory, Place};
use crate::registry::{Entry, REGISTRY, Registry, RegistryId};
use crate::sealer::Sealer;
use crate::secret::Secret;

/// The data keys of one directory. It has the directory for itself as long as it lives.
pub struct Cipher {
    id: RegistryId,
    keys: RwLock<BTreeMap<DataKeyId, Arc<DataKey>>>,
    state: Mutex<State>,
    place: Box<dyn Place>,
    _lock: Box<dyn Send + Sync>,
}

struct State {
    keyring: Keyring,
    /// As it was last made durable.
    registry: Registry,
    /// The data key that this process has drawn, and the first counter that nobody has.
    current: Option<(Arc<DataKey>, u64)>,
    /// A sync has failed: what is on the disk is not known.
    is_poisoned: bool,
}

impl Cipher {
    /// The data keys in the directory at `path`, which must exist; see [`open_place`](Self::open_place).
    ///
    /// # Errors
    /// As [`open_place`](Self::open_place).
    pub fn open(path: impl AsRef<Path>, keyring: Keyring) -> Result<Self> {
        Self::open_place(Box::new(Directory::at(path)), keyring)
    }

    /// The data keys in `place`. All of them must open; those that are wrapped under another master key than the current
    /// one are wrapped anew, durably, so that the others are not needed afterwards. No key is drawn before it is needed.
    ///
    /// # Errors
    /// `Locked`, `Registry`, `MasterKeyMissing`, `MasterKeyWrong`, `Io`.
    pub fn open_place(place: Box<dyn Place>, keyring: Keyring) -> Result<Self> {
        let lock = place.lock().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => Error::Locked { file: place.describe(REGISTRY) },
            _ => Error::io(Action::Open, place.describe(REGISTRY), error),
        })?;
        let registry = Registry::load(&*place)?;
        let unwrapped = registry.entries.iter().map(|entry| {
            let key = registry.unwrap(entry, &keyring)?;
            Ok((key.id, Arc::new(key)))
        });
        let keys = unwrapped.collect::<Result<BTreeMap<_, _>>>()?;
        let is_old = registry.entries.iter().any(|entry| entry.master != keyring.current());
        let id = registry.id;
        let state = State { keyring, registry, current: None, is_poisoned: false };
        let cipher = Self { id, keys: RwLock::new(keys), state: Mutex::new(state), place, _lock: lock };
        if is_old {
            cipher.rewrap(&mut cipher.state.lock(), None)?;
        }
        Ok(cipher)
    }

    /// Which registry its keys are in.
    #[must_use]
    pub fn registry(&self) -> RegistryId {
        self.id
    }

    /// Has the next `count` seals for the caller alone. Draws a data key and makes it durable first, if this process has
    /// none yet, or it has sealed as much as one may.
    ///
    /// # Errors
    /// `Io`, `Poisoned`, `TooManyDataKeys`.
    pub fn prepare(&self, purpose: Purpose, count: u32) -> Result<Sealer> {
        let mut state = self.state.lock();
        let has_room = |(key, next): &(Arc<DataKey>, u64)| {
            next + u64::from(count) <= SEALS_PER_KEY && key.sealed_bytes() < BYTES_PER_KEY
        };
        if !state.current.as_ref().is_some_and(has_room) {
            self.draw(&mut state, MAX_DATA_KEYS)?;
        }
        let (key, next) = state.current.as_mut().expect("one was drawn");
        let first = *next as u32;
        *next += u64::from(count);
        Ok(Sealer::new(Arc::clone(key), purpose, first, count))
    }

    /// Opens `sealed`, which was sealed for `purpose` and bound to `aad`, into `out`, whose content is replaced. What `out`
    /// has after an error is nothing.
    ///
    /// # Errors
    /// `Short`, `DataKeyUnknown`, `Integrity`.
    pub fn open_into(&self, purpose: Purpose, aad: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let (head, ciphertext) = sealed.split_first_chunk::<HEAD_BYTES>().ok_or(Error::Short)?;
        let head = Head::decode(head);
        let key = self.keys.read().get(&head.key).cloned().ok_or(Error::DataKeyUnknown(head.key))?;
        out.resize(ciphertext.len(), 0);
        key.open(purpose, &head, aad, ciphertext, out).inspect_err(|_| out.clear())
    }

    /// Draws a data key for everything that is sealed from now on, and says its number. Seals that were prepared before
    /// are still under the one before.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn renew(&self) -> Result<DataKeyId> {
        self.draw(&mut self.state.lock(), MAX_DATA_KEYS + RESERVED_DATA_KEYS)
    }

    /// Forgets the data keys below `wanted`: the caller knows that nothing names them any more. Says how many they were.
    ///
    /// # Errors
    /// `InUse`, `Io`, `Poisoned`.
    pub fn forget_below(&self, wanted: DataKeyId) -> Result<usize> {
        let mut state = self.state.lock();
        if let Some((current, _)) = state.current.as_ref().filter(|(key, _)| key.id < wanted) {
            return Err(Error::InUse { wanted, current: current.id });
        }
        let mut registry = state.registry.clone();
        registry.entries.retain(|entry| entry.key >= wanted);
        let forgotten = state.registry.entries.len() - registry.entries.len();
        if forgotten > 0 {
            self.store(&mut state, registry)?;
            self.keys.write().retain(|&id, _| id >= wanted);
        }
        Ok(forgotten)
    }

    /// Takes other master keys: all data keys are wrapped under the current one of them, durably. What was sealed stays as
    /// it is.
    ///
    /// # Errors
    /// `Io`, `Poisoned`; then the master keys are those of before.
    pub fn rotate(&self, keyring: Keyring) -> Result<()> {
        self.rewrap(&mut self.state.lock(), Some(keyring))
    }

    /// Has the current data key seal no more, for tests of what happens when the next cannot be drawn.
    #[cfg(any(test, feature = "testing"))]
    pub fn use_up(&self) {
        if let Some((_, next)) = &mut self.state.lock().current {
            *next = SEALS_PER_KEY;
        }
    }

    /// The data keys that there are, ascending, and the number of the master key that each is wrapped under.
    #[must_use]
    pub fn data_keys(&self) -> Vec<(DataKeyId, u32)> {
        self.state.lock().registry.entries.iter().map(|entry| (entry.key, entry.master)).collect()
    }

    fn draw(&self, state: &mut State, limit: usize) -> Result<DataKeyId> {
        let mut registry = state.registry.clone();
        if registry.entries.len() >= limit || registry.next == u32::MAX {
            return Err(Error::TooManyDataKeys);
        }
        let id = DataKeyId(registry.next);
        let failed = |error| Error::io(Action::Draw, self.place.describe(REGISTRY), error);
        let secret = Secret::fill(|out| self.place.random(out)).map_err(failed)?;
        registry.entries.push(registry.wrap(id, &secret, &state.keyring, &*self.place)?);
        registry.next += 1;
        self.store(state, registry)?;
        let key = Arc::new(DataKey::new(id, secret));
        self.keys.write().insert(id, Arc::clone(&key));
        state.current = Some((key, 0));
        Ok(id)
    }

    fn rewrap(&self, state: &mut State, keyring: Option<Keyring>) -> Result<()> {
        let mut registry = state.registry.clone();
        let new = keyring.as_ref().unwrap_or(&state.keyring);
        let keys = self.keys.read().clone();
        let wrapped = keys.values().map(|key| registry.wrap(key.id, &key.secret, new, &*self.place));
        registry.entries = wrapped.collect::<Result<Vec<Entry>>>()?;
        if !registry.entries.is_empty() {
            self.store(state, registry)?;
        }
        if let Some(keyring) = keyring {
            state.keyring = keyring;
        }
        Ok(())
    }

    /// Makes `registry` durable, then the one in force.
    fn store(&self, state: &mut State, registry: Registry) -> Result<()> {
        if state.is_poisoned {
            return Err(Error::Poisoned);
        }
        registry.store(&*self.place).inspect_err(|error| {
            state.is_poisoned = matches!(error, Error::Io { action: Action::Sync, .. });
        })?;
        state.registry = registry;
        Ok(())
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").field("registry", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MemPlace, keyring};

    #[test]
    fn a_data_key_that_has_sealed_enough_is_followed_by_another() {
        let cipher = Cipher::open_place(Box::new(MemPlace::new(1)), keyring(&[1])).unwrap();
        assert_eq!(cipher.prepare(Purpose::Row, 10).unwrap().key(), DataKeyId(1));
        cipher.state.lock().current.as_mut().unwrap().1 = SEALS_PER_KEY - 5;
        let mut last = cipher.prepare(Purpose::Row, 5).unwrap();
        assert_eq!(last.key(), DataKeyId(1));
        let mut head = [0; HEAD_BYTES];
        (0..5).for_each(|_| last.seal(b"", &mut head, &mut [0]).unwrap());
        assert_eq!(Head::decode(&head).counter, u32::MAX, "the last counter is used");
        assert_eq!(cipher.prepare(Purpose::Row, 1).unwrap().key(), DataKeyId(2));
        cipher.state.lock().current.as_mut().unwrap().1 = SEALS_PER_KEY - 5;
        assert_eq!(cipher.prepare(Purpose::Row, 6).unwrap().key(), DataKeyId(3), "all of what is asked for has room");
    }
    /// Otherwise there would be no way out.
    #[test]
    fn a_full_registry_takes_a_key_to_seal_everything_anew_with() {
        let cipher = Cipher::open_place(Box::new(MemPlace::new(1)), keyring(&[1])).unwrap();
        cipher.renew().unwrap();
        let mut state = cipher.state.lock();
        let entry = state.registry.entries[0].clone();
        state.registry.entries = vec![entry; MAX_DATA_KEYS];
        (state.registry.next, state.current) = (MAX_DATA_KEYS as u32 + 1, None);
        drop(state);
        assert!(matches!(cipher.prepare(Purpose::Row, 1), Err(Error::TooManyDataKeys)));
        let new = cipher.renew().unwrap();
        assert_eq!(cipher.prepare(Purpose::Row, 1).unwrap().key(), new);
        assert_eq!(cipher.forget_below(new).unwrap(), MAX_DATA_KEYS);
        for _ in 0..RESERVED_DATA_KEYS {
            cipher.renew().unwrap();
        }
    }
}
