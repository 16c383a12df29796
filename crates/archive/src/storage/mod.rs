//! Object storage: whole objects under names, wherever they lie.
//!
//! [`Storage`] is the contract; one suite of tests holds for all that implement it:
//!
//! | where | type | put if absent | listing |
//! |---|---|---|---|
//! | memory, with faults on demand | [`Memory`] | yes | yes |
//! | a directory | [`Directory`] | yes | yes |
//! | S3, Google Cloud Storage, Azure | [`Cloud`] | yes | yes |
//! | a plain HTTP service with an access key | [`Http`] | if the service does it | if the service does it |
//!
//! [`open`] takes a URL and says which it is.
//!
//! Everything here blocks the calling thread, as all of the engine's I/O does; whoever must not wait uses a thread. The
//! libraries below [`Cloud`] and [`Http`] are asynchronous: they run on one hidden thread, and there is no runtime
//! outside of it (do not call them from within one).

mod cloud;
mod directory;
mod error;
mod http;
mod memory;
mod name;
mod object;
mod runner;
mod url;
mod walk;

use std::fmt;
use std::io::Read;
use std::ops::Range;

pub use cloud::Cloud;
pub use directory::Directory;
pub use error::{Class, Error, Result};
pub use http::{AccessKey, Http, HttpOptions, Listing, Pace, RealPace, Retry};
pub use memory::{Call, Fault, Memory, Operation};
pub use name::{BadName, Name};
pub use object::Object;
pub use url::{OpenOptions, open};

use crate::limits::MOST_PAGE;

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub name: Name,
    /// Its bytes.
    pub size: u64,
}

/// What a storage can do beside what all can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether [`put_new`](Storage::put_new) works.
    pub put_new: bool,
    /// Whether [`list`](Storage::list) works.
    pub list: bool,
}

/// Objects under names.
///
/// An object comes into being as a whole, and is replaced as a whole: readers find the old one, the new one or none,
/// never a part. When a call that puts or deletes returns, it is as durable as the place can make it. Two names never
/// differ by a slash and more behind it: where `a` is an object, `a/b` is [`Error::NameClash`], at least where the
/// place cannot hold both.
pub trait Storage: fmt::Debug + Send + Sync {
    /// Puts an object, in place of what was there.
    ///
    /// # Errors
    /// [`Error::TooLarge`] beyond 64 MiB; use [`put_stream`](Self::put_stream).
    fn put(&self, name: &Name, bytes: &[u8]) -> Result<()>;

    /// Puts an object if there is none of that name. Of several who try at once one succeeds.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::Unsure`] if the answer was lost, so that the object may be this one;
    /// [`Error::NotSupported`].
    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<()>;

    /// Puts an object of any size from a reader, in place of what was there; says how many bytes it has. If the reader
    /// fails nothing has changed. Memory is bounded.
    ///
    /// # Errors
    /// [`Error::Source`] if the reader fails.
    fn put_stream(&self, name: &Name, from: &mut dyn Read) -> Result<u64>;

    /// An object from byte `from` on, to be read in pieces. `from` may be its size, but not more.
    ///
    /// Reading fails with an [`Error`] inside of the `io::Error` if the object cannot be had to its end, or is replaced
    /// meanwhile where that is noticed: it never just stops early.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::BadRange`].
    fn get(&self, name: &Name, from: u64) -> Result<Object>;

    /// Exactly these bytes of an object: at least one, at most 64 MiB.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::BadRange`] if it does not have all of them.
    fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Vec<u8>>;

    /// Whether there is an object, and its size.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    fn head(&self, name: &Name) -> Result<Entry>;

    /// The first objects, in ascending order of the bytes of their names, whose names begin with `prefix` and come
    /// after `after`: as many as `most`, at most 10,000. (Pages, so that memory is bounded. Objects that come and go
    /// meanwhile may be in it or not.)
    ///
    /// # Errors
    /// [`Error::NotSupported`].
    fn list(&self, prefix: &str, after: Option<&Name>, most: usize) -> Result<Vec<Entry>>;

    /// Deletes an object. That there is none is no error: it may be the second attempt.
    ///
    /// # Errors
    /// Whatever keeps it from it.
    fn delete(&self, name: &Name) -> Result<()>;

    /// A whole object in memory, if it has at most `most` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it has more; what [`get`](Self::get) and reading say.
    fn get_bytes(&self, name: &Name, most: usize) -> Result<Vec<u8>> {
        let object = self.get(name, 0)?;
        if object.size > most as u64 {
            return Err(Error::TooLarge { name: name.to_string(), limit: most as u64 });
        }
        object.into_bytes()
    }

    /// What else it can do.
    fn abilities(&self) -> Abilities;
}

impl dyn Storage + '_ {
    /// All objects whose names begin with `prefix`, in ascending order, page by page.
    pub fn list_all<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Result<Entry>> + 'a {
        Pages { storage: self, prefix, page: Vec::new().into_iter(), after: None, done: false }
    }
}

struct Pages<'a> {
    storage: &'a (dyn Storage + 'a),
    prefix: &'a str,
    page: std::vec::IntoIter<Entry>,
    after: Option<Name>,
    done: bool,
}

impl Iterator for Pages<'_> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Result<Entry>> {
        if self.page.as_slice().is_empty() && !self.done {
            const PAGE: usize = 1000;
            const { assert!(PAGE <= MOST_PAGE) };
            match self.storage.list(self.prefix, self.after.as_ref(), PAGE) {
                Ok(page) => {
                    self.done = page.len() < PAGE;
                    self.after = page.last().map(|e| e.name.clone());
                    self.page = page.into_iter();
                }
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        self.page.next().map(Ok)
    }
}

/// What every implementation refuses before it does anything.
mod refuse {
    use super::{Error, Name, Range, Result};
    use crate::limits::{MOST_PAGE, MOST_WHOLE_BYTES};

    pub(super) fn whole(name: &Name, bytes: &[u8]) -> Result<()> {
        let limit = MOST_WHOLE_BYTES as u64;
        if bytes.len() as u64 > limit { Err(Error::TooLarge { name: name.to_string(), limit }) } else { Ok(()) }
    }

    pub(super) fn range(name: &Name, range: &Range<u64>) -> Result<()> {
        let bytes = range.end.checked_sub(range.start).filter(|n| *n > 0);
        match bytes {
            None => Err(Error::BadRange { name: name.to_string(), start: range.start, end: range.end, size: None }),
            Some(n) if n > MOST_WHOLE_BYTES as u64 => {
                Err(Error::TooLarge { name: name.to_string(), limit: MOST_WHOLE_BYTES as u64 })
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether the range lies within an object of `size` bytes.
    pub(super) fn beyond(name: &Name, range: &Range<u64>, size: u64) -> Result<()> {
        if range.end <= size {
            return Ok(());
        }
        Err(Error::BadRange { name: name.to_string(), start: range.start, end: range.end, size: Some(size) })
    }

    /// Whether an object of `size` bytes can be read from `from` on.
    pub(super) fn start(name: &Name, from: u64, size: u64) -> Result<()> {
        beyond(name, &(from..from), size)
    }

    pub(super) fn page(most: usize) -> usize {
        most.min(MOST_PAGE)
    }
}
