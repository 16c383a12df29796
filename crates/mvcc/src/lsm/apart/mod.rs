//! Large values, apart from their rows: in files beside the tree, so that compactions do not rewrite them.
//!
//! ```text
//!   a run     rows ─▶ tables of the tree     values ─▶ DIR/values/N     both synced, then in force in one step: the run has
//!                                                                       a row for each of its files
//!   a read    row ─▶ reference ─▶ file, offset, length ─▶ bytes, checked ─▶ opened, if they are sealed
//!   a clean   the keys in a file ─▶ do their rows refer to it still? ─▶ what does moves to a new file, by a run ─▶ file removed
//! ```
//!
//! A file is written once, in the order of rows, and never changed; all integers are big-endian:
//!
//! ```text
//!   "ANAVALS1"
//!   for each value:  0  length of the row's key u32 ‖ length of the value, as it is kept, u32
//!                    8  CRC-32C of these 8 bytes and the key u32 ‖ CRC-32C of the value u32
//!                   16  key ‖ value
//!
//!   a reference, in a row behind its header:  file u64 ‖ offset of the value u64 ‖ length u32 ‖ CRC-32C of the value u32
//! ```
//!
//! *Invariant:* a file that has its row holds all that the rows of the tree refer to; one without is of no use, and the next open
//! removes it. Row and references come into force in one step, and go in one step.
//!
//! *Invariant:* no row comes to refer to a file that is in force already. So what nobody refers to once, nobody will.
//!
//! *Invariant:* whoever reads has the files of its moment: a file that is not in force any more is removed when the last of them is gone.

mod clean;
mod file;
mod reference;
mod values;
mod writer;

pub use clean::Cleaning;
pub(super) use file::ValueFile;
pub(super) use reference::Reference;
pub(super) use values::{FileMap, ValueFiles, load};
pub(super) use writer::ValueWriter;

/// CRC-32C of `parts`, one behind the other.
fn checksum(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    parts.iter().for_each(|part| digest.update(part));
    // A CRC-32 in the low half.
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use crate::lsm::view::View;
    use crate::{LsmStore, Options, Retention, Source, Timestamp};

    #[test]
    fn a_look_up_that_began_before_a_run_finds_what_the_run_has_brought() {
        let dir = tempfile::tempdir().unwrap();
        let store = LsmStore::open(dir.path(), &Options::new(Retention::Newest)).unwrap();
        let write = |at: u64| {
            let mut run = store.begin_run(Timestamp(at), Source::Direct).unwrap();
            run.put(b"k", None, &[&vec![at as u8; 10_000]]).unwrap();
            run.finish().unwrap();
        };
        write(1);
        let view = View::now(&store);
        write(2);
        assert_eq!(store.clean_values(&mut || true).unwrap().removed, 1);
        assert_eq!(*view.get(b"k", Timestamp::LATEST).unwrap().unwrap().value, vec![2; 10_000]);
    }
}
