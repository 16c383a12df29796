//! Sealed rows: which may stand in the store, how they are made, and the one function that opens them.
//!
//! ```text
//!   a new store with a cipher ─▶ all sealed: a value in clear is refused
//!   a store in clear          ─▶ mixed: both are read, what is written is sealed, compactions seal what comes past them
//!   reencrypt()               ─▶ a data key is drawn, every row is sealed with it ─▶ forget_keys(): all sealed; old keys go
//! ```
//!
//! *Invariant:* nothing is sealed before the book row says that the store holds sealed values.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use envelope::{Cipher, DataKeyId, HEAD_BYTES, Purpose, Sealer, key_of};
use fjall::{Keyspace, PersistMode, Slice};

use super::books::{self, Encryption};
use super::dead::MajorCompaction;
use super::view::{View, decode};
use super::write::Batch;
use super::{LsmStore, Options};
use crate::error::{Error, Result};
use crate::header::{Header, State};
use crate::layout::{self, ENCRYPTION_KEY};
use crate::limits::{MAX_SEALS_AHEAD, SWEEP_BYTES, SWEEP_ROWS};
use crate::span::successor;
use crate::value::Value;

/// What a store knows about sealing.
#[derive(Debug, Default)]
pub(super) struct Seal {
    cipher: Option<Arc<Cipher>>,
    /// No value is in clear.
    is_all_sealed: AtomicBool,
    /// Data keys below this one are to go.
    oldest: AtomicU32,
}

impl Seal {
    pub(super) fn new(options: &Options) -> Self {
        Self { cipher: options.cipher.clone(), ..Self::default() }
    }

    /// Settles what an open finds: `stored` is what the books say, `is_new` that they say nothing at all. Answers what they
    /// must say before anything is written.
    pub(super) fn settle(&self, stored: Option<Encryption>, is_new: bool) -> Result<Option<Encryption>> {
        let settled = match (&self.cipher, stored) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Err(Error::KeysNeeded),
            (Some(cipher), Some(stored)) if stored.registry != cipher.registry() => {
                return Err(Error::OtherKeys { stored: stored.registry, given: cipher.registry() });
            }
            (Some(_), Some(stored)) => stored,
            (Some(cipher), None) => Encryption { is_complete: is_new, registry: cipher.registry() },
        };
        self.is_all_sealed.store(settled.is_complete, Ordering::Release);
        Ok(Some(settled))
    }

    /// What the books of a store say in which every value is sealed, if there are keys.
    pub(super) fn complete(&self) -> Option<Encryption> {
        self.cipher.as_ref().map(|cipher| Encryption { is_complete: true, registry: cipher.registry() })
    }

    /// From now on a value in clear is refused.
    pub(super) fn refuse_clear(&self) {
        self.is_all_sealed.store(self.cipher.is_some(), Ordering::Release);
    }

    /// Whether a row with this header may stand in the store.
    pub(super) fn admit(&self, header: &Header, state: State) -> Result<()> {
        match state.sealed {
            true if self.cipher.is_none() => Err(Error::Encryption { state: State::SEALED_BITS }),
            false if !header.tombstone && self.is_all_sealed.load(Ordering::Acquire) => Err(Error::Unsealed),
            _ => Ok(()),
        }
    }

    /// The value of a row with the header `head`, which is what `kept` has from `from` on: the only way to one that is sealed.
    pub(super) fn open(
        &self,
        row_key: &[&[u8]],
        head: &[u8],
        state: State,
        (kept, from): (&Slice, usize),
    ) -> Result<Value> {
        let cipher = match (state.sealed, &self.cipher) {
            (false, _) => return Ok(Value::behind(kept.clone(), from)),
            (true, None) => return Err(Error::Encryption { state: State::SEALED_BITS }),
            (true, Some(cipher)) => cipher,
        };
        let (mut aad, mut value) = (Vec::with_capacity(128), Vec::new());
        bind(&mut aad, head, row_key);
        let opened = cipher.open_into(Purpose::Row, &aad, &kept[from..], &mut value);
        opened.map_err(|source| Error::Sealed { row_key: row_key.concat(), source })?;
        Ok(Value::from(&value[..]))
    }

    /// What compactions seal rows anew with, if there may be one that needs it.
    pub(super) fn sealing_anew(self: &Arc<Self>) -> Option<Sealing> {
        let is_settled = self.is_all_sealed.load(Ordering::Acquire) && self.oldest.load(Ordering::Acquire) == 0;
        Sealing::of(self).filter(|_| !is_settled)
    }

    /// Whether a row is to be sealed anew: it is in clear, or its data key is to go.
    fn is_stale(&self, header: &Header, state: State, value: &[u8]) -> bool {
        let oldest = DataKeyId(self.oldest.load(Ordering::Acquire));
        match state.sealed {
            false => !header.tombstone,
            true => key_of(value).is_ok_and(|key| key < oldest),
        }
    }
}

/// What a sealed value is bound to: all bytes of its header, which say themselves how long it is, and its row's key.
fn bind(aad: &mut Vec<u8>, header: &[u8], row_key: &[&[u8]]) {
    aad.clear();
    aad.extend_from_slice(header);
    row_key.iter().for_each(|part| aad.extend_from_slice(part));
}

/// Makes sealed rows, one after the other.
pub(super) struct Sealing {
    seal: Arc<Seal>,
    cipher: Arc<Cipher>,
    sealer: Option<Sealer>,
    /// How many seals the sealer had: the next has twice as many, so that few are wasted and runs seldom ask.
    ahead: u32,
    aad: Vec<u8>,
    row: Vec<u8>,
}

impl Sealing {
    /// For a store with keys.
    pub(super) fn of(seal: &Arc<Seal>) -> Option<Self> {
        let cipher = Arc::clone(seal.cipher.as_ref()?);
        Some(Self { seal: Arc::clone(seal), cipher, sealer: None, ahead: 0, aad: Vec::new(), row: Vec::new() })
    }

    /// The row of a version: sealed, unless it is a tombstone. Its bytes are there until the next one.
    pub(super) fn row(&mut self, row_key: &[u8], header: &Header, value: &[&[u8]]) -> Result<&[u8]> {
        self.parts(row_key, header, value, false)?;
        Ok(&self.row)
    }

    /// The same as its header and its value, which may be meant to stand `apart`.
    pub(super) fn parts(
        &mut self,
        row_key: &[u8],
        header: &Header,
        value: &[&[u8]],
        apart: bool,
    ) -> Result<(&[u8], &[u8])> {
        let state = State { sealed: !header.tombstone, apart };
        let (bytes, len) = header.encode(state);
        self.row.clear();
        self.row.extend_from_slice(&bytes[..len]);
        if state.sealed {
            self.row.extend_from_slice(&[0; HEAD_BYTES]);
            value.iter().for_each(|part| self.row.extend_from_slice(part));
            bind(&mut self.aad, &bytes[..len], &[row_key]);
            self.prepare()?;
            let sealer = self.sealer.as_mut().expect("it was prepared");
            let (head, body) = self.row[len..].split_first_chunk_mut().expect("room was left for it");
            sealer.seal(&self.aad, head, body)?;
        }
        Ok(self.row.split_at(len))
    }

    /// The row as it is to be from now on, if that is another. Values that stand apart are moved when they are sealed anew, not
    /// their rows.
    pub(super) fn renewed(&mut self, row_key: &[u8], row: &Slice) -> Result<Option<&[u8]>> {
        let (header, state, from) = Header::read(row)?;
        // A value that somebody has put there in clear must not become one of ours.
        self.seal.admit(&header, state)?;
        if state.apart || !self.seal.is_stale(&header, state, &row[from..]) {
            return Ok(None);
        }
        let value = self.seal.open(&[row_key], &row[..from], state, (row, from))?;
        self.row(row_key, &header, &[&value]).map(Some)
    }

    /// Has a seal, of a data key that is not to go.
    fn prepare(&mut self) -> Result<()> {
        let oldest = DataKeyId(self.seal.oldest.load(Ordering::Acquire));
        if !self.sealer.as_ref().is_some_and(|sealer| sealer.left() > 0 && sealer.key() >= oldest) {
            self.ahead = (2 * self.ahead).clamp(1, MAX_SEALS_AHEAD);
            self.sealer = Some(self.cipher.prepare(Purpose::Row, self.ahead)?);
        }
        Ok(())
    }
}

/// Every row of a store has been sealed anew.
#[derive(Debug)]
pub struct Reencryption {
    compaction: MajorCompaction,
    /// What all rows are sealed with, or with one that was drawn later.
    oldest: DataKeyId,
}

impl Reencryption {
    /// Whether nobody reads the rows of before any more, in clear or sealed with old data keys.
    pub fn may_forget(&self) -> bool {
        self.compaction.may_forget()
    }

    /// The oldest data key that a row is sealed with, once nobody reads those of before: for an owner that seals something
    /// else with the same registry, and forgets keys itself.
    pub fn oldest(&self) -> DataKeyId {
        self.oldest
    }
}

impl LsmStore {
    /// Seals every value anew, under a data key that is drawn for it: those that are in clear as well. Rewrites all files of
    /// the tree, and waits for a run under way, like [`compact_all`](Self::compact_all). Old data keys stay until
    /// [`forget_keys`](Self::forget_keys).
    pub fn reencrypt(&self) -> Result<Reencryption> {
        let cipher = self.seal.cipher.as_ref().ok_or(Error::NotSupported("encrypting a store without keys"))?;
        let oldest = {
            // Whoever has the lock has prepared no seal under an older key.
            let _writer = self.writer.lock();
            let oldest = cipher.renew()?;
            self.seal.oldest.store(oldest.0, Ordering::Release);
            oldest
        };
        self.reseal_values()?;
        let mut compaction = self.compact_all()?;
        // A compaction that had begun before the key was drawn may have ended meanwhile, and a filter may have failed.
        while self.reseal_rows()? > 0 {
            compaction = self.compact_all()?;
        }
        Ok(Reencryption { compaction, oldest })
    }

    /// Whether values may be in clear though there are keys, because the store was begun without: until
    /// [`reencrypt`](Self::reencrypt) and [`forget_keys`](Self::forget_keys) have been through.
    pub fn may_hold_clear(&self) -> bool {
        self.seal.cipher.is_some() && !self.seal.is_all_sealed.load(Ordering::Acquire)
    }

    /// Forgets the data keys that nothing is sealed with after `done`, and refuses values in clear from now on. Answers
    /// false, and changes nothing, as long as somebody reads rows of before. The registry must be the store's alone: what else
    /// is sealed with its old keys can never be read again.
    pub fn forget_keys(&self, done: &Reencryption) -> Result<bool> {
        let (Some(cipher), true) = (&self.seal.cipher, done.may_forget()) else { return Ok(false) };
        cipher.forget_below(done.oldest)?;
        let _writer = self.writer.lock();
        let rows = self.shared.read().rows.clone();
        let mut batch = Batch::new(self, &rows, PersistMode::SyncAll);
        if let Some(complete) = self.seal.complete() {
            batch.insert(ENCRYPTION_KEY.to_vec(), books::encryption_row(complete).to_vec());
        }
        batch.commit()?;
        self.seal.refuse_clear();
        Ok(true)
    }

    /// Looks at every row, and seals those anew that still need it. Says how many they were.
    fn reseal_rows(&self) -> Result<usize> {
        let (mut count, mut from) = (0, vec![layout::CURRENT]);
        loop {
            let _writer = self.writer.lock();
            let view = View::now(self);
            let mut batch = Batch::new(self, &view.rows, PersistMode::Buffer);
            let (mut visited, mut bytes, mut next) = (0, 0, None);
            for guard in view.range(&from, &[layout::END]) {
                let (row_key, found) = decode(guard, &self.seal)?;
                visited += 1;
                if batch.renew(&row_key, found.row())? {
                    (count, bytes) = (count + 1, bytes + found.row().len());
                }
                if visited >= SWEEP_ROWS || bytes >= SWEEP_BYTES {
                    next = Some(successor(&row_key));
                    break;
                }
            }
            batch.commit()?;
            match next {
                Some(next) => from = next,
                None => return Ok(count),
            }
        }
    }
}

/// Says in the books of a tree that it holds sealed values, before it holds any.
pub(super) fn note(db: &fjall::Database, rows: &Keyspace, encryption: Encryption) -> Result<()> {
    let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(rows, ENCRYPTION_KEY, books::encryption_row(encryption));
    batch.commit().map_err(|error| Error::tree("noting the encryption", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Retention, Store};
    use crate::timestamp::Timestamp;
    use envelope::testing::{MemPlace, keyring};

    /// Not only from the next open on.
    #[test]
    fn from_forgetting_old_keys_on_a_value_in_clear_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(Retention::Newest);
        drop(LsmStore::open(dir.path(), &options).unwrap());
        let cipher = Cipher::open_place(Box::new(MemPlace::new(1)), keyring(&[1])).unwrap();
        options.cipher = Some(Arc::new(cipher));
        let store = LsmStore::open(dir.path(), &options).unwrap();
        let plant = || {
            let row = Header::value(Timestamp(1), None).row(b"in clear");
            store.shared.read().rows.insert(layout::current(b"k"), row).unwrap();
            store.get(b"k", Timestamp::LATEST)
        };
        assert_eq!(&*plant().unwrap().unwrap().value, b"in clear", "the store was begun without keys");
        assert!(store.may_hold_clear());
        assert!(store.forget_keys(&store.reencrypt().unwrap()).unwrap());
        assert!(!store.may_hold_clear());
        assert_eq!(&*store.get(b"k", Timestamp::LATEST).unwrap().unwrap().value, b"in clear");
        assert!(matches!(plant(), Err(Error::Unsealed)));
    }

    /// Few seals are wasted by a row alone, and many rows ask seldom.
    #[test]
    fn seals_are_asked_for_in_growing_numbers() {
        let cipher = Arc::new(Cipher::open_place(Box::new(MemPlace::new(1)), keyring(&[1])).unwrap());
        let options = Options { cipher: Some(cipher), ..Options::new(Retention::Newest) };
        let mut sealing = Sealing::of(&Arc::new(Seal::new(&options))).unwrap();
        let header = Header::value(Timestamp(1), None);
        for asked in [1u32, 2, 4, 512, 1024, 1024] {
            while sealing.ahead < asked || sealing.sealer.as_ref().is_some_and(|sealer| sealer.left() > 0) {
                sealing.row(b"k", &header, &[b"v"]).unwrap();
            }
            assert!(sealing.ahead == asked);
        }
    }
}
