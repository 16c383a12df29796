//! Why a command did not run to its end.

use std::borrow::Cow;

use effect::KeyHash;

use crate::shard::ShardId;
use crate::value::Part;

/// What must be loaded before the command can run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Miss {
    /// A key of a physical database that may stand at rest.
    Key {
        /// Physical database.
        db: u8,
        /// The key.
        key: Vec<u8>,
    },
    /// Keys of a physical database that may stand at rest, all of which are needed.
    Keys {
        /// Physical database.
        db: u8,
        /// The keys.
        keys: Vec<Vec<u8>>,
    },
    /// A part of a collection.
    Elements {
        /// Physical database.
        db: u8,
        /// The key.
        key: Vec<u8>,
        /// Which; nothing: whatever there is.
        part: Option<Part>,
    },
    /// Names of keys that stand at rest.
    Names {
        /// Physical database.
        db: u8,
        /// Which shard.
        shard: ShardId,
        /// The ordering hash from which on they are needed.
        order: u64,
        /// How many are enough.
        count: usize,
    },
    /// The names of all keys of a database that stand at rest.
    Database {
        /// Physical database.
        db: u8,
        /// The digests of their values as well.
        values: bool,
    },
}

impl Miss {
    /// The key that was missed, if it is one.
    pub(crate) fn key(&self) -> Option<(u8, &[u8])> {
        match self {
            Self::Key { db, key } | Self::Elements { db, key, .. } => Some((*db, key)),
            Self::Keys { .. } | Self::Names { .. } | Self::Database { .. } => None,
        }
    }
}

/// Why a command stopped. Nothing that it did remains, unless it is run again to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// State that is not resident is needed: load it without locks, then run the command again.
    Miss(Miss),
    /// A key of a shard that is not locked was touched: lock that one too, then run the command again.
    Unlocked(ShardId),
    /// Every shard must be locked: do that, then run the command again.
    NeedsAll,
    /// The key holds another type.
    WrongType,
    /// The command cannot go on before one of its keys has data.
    Block {
        /// Unix ms after which the client gets its empty reply; `None` waits for ever.
        until_ms: Option<i64>,
        /// What the client gets then is a null array, else a null.
        empty_array: bool,
    },
    /// The command is refused; the text is the RESP error without its leading minus.
    Error(Cow<'static, str>),
}

impl Stop {
    /// A refusal with a fixed text.
    pub const fn error(text: &'static str) -> Self {
        Self::Error(Cow::Borrowed(text))
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Self {
        Self::Error(Cow::Owned(text))
    }
}

/// Makes state accesses miss: the test of every command's promise that it can be run again.
///
/// In production nothing is armed and a check is one predictable branch.
#[derive(Debug, Default)]
pub struct Probe {
    /// Accesses that still succeed.
    armed: Option<std::cell::Cell<u64>>,
}

impl Probe {
    /// A probe for one run that lets it miss once, at an access that `random` determines (early ones are likelier), or
    /// in one run of four not at all. So a command ends after about four runs, whatever it reads.
    pub fn missing_once(random: u64) -> Self {
        let spread = 1u64 << (random >> 2 & 15);
        let at = if random & 3 == 0 { u64::MAX } else { (random >> 8) % spread };
        Self { armed: Some(std::cell::Cell::new(at)) }
    }

    /// Whether an access to a part of `key` finds it resident.
    #[inline]
    pub(crate) fn check(&self, db: u8, key: &[u8], elements: bool) -> Result<(), Stop> {
        match &self.armed {
            None => Ok(()),
            Some(left) => Self::draw(left, db, key, elements),
        }
    }

    #[cold]
    fn draw(left: &std::cell::Cell<u64>, db: u8, key: &[u8], elements: bool) -> Result<(), Stop> {
        if let Some(less) = left.get().checked_sub(1) {
            left.set(less);
            return Ok(());
        }
        let key = key.to_vec();
        Err(Stop::Miss(if elements { Miss::Elements { db, key, part: None } } else { Miss::Key { db, key } }))
    }
}

/// The place of a key: its shard and its ordering hash within the shard's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which shard.
    pub shard: ShardId,
    /// `slot & 63` in the top 6 bits, then the upper 58 bits of the key's hash: first the 32 that a cursor names.
    pub order: u64,
}

impl From<Place> for u128 {
    #[inline]
    fn from(place: Place) -> Self {
        Self::from(place.shard.0) << 64 | Self::from(place.order)
    }
}

impl From<u128> for Place {
    #[inline]
    fn from(bits: u128) -> Self {
        Self { shard: ShardId((bits >> 64) as u8), order: bits as u64 }
    }
}

/// A key whose place has been worked out, so that the steps of one command need not hash it again. It is recognised by
/// where it stands in memory, so it must not outlive the command's arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    key: &'a [u8],
    place: Place,
}

impl<'a> Known<'a> {
    pub(crate) fn new(key: &'a [u8], place: Place) -> Self {
        Self { key, place }
    }

    /// The place of `key`, if it is this very key.
    #[inline]
    pub(crate) fn place_of(&self, key: &[u8]) -> Option<Place> {
        (std::ptr::eq(self.key, key)).then_some(self.place)
    }
}

impl From<KeyHash> for Place {
    #[inline]
    fn from(hash: KeyHash) -> Self {
        let slot = u64::from(hash.slot.0);
        Self { shard: ShardId((slot >> 6) as u8), order: slot << 58 | hash.hash >> 6 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_place_is_that_of_one_key_in_memory_and_of_no_other() {
        let place = Place { shard: ShardId(3), order: 5 };
        let (argument, copy) = (b"key:1key:1".to_vec(), b"key:1".to_vec());
        let known = Known::new(&argument[..5], place);
        assert_eq!(known.place_of(&argument[..5]), Some(place));
        assert_eq!(known.place_of(&argument[5..]), None, "another argument, even with the same bytes");
        assert_eq!(known.place_of(&copy), None);
        for other in [&argument[..4], &argument[..6], &argument[..0], &argument[1..5]] {
            assert_eq!(known.place_of(other), None, "a part of it, or more, is another key");
        }
    }

    #[test]
    fn a_place_survives_as_a_number() {
        for place in
            [(0, 0), (255, u64::MAX), (7, 1 << 63)].map(|(shard, order)| Place { shard: ShardId(shard), order })
        {
            assert_eq!(Place::from(u128::from(place)), place);
        }
    }
}
