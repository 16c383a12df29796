//! The file of wrapped data keys.
//!
//! ```text
//!   0          8         12            28        32        36
//!   ┌──────────┬─────────┬─────────────┬─────────┬─────────┬─────────┬──────────┐
//!   │ AnbrKeys │ version │ registry id │ next id │ entries │ entry … │ crc32c   │     integers big-endian
//!   │          │ u32 = 1 │ 16 B random │ u32     │ u32     │ 68 B    │ u32      │     crc of all before
//!   └──────────┴─────────┴─────────────┴─────────┴─────────┴─────────┴──────────┘
//!
//!   entry    data key id u32 ‖ master key id u32 ‖ nonce 12 B random ‖ tag 16 B ‖ wrapped data key 32 B    ids ascend
//!   wrapped  AES-256-GCM under the master key; bound to "anabranch data key" ‖ registry id ‖ data key id ‖ master key id
//! ```
//!
//! It is replaced as a whole: written beside, synced, renamed, and the directory synced.

use std::fmt;

use aws_lc_rs::aead::{Aad, Nonce};

use crate::data_key::DataKey;
use crate::error::{Action, Error, Result};
use crate::format::{DataKeyId, NONCE_BYTES, TAG_BYTES};
use crate::keyring::Keyring;
use crate::limits::{MAX_DATA_KEYS, MAX_REGISTRY_BYTES, RESERVED_DATA_KEYS};
use crate::place::Place;
use crate::secret::{KEY_BYTES, Secret};

/// The name of the registry in its directory.
pub const REGISTRY: &str = "data-keys";
const UNFINISHED: &str = "data-keys.tmp";
const MAGIC: &[u8; 8] = b"AnbrKeys";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 36;
const ENTRY_BYTES: usize = 68;
const BINDING: &[u8] = b"anabranch data key";

const MOST_ENTRIES: usize = MAX_DATA_KEYS + RESERVED_DATA_KEYS;

const _: () = assert!(HEADER_BYTES + MOST_ENTRIES * ENTRY_BYTES + 4 <= MAX_REGISTRY_BYTES, "a full registry must fit");

/// Which registry: random, drawn when it is begun. What is sealed under its keys can name it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RegistryId(pub [u8; 16]);

impl fmt::Debug for RegistryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// A data key as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: DataKeyId,
    pub(crate) master: u32,
    nonce: [u8; NONCE_BYTES],
    tag: [u8; TAG_BYTES],
    wrapped: [u8; KEY_BYTES],
}

/// What the file says.
#[derive(Clone, Debug)]
pub(crate) struct Registry {
    pub(crate) id: RegistryId,
    /// The next data key has this number.
    pub(crate) next: u32,
    pub(crate) entries: Vec<Entry>,
}

impl Registry {
    /// Reads the registry of `place`; begins one if there is none. It is durable from the start, since its id may be noted
    /// elsewhere before a key is drawn.
    pub(crate) fn load(place: &dyn Place) -> Result<Self> {
        let failed = |action| move |error| Error::io(action, place.describe(REGISTRY), error);
        match place.read(REGISTRY).map_err(failed(Action::Read))? {
            Some(bytes) => {
                Self::decode(&bytes).map_err(|reason| Error::Registry { file: place.describe(REGISTRY), reason })
            }
            None => {
                let mut id = RegistryId([0; 16]);
                place.random(&mut id.0).map_err(failed(Action::Draw))?;
                let registry = Self { id, next: 1, entries: Vec::new() };
                registry.store(place).map(|()| registry)
            }
        }
    }

    /// Makes this the registry of `place`, durably. If it fails, the file is the one before or this one.
    pub(crate) fn store(&self, place: &dyn Place) -> Result<()> {
        let failed = |action| move |error| Error::io(action, place.describe(REGISTRY), error);
        place.create(UNFINISHED, &self.encode()).map_err(failed(Action::Write))?;
        place.sync(UNFINISHED).map_err(failed(Action::Sync))?;
        place.rename(UNFINISHED, REGISTRY).map_err(failed(Action::Write))?;
        place.sync_dir().map_err(failed(Action::Sync))
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.entries.len() * ENTRY_BYTES + 4);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.next.to_be_bytes());
        bytes.extend_from_slice(&(self.entries.len() as u32).to_be_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.key.0.to_be_bytes());
            bytes.extend_from_slice(&entry.master.to_be_bytes());
            bytes.extend_from_slice(&entry.nonce);
            bytes.extend_from_slice(&entry.tag);
            bytes.extend_from_slice(&entry.wrapped);
        }
        let crc = crc_fast::crc32_iscsi(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let Some((checked, crc)) = bytes.split_last_chunk::<4>() else { return Err("it is cut short") };
        if !checked.starts_with(MAGIC) {
            return Err("it does not begin as one");
        }
        if crc_fast::crc32_iscsi(checked) != u32::from_be_bytes(*crc) {
            return Err("its check does not match");
        }
        let mut rest = &checked[MAGIC.len()..];
        if take(&mut rest).map(u32::from_be_bytes)? != VERSION {
            return Err("its format is not known to this program");
        }
        let id = RegistryId(take(&mut rest)?);
        let next = take(&mut rest).map(u32::from_be_bytes)?;
        let count = take(&mut rest).map(u32::from_be_bytes)? as usize;
        if count > MOST_ENTRIES || rest.len() != count * ENTRY_BYTES {
            return Err("it does not hold as many keys as it says");
        }
        let mut entries: Vec<Entry> = Vec::with_capacity(count);
        while !rest.is_empty() {
            let entry = Entry {
                key: DataKeyId(take(&mut rest).map(u32::from_be_bytes)?),
                master: take(&mut rest).map(u32::from_be_bytes)?,
                nonce: take(&mut rest)?,
                tag: take(&mut rest)?,
                wrapped: take(&mut rest)?,
            };
            if entry.key.0 >= next || entries.last().is_some_and(|last| last.key >= entry.key) {
                return Err("its keys are out of order");
            }
            entries.push(entry);
        }
        Ok(Self { id, next, entries })
    }

    /// The data key of `entry`.
    pub(crate) fn unwrap(&self, entry: &Entry, keyring: &Keyring) -> Result<DataKey> {
        let master = keyring.key(entry.master)?.aead();
        let nonce = Nonce::assume_unique_for_key(entry.nonce);
        let aad = Aad::from(self.binding(entry.key, entry.master));
        let secret =
            Secret::fill(|out| master.open_separate_gather(nonce, aad, &entry.wrapped, &entry.tag, &mut out[..]));
        let secret = secret.map_err(|_| Error::MasterKeyWrong { id: entry.master, data_key: entry.key })?;
        Ok(DataKey::new(entry.key, secret))
    }

    /// A data key as it is stored under the current master key.
    pub(crate) fn wrap(&self, key: DataKeyId, secret: &Secret, keyring: &Keyring, place: &dyn Place) -> Result<Entry> {
        let master = keyring.current();
        let mut entry = Entry { key, master, nonce: [0; NONCE_BYTES], tag: [0; TAG_BYTES], wrapped: [0; KEY_BYTES] };
        let failed = |error| Error::io(Action::Draw, place.describe(REGISTRY), error);
        place.random(&mut entry.nonce).map_err(failed)?;
        let aad = Aad::from(self.binding(key, master));
        let nonce = Nonce::assume_unique_for_key(entry.nonce);
        let aead = keyring.key(master)?.aead();
        aead.seal_out_of_place_scatter(nonce, aad, secret.bytes(), &mut entry.wrapped, &[], &mut entry.tag)
            .map_err(|_| Error::TooLarge(KEY_BYTES))?;
        Ok(entry)
    }

    fn binding(&self, key: DataKeyId, master: u32) -> Vec<u8> {
        [BINDING, &self.id.0, &key.0.to_be_bytes(), &master.to_be_bytes()].concat()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], &'static str> {
    let (chunk, more) = rest.split_first_chunk().ok_or("it is cut short")?;
    *rest = more;
    Ok(*chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{MemPlace, keyring};
    use proptest::prelude::*;

    fn registry(place: &MemPlace) -> Registry {
        let mut registry = Registry::load(place).unwrap();
        for id in [DataKeyId(2), DataKeyId(5)] {
            let secret = Secret::fill(|out| place.random(out)).unwrap();
            registry.entries.push(registry.wrap(id, &secret, &keyring(&[1]), place).unwrap());
        }
        registry.next = 6;
        registry
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_noticed() {
        let good = registry(&MemPlace::new(1)).encode();
        assert_eq!(Registry::decode(&good).unwrap().encode(), good);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            assert!(Registry::decode(&bad).is_err(), "byte {at}");
            assert!(Registry::decode(&good[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn keys_out_of_order_are_refused_though_the_check_matches() {
        let good = registry(&MemPlace::new(1));
        let mut swapped = good.clone();
        swapped.entries.swap(0, 1);
        let mut beyond = good.clone();
        beyond.next = 5;
        let mut twice = good;
        twice.entries[1].key = DataKeyId(2);
        for bad in [swapped, beyond, twice] {
            assert_eq!(Registry::decode(&bad.encode()).unwrap_err(), "its keys are out of order");
        }
    }

    /// An entry is worth nothing under another number, in another registry, or under another master key.
    #[test]
    fn a_wrapped_key_opens_nowhere_else() {
        let place = MemPlace::new(1);
        let good = registry(&place);
        let keys = keyring(&[1, 2]);
        good.unwrap(&good.entries[0], &keys).unwrap();
        let renumbered = Entry { key: DataKeyId(3), ..good.entries[0].clone() };
        let other_master = Entry { master: 2, ..good.entries[0].clone() };
        for bad in [renumbered, other_master] {
            assert!(matches!(good.unwrap(&bad, &keys), Err(Error::MasterKeyWrong { .. })), "{bad:?}");
        }
        let other = Registry { id: RegistryId([9; 16]), ..good.clone() };
        assert!(matches!(other.unwrap(&good.entries[0], &keys), Err(Error::MasterKeyWrong { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
            let mut bytes = if magic { [&MAGIC[..], &VERSION.to_be_bytes(), &bytes].concat() } else { bytes };
            let crc = crc_fast::crc32_iscsi(&bytes);
            bytes.extend_from_slice(&crc.to_be_bytes());
            if let Ok(read) = Registry::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
