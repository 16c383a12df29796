//! The image of a store as a stream of bytes, the same for every implementation.
//!
//! ```text
//!   "ANAMVCC1"   then frames; all integers big-endian
//!
//!   frame        length of the payload u32 ‖ CRC-32C of what follows u32 ‖ number of the frame u32 ‖ kind u8 ‖ payload
//!   kind 1       head, first: retention u8 (0 newest, 1 versions) ‖ last commit u64 ‖ watermark u64 ‖ applied index u64
//!   kind 2       a prefix deletion under way: commit u64 ‖ its row (see layout)
//!   kind 3       rows: (key length u32 ‖ row key ‖ value length u32 ‖ header and value) …
//!   kind 4       end, last: number of rows u64
//! ```
//!
//! Row keys and headers are those of the tree, ascending over the whole stream. Frames are numbered, so none can be
//! lost, doubled or moved unseen; lengths are bounded before anything is allocated for them.

mod reader;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

use crate::deletes::Pending;
use crate::store::Retention;
use crate::timestamp::Timestamp;

const MAGIC: &[u8; 8] = b"ANAMVCC1";
/// Length, check, number and kind.
const FRAME_HEADER_BYTES: usize = 13;
const HEAD: u8 = 1;
const DELETE: u8 = 2;
const ROWS: u8 = 3;
const END: u8 = 4;

/// What an image says about the store besides its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) retention: Retention,
    pub(crate) last_commit: Timestamp,
    pub(crate) watermark: Timestamp,
    pub(crate) applied_index: u64,
    pub(crate) deletes: Vec<Pending>,
}

impl Retention {
    pub(crate) fn byte(self) -> u8 {
        match self {
            Self::Newest => 0,
            Self::Versions => 1,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Newest),
            1 => Some(Self::Versions),
            _ => None,
        }
    }
}

fn check(number: u32, kind: u8, payload: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&number.to_be_bytes());
    digest.update(&[kind]);
    digest.update(payload);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Result};
    use crate::header::Header;
    use crate::layout;
    use crate::store::PrefixDelete;
    use proptest::prelude::*;

    type Rows = Vec<(Vec<u8>, Vec<u8>)>;

    fn head() -> Head {
        let delete = PrefixDelete { prefix: b"p", spare: None, commit: Timestamp(4) };
        Head {
            retention: Retention::Versions,
            last_commit: Timestamp(9),
            watermark: Timestamp(2),
            applied_index: 3,
            deletes: vec![Pending::new(&delete)],
        }
    }

    fn rows() -> Rows {
        let old = Header::value(Timestamp(1), None).superseded(Timestamp(5));
        vec![
            (layout::current(b"a"), Header::value(Timestamp(5), Some(Timestamp(99))).row(b"new")),
            (layout::current(b"b"), Header::tombstone(Timestamp(6)).row(b"")),
            (layout::history(b"a", Timestamp(1)), old.row(b"old")),
        ]
    }

    fn image(rows: &Rows) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = Writer::begin(&mut out, &head()).unwrap();
        for (key, value) in rows {
            writer.row(key, value).unwrap();
        }
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes, out.len() as u64);
        out
    }

    fn read(bytes: &[u8]) -> Result<(Head, Rows)> {
        let mut from = bytes;
        let mut reader = Reader::open(&mut from)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.row()? {
            rows.push(row);
        }
        Ok((reader.head().clone(), rows))
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(read(&image(&rows())).unwrap(), (head(), rows()));
        assert_eq!(read(&image(&Vec::new())).unwrap(), (head(), Vec::new()));
    }

    #[test]
    fn golden() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/snapshot.bin");
        if std::env::var_os("MVCC_WRITE_GOLDEN").is_some() {
            std::fs::write(path, image(&rows())).unwrap();
        }
        let golden = std::fs::read(path).unwrap();
        assert_eq!(image(&rows()), golden, "the format has changed; it must not without another magic");
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let good = image(&rows());
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(read(&bad).is_err(), "bit {bit} of byte {at}");
            }
            assert!(read(&good[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn a_frame_that_is_lost_or_doubled_is_noticed() {
        let key = |n: u32| layout::current(&n.to_be_bytes());
        let value = Header::value(Timestamp(1), None).row(&[7; 1000]);
        let good = image(&(0..2000).map(|n| (key(n), value.clone())).collect());
        let mut frames = Vec::new();
        let mut at = MAGIC.len();
        while at < good.len() {
            let len = u32::from_be_bytes(good[at..at + 4].try_into().unwrap()) as usize + FRAME_HEADER_BYTES;
            frames.push(&good[at..at + len]);
            at += len;
        }
        assert!(frames.len() > 5);
        let join = |frames: &[&[u8]]| [MAGIC, frames.concat().as_slice()].concat();
        assert!(read(&join(&frames)).is_ok());
        for n in 0..frames.len() {
            let mut lost = frames.clone();
            let frame = lost.remove(n);
            assert!(read(&join(&lost)).is_err(), "frame {n} lost");
            if n + 1 < frames.len() {
                lost.insert(n, frame);
                lost.insert(n, frame);
                assert!(read(&join(&lost)).is_err(), "frame {n} doubled");
            }
        }
    }

    #[test]
    fn rows_that_no_store_writes_are_refused_though_their_checks_match() {
        let bad: [Rows; 6] = [
            vec![(layout::current(b"b"), rows()[0].1.clone()), (layout::current(b"a"), rows()[0].1.clone())],
            vec![(layout::current(b""), rows()[0].1.clone())],
            vec![(layout::current(b"a"), rows()[2].1.clone())],
            vec![(layout::history(b"a", Timestamp(1)), rows()[0].1.clone())],
            vec![(layout::history(b"a", Timestamp(7)), rows()[2].1.clone())],
            vec![(vec![9], rows()[0].1.clone())],
        ];
        for rows in bad {
            assert!(matches!(read(&image(&rows)), Err(Error::Corrupt { .. })), "{rows:?}");
        }
    }

    #[test]
    fn a_lying_length_allocates_nothing() {
        let mut bad = image(&Vec::new());
        bad[MAGIC.len()..MAGIC.len() + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(matches!(read(&bad), Err(Error::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), magic: bool) {
            let bytes = if magic { [MAGIC, &bytes[..]].concat() } else { bytes };
            prop_assert!(read(&bytes).is_err());
        }
    }
}
