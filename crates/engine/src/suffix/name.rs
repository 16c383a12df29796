//! Names of keys with recent effects. There may be hundreds of thousands for a moment: a short one takes no memory of its own.

use effect::Effect;

/// Bytes of a key that stand in place.
const SHORT: usize = 21;

/// A key of a physical database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    Short { db: u8, len: u8, bytes: [u8; SHORT] },
    Long { db: u8, key: Box<[u8]> },
}

const _: () = assert!(size_of::<Name>() == 24);

impl Name {
    #[inline]
    pub(super) fn new(db: u8, key: &[u8]) -> Self {
        if key.len() > SHORT {
            return Self::Long { db, key: key.into() };
        }
        let mut bytes = [0; SHORT];
        bytes[..key.len()].copy_from_slice(key);
        Self::Short { db, len: key.len() as u8, bytes }
    }

    #[inline]
    pub(super) fn db(&self) -> u8 {
        match self {
            Self::Short { db, .. } | Self::Long { db, .. } => *db,
        }
    }

    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes, .. } => &bytes[..usize::from(*len)],
            Self::Long { key, .. } => key,
        }
    }

    /// Whether it is that of the effect's key.
    #[inline]
    pub(super) fn is_of(&self, effect: &Effect<'_>) -> bool {
        self.is(effect.db, effect.key)
    }

    #[inline]
    pub(super) fn is(&self, db: u8, key: &[u8]) -> bool {
        self.db() == db && self.key() == key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_own_and_no_other_whatever_its_length() {
        let keys: Vec<Vec<u8>> = (0..2 * SHORT).map(|len| vec![0; len]).collect();
        for (at, key) in keys.iter().enumerate() {
            let name = Name::new(3, key);
            assert_eq!((name.db(), name.key()), (3, &key[..]));
            assert!(!name.is(4, key), "another database");
            for (other, bytes) in keys.iter().enumerate() {
                assert_eq!(name.is(3, bytes), at == other);
            }
        }
    }
}
