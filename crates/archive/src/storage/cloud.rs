//! Objects in whatever the library `object_store` speaks to: S3, Google Cloud Storage, Azure.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use futures_util::stream::{BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::runner::Runner;
use super::{Abilities, Entry, Error, Name, Object, Result, Storage, refuse};
use crate::limits::{MOST_ERROR_BYTES, MOST_UPLOAD_PARTS, UPLOAD_PART_BYTES};

/// Objects in a store of the library `object_store`, below a prefix. Retries, with back-off, are the library's; how
/// many and how long is among the settings of [`open`](super::open).
pub struct Cloud {
    store: Arc<dyn ObjectStore>,
    /// The same without retries: the library also retries a conditional put whose answer was an error of the server,
    /// and would then take its own object for another's.
    once: Arc<dyn ObjectStore>,
    prefix: String,
    runner: Runner,
}

impl Cloud {
    /// A store below `prefix`, which is empty or ends with a slash. `once` must be the same store, and retry nothing.
    ///
    /// # Errors
    /// There is no thread for it.
    pub fn over(store: Arc<dyn ObjectStore>, once: Arc<dyn ObjectStore>, prefix: impl Into<String>) -> Result<Self> {
        let mut prefix = prefix.into();
        if !prefix.is_empty() && !prefix.ends_with('/') {
            prefix.push('/');
        }
        Ok(Self { store, once, prefix, runner: Runner::new()? })
    }

    fn path(&self, name: &str) -> Result<Path> {
        Path::parse(format!("{}{name}", self.prefix)).map_err(|e| Error::protocol(name, e.to_string()))
    }

    fn run<T>(&self, name: &str, work: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        self.runner.run(work).map_err(|e| meaning(name, e))
    }

    /// Uploads in parts; the object is there when all are.
    fn put_parts(&self, name: &Name, first: Vec<u8>, from: &mut dyn Read) -> Result<u64> {
        let path = self.path(name.as_str())?;
        let mut upload = self.run(name.as_str(), self.store.put_multipart(&path))?;
        let mut size = 0;
        let mut part = first;
        let mut parts = 0;
        let sent = loop {
            size += part.len() as u64;
            parts += 1;
            if parts > MOST_UPLOAD_PARTS {
                let limit = (MOST_UPLOAD_PARTS * UPLOAD_PART_BYTES) as u64;
                break Err(Error::TooLarge { name: name.to_string(), limit });
            }
            let last = part.len() < UPLOAD_PART_BYTES;
            if let Err(error) = self.run(name.as_str(), upload.put_part(PutPayload::from(part))) {
                break Err(error);
            }
            if last {
                break self.run(name.as_str(), upload.complete()).map(drop);
            }
            part = match read_part(from) {
                Ok(part) => part,
                Err(error) => break Err(error),
            };
            if part.is_empty() {
                break self.run(name.as_str(), upload.complete()).map(drop);
            }
        };
        if sent.is_err() {
            // What was sent costs money until it is given up; if this fails too, the store's own rules have to do it.
            let _ = self.runner.run(upload.abort());
        }
        sent.map(|()| size)
    }
}

impl Storage for Cloud {
    fn put(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        let path = self.path(name.as_str())?;
        let payload = PutPayload::from(Bytes::copy_from_slice(bytes));
        self.run(name.as_str(), self.store.put(&path, payload)).map(drop)
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        let path = self.path(name.as_str())?;
        let payload = PutPayload::from(Bytes::copy_from_slice(bytes));
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let put = self.run(name.as_str(), self.once.put_opts(&path, payload, options)).map(drop);
        put.map_err(|error| match error {
            Error::Unavailable { name, why, .. } => Error::Unsure { name, why },
            other => other,
        })
    }

    fn put_stream(&self, name: &Name, from: &mut dyn Read) -> Result<u64> {
        let first = read_part(from)?;
        if first.len() == UPLOAD_PART_BYTES {
            return self.put_parts(name, first, from);
        }
        let size = first.len() as u64;
        let path = self.path(name.as_str())?;
        self.run(name.as_str(), self.store.put(&path, PutPayload::from(first)))?;
        Ok(size)
    }

    fn get(&self, name: &Name, from: u64) -> Result<Object> {
        let path = self.path(name.as_str())?;
        let mut options = GetOptions::default();
        if from > 0 {
            // A range that begins at the end is an error for them, but not for us; so the size must be known first.
            let meta = self.run(name.as_str(), self.store.head(&path))?;
            refuse::start(name, from, meta.size)?;
            if from == meta.size {
                return Ok(Object::new(name, meta.size, from, Box::new(io::empty())));
            }
            options.range = Some(GetRange::Offset(from));
            options.if_match = meta.e_tag;
        }
        let result = self.run(name.as_str(), self.store.get_opts(&path, options))?;
        let size = result.meta.size;
        let (stream, chunk) = (result.into_stream(), Bytes::new());
        let body = Body { stream, chunk, name: name.to_string(), runner: self.runner.clone() };
        Ok(Object::new(name, size, from, Box::new(body)))
    }

    fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Vec<u8>> {
        refuse::range(name, &range)?;
        let path = self.path(name.as_str())?;
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let bytes = self.runner.run(async {
            let result = self.store.get_opts(&path, options).await?;
            let size = result.meta.size;
            result.bytes().await.map(|bytes| (size, bytes))
        });
        let (size, bytes) = match bytes {
            Ok(done) => done,
            Err(error) => {
                // Where a range begins behind the end they have no error of its own; whether it does is worth a look.
                let error = meaning(name.as_str(), error);
                if !matches!(error, Error::NotFound { .. }) {
                    refuse::beyond(name, &range, self.head(name)?.size)?;
                }
                return Err(error);
            }
        };
        refuse::beyond(name, &range, size)?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(Error::protocol(name.as_str(), "another range than was asked for"));
        }
        Ok(bytes.to_vec())
    }

    fn head(&self, name: &Name) -> Result<Entry> {
        let path = self.path(name.as_str())?;
        let meta = self.run(name.as_str(), self.store.head(&path))?;
        Ok(Entry { name: name.clone(), size: meta.size })
    }

    fn list(&self, prefix: &str, after: Option<&Name>, most: usize) -> Result<Vec<Entry>> {
        let most = refuse::page(most);
        let whole = format!("{}{prefix}", self.prefix);
        // They list folders; the rest of the prefix is compared here.
        let folder = whole.rsplit_once('/').map(|(folder, _)| Path::parse(folder)).transpose();
        let Ok(folder) = folder else { return Ok(Vec::new()) };
        let start = match after {
            Some(after) if after.as_str() >= prefix => self.path(after.as_str()).ok(),
            _ => before(&whole),
        };
        let mut stream = match &start {
            Some(start) => self.store.list_with_offset(folder.as_ref(), start),
            None => self.store.list(folder.as_ref()),
        };
        let mut out: Vec<Entry> = Vec::new();
        while out.len() < most {
            let Some(meta) = self.runner.run(stream.next()) else { break };
            let meta = meta.map_err(|e| meaning(prefix, e))?;
            let Some(key) = meta.location.as_ref().strip_prefix(&self.prefix) else { continue };
            if !key.starts_with(prefix) {
                // They come in order, so the first that stands behind all with the prefix is the end.
                if key > prefix {
                    break;
                }
                continue;
            }
            // What is no name of ours is no object of ours.
            let Ok(name) = Name::new(key) else { continue };
            if after.is_some_and(|after| name <= *after) {
                continue;
            }
            if out.last().is_some_and(|last| last.name >= name) {
                return Err(Error::protocol(prefix, "a listing that is not in order"));
            }
            out.push(Entry { name, size: meta.size });
        }
        Ok(out)
    }

    fn delete(&self, name: &Name) -> Result<()> {
        let path = self.path(name.as_str())?;
        match self.run(name.as_str(), self.store.delete(&path)) {
            Err(Error::NotFound { .. }) => Ok(()),
            done => done,
        }
    }

    fn abilities(&self) -> Abilities {
        Abilities { put_new: true, list: true }
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cloud({}, below {:?})", self.store, self.prefix)
    }
}

/// Something that stands before all with this prefix, and behind most of what stands before them.
fn before(prefix: &str) -> Option<Path> {
    let (last, rest) = prefix.as_bytes().split_last()?;
    let mut start = rest.to_vec();
    start.extend([last.checked_sub(1)?, b'z']);
    Path::parse(String::from_utf8(start).ok()?).ok()
}

/// A part of an upload, whole unless it is the last.
fn read_part(from: &mut dyn Read) -> Result<Vec<u8>> {
    let mut part = Vec::new();
    from.take(UPLOAD_PART_BYTES as u64).read_to_end(&mut part).map_err(Error::source)?;
    Ok(part)
}

/// What an error of the library means.
fn meaning(name: &str, error: object_store::Error) -> Error {
    use object_store::Error as E;
    let text: String = error.to_string().chars().take(MOST_ERROR_BYTES).collect();
    let name = name.to_owned();
    match error {
        E::NotFound { .. } => Error::NotFound { name },
        E::AlreadyExists { .. } => Error::AlreadyExists { name },
        E::Precondition { .. } | E::NotModified { .. } => Error::Changed { name },
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Error::Denied { name, why: text },
        E::NotSupported { .. } | E::NotImplemented { .. } => Error::NotSupported("do what was asked for"),
        E::UnknownConfigurationKey { .. } => Error::Settings(text),
        E::InvalidPath { .. } => Error::Protocol { name, what: text },
        // The library has retried what it takes for worth it.
        _ => Error::Unavailable { name, attempts: 1, why: text },
    }
}

struct Body {
    stream: BoxStream<'static, object_store::Result<Bytes>>,
    chunk: Bytes,
    name: String,
    runner: Runner,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runner.run(self.stream.next()) {
                Some(chunk) => self.chunk = chunk.map_err(|e| meaning(&self.name, e).into_io())?,
                None => return Ok(0),
            }
        }
        let taken = into.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut into[..taken]);
        Ok(taken)
    }
}
