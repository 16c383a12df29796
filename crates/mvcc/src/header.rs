//! The header in front of every stored value.
//!
//! ```text
//!   offset  bytes  field
//!   0       1      format version, 1
//!   1       1      flags: bit 0 tombstone; bits 1–2 encryption state; bit 3 a deadline follows; bit 4 a successor follows;
//!                  bit 5 the value stands apart; bits 6–7 zero
//!   2       8      commit timestamp, big-endian
//!   10      8      deadline, big-endian                        (bit 3 only)
//!   …       8      commit timestamp of the version that took this one's place   (bit 4 only; in history rows)
//!   …       …      value; none for a tombstone
//! ```
//!
//! Encryption state 0 is clear. In state 1 the value is sealed: what `envelope` puts in front of a ciphertext stands where
//! the value begins, and it is bound to all bytes of this header and to the row's key. The header stays readable without a key, as
//! compactions need it. A tombstone has no value and is never sealed. States 2 and 3 are reserved and refused.
//!
//! Where the value stands apart, in a file beside the tree, a reference to it follows the header (`lsm/apart`).

use crate::error::{Error, Result};
use crate::timestamp::Timestamp;

const VERSION: u8 = 1;
const TOMBSTONE: u8 = 1;
const ENCRYPTION_SHIFT: u8 = 1;
const ENCRYPTION: u8 = 0b11 << ENCRYPTION_SHIFT;
const DEADLINE: u8 = 1 << 3;
const SUCCESSOR: u8 = 1 << 4;
const APART: u8 = 1 << 5;
const UNUSED: u8 = !(TOMBSTONE | ENCRYPTION | DEADLINE | SUCCESSOR | APART);
const FIXED_BYTES: usize = 10;
const MAX_BYTES: usize = FIXED_BYTES + 16;

/// How a row's value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// It is sealed.
    pub(crate) sealed: bool,
    /// It stands in a file of its own kind, and the row has a reference to it.
    pub(crate) apart: bool,
}

impl State {
    pub(crate) const CLEAR: Self = Self { sealed: false, apart: false };
    #[cfg(test)]
    pub(crate) const SEALED: Self = Self { sealed: true, apart: false };
    /// The two bits of a sealed value, for those who must say that they cannot read it.
    pub(crate) const SEALED_BITS: u8 = 1;
}

/// What a row says about its version besides the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// When it was committed.
    pub(crate) commit: Timestamp,
    /// From when on it is hidden.
    pub(crate) expire_at: Option<Timestamp>,
    /// The version is a deletion.
    pub(crate) tombstone: bool,
    /// When another version took its place; only in history rows.
    pub(crate) successor: Option<Timestamp>,
}

impl Header {
    /// The header of a current value.
    pub(crate) fn value(commit: Timestamp, expire_at: Option<Timestamp>) -> Self {
        Self { commit, expire_at, tombstone: false, successor: None }
    }

    /// The header of a current deletion.
    pub(crate) fn tombstone(commit: Timestamp) -> Self {
        Self { commit, expire_at: None, tombstone: true, successor: None }
    }

    /// This version's header once another one, committed at `successor`, has taken its place.
    pub(crate) fn superseded(self, successor: Timestamp) -> Self {
        Self { successor: Some(successor), ..self }
    }

    /// Whether a reader at `at` finds a value in it, once it is known to be the version of that moment.
    pub(crate) fn is_live(&self, at: Timestamp) -> bool {
        !self.tombstone && !self.is_expired(at)
    }

    /// Whether its deadline has passed at `at`. No deadline has passed at [`Timestamp::LATEST`].
    pub(crate) fn is_expired(&self, at: Timestamp) -> bool {
        at != Timestamp::LATEST && self.expire_at.is_some_and(|deadline| deadline <= at)
    }

    /// Whether no reader at or above `watermark` can tell this row from none. What is garbage is treated as absent by
    /// every operation, so that it makes no difference when it is collected.
    pub(crate) fn is_garbage(&self, watermark: Timestamp) -> bool {
        match self.successor {
            Some(successor) => successor <= watermark,
            None => self.commit <= watermark && !self.is_live(watermark),
        }
    }

    /// The bytes of it in front of a value in this state, and how many of them count.
    pub(crate) fn encode(&self, state: State) -> ([u8; MAX_BYTES], usize) {
        let mut bytes = [0; MAX_BYTES];
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        bytes[0] = VERSION;
        bytes[1] = flag(self.tombstone, TOMBSTONE)
            | flag(state.sealed, State::SEALED_BITS << ENCRYPTION_SHIFT)
            | flag(state.apart, APART)
            | flag(self.expire_at.is_some(), DEADLINE)
            | flag(self.successor.is_some(), SUCCESSOR);
        let mut len = 2;
        for field in [Some(self.commit), self.expire_at, self.successor].into_iter().flatten() {
            bytes[len..len + 8].copy_from_slice(&field.0.to_be_bytes());
            len += 8;
        }
        (bytes, len)
    }

    /// The row: this header, then `value`, in clear.
    pub(crate) fn row(&self, value: &[u8]) -> Vec<u8> {
        debug_assert!(!self.tombstone || (value.is_empty() && self.expire_at.is_none()), "a tombstone is bare");
        let (header, len) = self.encode(State::CLEAR);
        [&header[..len], value].concat()
    }

    /// When the version of `row` was committed, whatever else this program can read of it.
    pub(crate) fn commit_of(row: &[u8]) -> Option<Timestamp> {
        match row.split_first_chunk::<FIXED_BYTES>()?.0 {
            [VERSION, _, commit @ ..] => Some(Timestamp(u64::from_be_bytes(*commit))),
            _ => None,
        }
    }

    /// The header that `row` begins with, and where its value begins, which is in the row and in clear.
    pub(crate) fn decode(row: &[u8]) -> Result<(Self, usize)> {
        match Self::read(row)? {
            (header, State::CLEAR, from) => Ok((header, from)),
            (_, State { sealed: true, .. }, _) => Err(Error::Encryption { state: State::SEALED_BITS }),
            (_, State { apart: true, .. }, _) => Err(Error::corrupt("a row's header", "its value stands elsewhere")),
        }
    }

    /// The header that `row` begins with, how its value stands there, and where it begins.
    pub(crate) fn read(row: &[u8]) -> Result<(Self, State, usize)> {
        let bad = |reason: &str| Error::corrupt("a row's header", reason);
        let (&[version, flags], mut rest) = row.split_first_chunk().ok_or_else(|| bad("it is cut short"))?;
        if version != VERSION {
            return Err(bad(&format!("version {version} is not known to this program")));
        }
        let sealed = match (flags & ENCRYPTION) >> ENCRYPTION_SHIFT {
            0 => false,
            State::SEALED_BITS => true,
            state => return Err(Error::Encryption { state }),
        };
        let state = State { sealed, apart: flags & APART != 0 };
        if flags & UNUSED != 0 {
            return Err(bad("unknown flags are set"));
        }
        let mut field = || {
            let (bytes, more) = rest.split_first_chunk().ok_or_else(|| bad("it is cut short"))?;
            rest = more;
            Ok::<_, Error>(Timestamp(u64::from_be_bytes(*bytes)))
        };
        let commit = field()?;
        let expire_at = if flags & DEADLINE != 0 { Some(field()?) } else { None };
        let successor = if flags & SUCCESSOR != 0 { Some(field()?) } else { None };
        let tombstone = flags & TOMBSTONE != 0;
        if tombstone && (!rest.is_empty() || expire_at.is_some() || state != State::CLEAR) {
            return Err(bad("a tombstone has a value or a deadline"));
        }
        if !commit.can_commit() || successor.is_some_and(|successor| successor <= commit) {
            return Err(bad("its timestamps are impossible"));
        }
        Ok((Self { commit, expire_at, tombstone, successor }, state, row.len() - rest.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden() {
        let plain = Header::value(Timestamp(0x0102), None);
        assert_eq!(plain.row(b"v"), *b"\x01\x00\0\0\0\0\0\0\x01\x02v");
        let full = Header::value(Timestamp(1), Some(Timestamp(2))).superseded(Timestamp(3));
        assert_eq!(full.row(b"v"), *b"\x01\x18\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03v");
        assert_eq!(Header::tombstone(Timestamp(1)).row(b""), *b"\x01\x01\0\0\0\0\0\0\0\x01");
    }

    #[test]
    fn every_encryption_state_but_clear_is_refused() {
        for state in 1..=3u8 {
            let mut row = Header::value(Timestamp(1), None).row(b"secret");
            row[1] |= state << 1;
            let error = Header::decode(&row).unwrap_err();
            assert!(matches!(error, Error::Encryption { state: found } if found == state), "{error}");
            assert_eq!(Header::read(&row).is_ok(), state == 1, "the header of a sealed value can be read");
        }
    }

    #[test]
    fn unknown_flags_versions_and_tombstones_with_a_value_are_corrupt() {
        let row = Header::value(Timestamp(1), None).row(b"v");
        for (at, byte) in [(0, 2), (0, 0), (1, 0x40), (1, 0x80), (1, TOMBSTONE), (1, TOMBSTONE | APART)] {
            let mut bad = row.clone();
            bad[at] = byte;
            assert!(matches!(Header::decode(&bad), Err(Error::Corrupt { .. })), "byte {at} = {byte:#x}");
        }
        assert!(Header::decode(&row[..9]).is_err());
        assert!(Header::decode(&[]).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            commit in 1u64..u64::MAX - 1,
            expire_at in prop::option::of(any::<u64>()),
            gap in prop::option::of(1u64..1000),
            tombstone: bool,
            value in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let header = Header {
                commit: Timestamp(commit),
                expire_at: expire_at.filter(|_| !tombstone).map(Timestamp),
                tombstone,
                successor: gap.and_then(|gap| commit.checked_add(gap)).map(Timestamp),
            };
            let value = if tombstone { Vec::new() } else { value };
            let row = header.row(&value);
            let (read, from) = Header::decode(&row).unwrap();
            prop_assert_eq!(read, header);
            for state in [State::SEALED, State { sealed: false, apart: true }, State { sealed: true, apart: true }] {
                let (bytes, len) = header.encode(state);
                prop_assert_eq!(len, from);
                prop_assert_eq!(Header::read(&bytes[..len]).ok(), (!tombstone).then_some((header, state, len)));
                prop_assert!(Header::decode(&bytes[..len]).is_err(), "what is not in the row is not taken for it");
            }
            prop_assert_eq!(Header::commit_of(&row), Some(header.commit));
            prop_assert_eq!(&row[from..], &value[..]);
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..40), version: bool) {
            if version && !bytes.is_empty() {
                bytes[0] = VERSION;
            }
            if let Ok((header, from)) = Header::decode(&bytes) {
                prop_assert_eq!(header.row(&bytes[from..]), bytes);
            }
        }
    }
}
