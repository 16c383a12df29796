//! From a repository to a data directory.

use std::io::{self, Read};
use std::path::Path;

use archive::seal::{Opener, PrivateKey};
use archive::storage::{self, Name};
use effect::{Hlc, Origin};
use engine::Options;
use engine::backup::{Making, Whose, cut_after};
use wal::Position;

use crate::choose::{Chain, end_of};
use crate::digest::{Hashing, Sha256};
use crate::error::Error;
use crate::id::BackupId;
use crate::log_part::LogPart;
use crate::manifest::{Manifest, Part};
use crate::progress::{Phase, Progress};
use crate::repository::{Folder, Repository};
use crate::target::Target;

/// What is to be restored.
#[derive(Debug)]
pub struct Restore<'a> {
    /// Where the backups are.
    pub repository: &'a Repository,
    /// What opens them.
    pub key: &'a PrivateKey,
    /// Of which node, if there are several.
    pub node: Option<&'a str>,
    /// Which backup; without it the newest, or the one that has the moment.
    pub backup: Option<&'a BackupId>,
    /// Up to when, unix ms; without it all that the backup has.
    pub at_ms: Option<i64>,
    /// For the place of a member in its group; without it the directory is a node of its own.
    pub returning: Option<Returning>,
    /// Who watches.
    pub progress: &'a Progress,
}

/// From what a member has noted of its group to what it must find when it returns without all that it has said there.
pub type Returning = fn(&[u8]) -> Result<Vec<u8>, String>;

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// From which backup.
    pub backup: BackupId,
    /// Everything is in it up to then, unix ms, and nothing that is later.
    pub until_ms: i64,
    /// Keys of all databases.
    pub keys: u64,
    /// Plain bytes that were read.
    pub bytes: u64,
    /// Who the directory is.
    pub origin: Origin,
}

impl Restore<'_> {
    /// Makes the data directory `to`, which must be empty or not be there; `options` are those that it is opened with.
    /// Everything is verified before it has its name.
    ///
    /// # Errors
    /// Then `to` is as it was.
    pub fn to(&self, to: &Path, options: &Options) -> Result<Restored, Error> {
        self.progress.begin(Phase::Planning)?;
        let target = Target::begin(to)?;
        let opener = Opener::new(self.key.clone());
        let chain = self.choose(&opener)?;
        let last = Hlc(chain.last().last);
        let until = self.at_ms.map_or(last, |ms| end_of(ms).min(last));
        let made = self.make(&chain, until, target.aside(), options, &opener)?;
        target.finish()?;
        let until_ms = self.at_ms.unwrap_or(until.ms()).min(last.ms());
        let backup = chain.last().backup.clone();
        Ok(Restored { backup, until_ms, keys: made.keys, bytes: self.progress.bytes().0, origin: made.origin })
    }

    fn make(
        &self,
        chain: &Chain,
        until: Hlc,
        dir: &Path,
        options: &Options,
        opener: &Opener,
    ) -> Result<engine::backup::Made, Error> {
        self.progress.expect(chain.backups.iter().map(|(_, manifest)| manifest.plain_bytes()).sum());
        self.progress.begin(Phase::Rows)?;
        let (folder, base) = &chain.backups[0];
        let parts = base.rows.iter().flat_map(|rows| &rows.parts);
        let mut image = Parts::new(self, folder, parts, opener);
        let seed = base.seed().ok_or_else(|| Error::damaged(&base.backup, "its seed is no number"))?;
        let begun = Making::begin(dir, seed, Position(base.from), &mut image, options);
        let ended = begun.map_err(Error::from).and_then(|making| image.end().map(|()| making));
        let making = ended.map_err(|error| image.reason().unwrap_or(error))?;
        self.progress.begin(Phase::Log)?;
        self.bring_log(chain, until, &making, opener)?;
        self.progress.begin(Phase::Finishing)?;
        let whose = self.whose(chain.last())?;
        Ok(making.finish(whose, until, options.clone())?)
    }

    fn whose(&self, manifest: &Manifest) -> Result<Whose, Error> {
        let Some(returning) = self.returning else { return Ok(Whose::Own) };
        let group = manifest.group.as_ref().ok_or_else(|| Error::NoMember(manifest.backup.clone()))?;
        let bad = |what: &str| Error::damaged(&manifest.backup, format!("what it says of its group: {what}"));
        let node = u64::from_str_radix(&manifest.node, 16).map_err(|_| bad("its node is no number"))?;
        let membership = group.membership().ok_or_else(|| bad("no hexadecimal digits"))?;
        let membership = returning(&membership).map_err(|error| bad(&error))?;
        Ok(Whose::Returning { origin: Origin::new(node, group.incarnation), membership })
    }

    /// Appends the log up to the moment. What lies behind it is read and verified as well.
    fn bring_log(&self, chain: &Chain, until: Hlc, making: &Making, opener: &Opener) -> Result<(), Error> {
        let (mut is_before, mut next) = (true, 0);
        for (folder, manifest) in &chain.backups {
            for part in &manifest.log {
                let name = folder.name(&part.name)?;
                let failed = |error: io::Error| Error::Archive(archive::Error::from_io(&name, error));
                let log = self.part(&name, opener).map_err(|error| missing(error, manifest))?;
                let mut log = LogPart::open(log).map_err(failed)?;
                while let Some((position, kind, payload)) = log.next().map_err(failed)? {
                    if position < next.max(manifest.from) || position >= manifest.end {
                        return Err(Error::damaged(&name, format!("its record at {position} is out of place")));
                    }
                    next = position + 1;
                    let len = cut_after(kind, payload, until).map_err(|cause| Error::Record { position, cause })?;
                    if is_before && len > 0 {
                        making.append(kind, &payload[..len])?;
                    }
                    is_before &= len == payload.len();
                }
                verify(&name, part, &log.into_inner())?;
            }
        }
        Ok(())
    }

    fn part(&self, name: &Name, opener: &Opener) -> Result<Hashing<Watched<'_>>, Error> {
        let from = Box::new(self.repository.read(name, opener)?);
        Ok(Hashing::new(Watched { from, progress: self.progress, bytes: 0 }))
    }
}

/// What is missing is said with what was in it.
fn missing(error: Error, manifest: &Manifest) -> Error {
    match error {
        Error::Archive(archive::Error::Storage(storage::Error::NotFound { name })) => {
            let Manifest { from, end, .. } = manifest;
            Error::Missing { name, what: format!("log between the positions {from} and {end}") }
        }
        error => error,
    }
}

/// An object that was read to its end is the one that the manifest says.
fn verify(name: &Name, part: &Part, read: &Hashing<Watched<'_>>) -> Result<(), Error> {
    let (digest, bytes): (Sha256, u64) = (read.digest(), read.get_ref().bytes);
    match digest == part.sha256 && bytes == part.plain {
        true => Ok(()),
        false => Err(Error::damaged(name, "it is another object than the one that was stored with its manifest")),
    }
}

/// Tells who watches what is read, and stops when they want it.
struct Watched<'a> {
    from: Box<dyn Read>,
    progress: &'a Progress,
    bytes: u64,
}

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.progress.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let len = self.from.read(buf)?;
        self.bytes += len as u64;
        self.progress.add(len as u64);
        Ok(len)
    }
}

/// Objects behind each other as one stream. At the end of each it has been verified.
struct Parts<'a, I> {
    restore: &'a Restore<'a>,
    folder: &'a Folder,
    parts: I,
    opener: &'a Opener,
    open: Option<(Name, &'a Part, Hashing<Watched<'a>>)>,
    failed: Option<Error>,
}

impl<'a, I: Iterator<Item = &'a Part>> Parts<'a, I> {
    fn new(restore: &'a Restore<'a>, folder: &'a Folder, parts: I, opener: &'a Opener) -> Self {
        Self { restore, folder, parts, opener, open: None, failed: None }
    }

    fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        loop {
            if let Some((name, part, reader)) = &mut self.open {
                let read = reader.read(buf).map_err(|error| archive::Error::from_io(name, error))?;
                if read > 0 || buf.is_empty() {
                    return Ok(read);
                }
                verify(name, part, reader)?;
                self.open = None;
            }
            let Some(part) = self.parts.next() else { return Ok(0) };
            let name = self.folder.name(&part.name)?;
            let reader = self.restore.part(&name, self.opener)?;
            self.open = Some((name, part, reader));
        }
    }

    /// Why rows could not be read, if that is an object's fault: the one that is being read may be another than was stored.
    fn reason(&mut self) -> Option<Error> {
        let failed = self.failed.take();
        failed.or_else(|| {
            let (name, part, reader) = self.open.as_mut()?;
            let read = io::copy(reader, &mut io::sink()).map_err(|error| archive::Error::from_io(name, error).into());
            read.and_then(|_| verify(name, part, reader)).err()
        })
    }

    /// Nothing may be left when the image has ended.
    fn end(&mut self) -> Result<(), Error> {
        match self.read_some(&mut [0])? {
            0 => Ok(()),
            _ => Err(Error::damaged(self.folder.name("rows-000000")?, "there is more than the rows")),
        }
    }
}

impl<'a, I: Iterator<Item = &'a Part>> Read for Parts<'a, I> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_some(buf).map_err(|error| {
            let text = error.to_string();
            self.failed = Some(error);
            io::Error::other(text)
        })
    }
}
