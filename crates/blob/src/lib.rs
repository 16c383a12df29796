//! A log-structured store for values of some kilobytes to some hundred megabytes, on a local disk.
//!
//! It is the disk tier of a cache, or a durable store of large values: it finds a value by its exact key, reads
//! all or a part of it, lists keys in order, and stays within a limit of disk and a limit of RAM at every moment.
//!
//! It is not a database: no transactions over several keys, no secondary indexes, no network, no runtime. Values
//! below about a kilobyte work but pay 40 bytes of header each. It is not for network file systems.
//!
//! ```text
//!  put ──> record in RAM ──> log (one writer lock: place, sequence number, index) ──> queue
//!                                      │                                                │ rounds of ≤ 8 MiB,
//!                                      v                                                v two at once
//!  get ──> index (RAM) ──> resident records (RAM) ──miss──> segment file <── records ── segment file ── footer
//!                                                                  │
//!                       cleaner: what lives moves to the head of the log, then the file is unlinked,
//!                                or, where nothing is synced, written again as a new segment's
//! ```
//!
//! Read first: [`Store`], all verbs; [`Options`] with [`Mode`], what is promised; [`Guard`], a value being read.
//!
//! The file that the log is written to *is* the segment: nothing is written twice, unless the cleaner moves it.
//! The format is drawn in [`format`](mod@format), the index in [`index`].
//!
//! *Invariant:* the order of records in the log, of sequence numbers and of changes to the index is one order,
//! because all three happen under one lock. So the later record of a key is the current one, always and after
//! any crash, and no version number needs to be kept in RAM.
//!
//! *Invariant:* no file, record, index page or list of records comes to be before its bytes are taken from a
//! [`Budget`](budget::Budget), and nothing is given back before the last holder lets go; so neither limit is ever
//! passed, not even for a moment. (Not counted: fixed tables, and a scan's window of 256 KiB while opening.)
//!
//! *Invariant:* a record that is needed is never in one place only that is about to go: a segment is unlinked
//! after everything appended before that moment is on disk, and a tombstone is dropped only at the tail of the
//! log, where no older record can exist.
//!
//! *Invariant:* no file that failed a write or a sync is written again, and no error is swallowed: it is returned
//! to the caller whose write it was, and kept as the store's first error until [`Store::resume`] succeeds.
//!
//! *Invariant:* there is no bloom filter, no second copy of the index on disk, no rename that commits data, and no
//! `unsafe` code.
//!
//! # Threads
//!
//! Every method may be called from any thread. Without [`Store::start`] the store has no thread of its own and
//! the callers of `put` write and clean; with it a worker does that ahead of them. A call blocks on disk I/O, so
//! callers in an asynchronous program use their blocking pool.
//!
//! # Example
//!
//! ```
//! use blob::{Mode, Options, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let store = Store::open(dir.path(), Options::new(Mode::Durable, 1 << 30, 64 << 20))?;
//! store.put(b"page/1", &vec![7; 100_000])?;
//!
//! let page = store.get(b"page/1")?.expect("just stored");
//! assert_eq!(page.len(), 100_000);
//! let part = store.get_range(b"page/1", 70_000..70_010)?.expect("just stored");
//! assert_eq!(&part[..], [7; 10]);
//!
//! assert!(store.delete(b"page/1")?);
//! assert!(store.get(b"page/1")?.is_none());
//! store.close()?;
//! # Ok(())
//! # }
//! ```

pub mod budget;
mod buf;
mod check;
pub mod disk;
mod error;
pub mod format;
mod hash;
pub mod index;
pub mod limits;
mod options;
mod resident;
mod segment;
pub mod sim;
mod spare;
mod store;
mod sync;

pub use buf::Guard;
pub use check::{CheckReport, Problem, check, check_on};
pub use error::{BusyReason, Class, Error, Result, classify};
pub use hash::{HashFn, KeyHash};
pub use index::policy::PolicyKind;
pub use options::{Clock, Mode, Options};
pub use store::{Draft, Entry, Health, OpenReport, PutOptions, Range, Removal, ScrubReport, Stats, Store};
