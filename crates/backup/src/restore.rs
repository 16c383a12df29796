//! From a repository to a data directory.

use std::io::{self, Read};
use std::path::Path;

use archive::seal::{Opener, PrivateKey};
use archive::storage::Name;
use effect::{Hlc, Origin};
use engine::Options;
use engine::backup::{Making, Whose, cut_after};
use wal::Position;

use crate::digest::{Hashing, Sha256};
use crate::error::Error;
use crate::id::BackupId;
use crate::log_part::LogPart;
use crate::manifest::{Manifest, Part};
use crate::progress::{Phase, Progress};
use crate::repository::{Folder, Listed, Repository};
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
    /// Who watches.
    pub progress: &'a Progress,
}

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

/// Backups from one with rows to the one that is restored.
struct Chain {
    backups: Vec<(Folder, Manifest)>,
}

impl Chain {
    fn last(&self) -> &Manifest {
        &self.backups[self.backups.len() - 1].1
    }

    /// The timestamp of the latest batch in the rows.
    fn rows_last(&self) -> Hlc {
        Hlc(self.backups[0].1.rows.as_ref().map_or(0, |rows| rows.last))
    }
}

/// The last timestamp of a millisecond.
fn end_of(ms: i64) -> Hlc {
    Hlc(Hlc::at_ms(ms.saturating_add(1)).0.saturating_sub(1))
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

    /// The whole backups of the node.
    fn candidates(&self) -> Result<Vec<Listed>, Error> {
        let mut listed = self.repository.list()?;
        listed.retain(|listed| listed.is_whole && self.node.is_none_or(|node| listed.node() == node));
        let mut nodes: Vec<String> = listed.iter().map(|listed| listed.node().to_owned()).collect();
        nodes.dedup();
        match nodes.len() {
            0 => Err(Error::NoBackup { node: self.node.map(Into::into) }),
            1 => Ok(listed),
            _ => Err(Error::Nodes { nodes }),
        }
    }

    fn choose(&self, opener: &Opener) -> Result<Chain, Error> {
        let listed = self.candidates()?;
        if let Some(id) = self.backup {
            let one = listed.iter().find(|listed| listed.backup() == id);
            let chain = self.chain(one.ok_or_else(|| Error::Unknown(id.to_string()))?, opener)?;
            return match self.at_ms {
                Some(ms) if end_of(ms) < chain.rows_last() || Hlc::at_ms(ms) > Hlc(chain.last().last) => {
                    Err(not_covered(ms, Some(&chain), Some(&chain)))
                }
                _ => Ok(chain),
            };
        }
        match (self.at_ms, listed.last()) {
            (None, Some(newest)) => self.chain(newest, opener),
            (Some(ms), _) => self.covering(&listed, ms, opener),
            (None, None) => Err(Error::NoBackup { node: None }),
        }
    }

    /// The first backup that reaches up to a moment from rows that are older.
    fn covering(&self, listed: &[Listed], ms: i64, opener: &Opener) -> Result<Chain, Error> {
        // One that began before the moment may reach up to it. Those before that have ended before it, unless clocks jump.
        let first = listed.partition_point(|listed| listed.backup().began_ms() <= ms).saturating_sub(1);
        let (older, newer) = listed.split_at(first);
        let (mut before, mut after): (Option<Chain>, Option<Chain>) = (None, None);
        for listed in newer.iter().chain(older.iter().rev()) {
            if after.as_ref().is_some_and(|chain| chain.last().chain == *listed.chain()) {
                continue;
            }
            let chain = self.chain(listed, opener)?;
            if chain.rows_last() > end_of(ms) {
                after.get_or_insert(chain);
            } else if Hlc(chain.last().last) < Hlc::at_ms(ms) {
                if older.contains(listed) {
                    before = before.or(Some(chain));
                    break;
                }
                before = Some(chain);
            } else {
                return Ok(chain);
            }
        }
        Err(not_covered(ms, before.as_ref(), after.as_ref()))
    }

    /// A backup and those that it goes on from.
    fn chain(&self, listed: &Listed, opener: &Opener) -> Result<Chain, Error> {
        let mut folder = listed.folder.clone();
        let (mut manifest, _) = self.repository.manifest(&folder, opener)?;
        let mut backups = Vec::new();
        while let Some(previous) = &manifest.previous {
            self.progress.begin(Phase::Planning)?;
            let before = Folder { backup: previous.backup.clone(), ..folder.clone() };
            let (older, digest) = self.repository.manifest(&before, opener)?;
            if !manifest.follows(&older, digest) {
                let name = folder.name(crate::repository::MANIFEST)?;
                return Err(Error::damaged(name, format!("it does not go on from {}", older.backup)));
            }
            backups.push((std::mem::replace(&mut folder, before), std::mem::replace(&mut manifest, older)));
        }
        backups.push((folder, manifest));
        backups.reverse();
        Ok(Chain { backups })
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
        Ok(making.finish(Whose::Own, until, options.clone())?)
    }

    /// Appends the log up to the moment. What lies behind it is read and verified as well.
    fn bring_log(&self, chain: &Chain, until: Hlc, making: &Making, opener: &Opener) -> Result<(), Error> {
        let (mut is_before, mut next) = (true, 0);
        for (folder, manifest) in &chain.backups {
            for part in &manifest.log {
                let name = folder.name(&part.name)?;
                let failed = |error: io::Error| Error::Archive(archive::Error::from_io(&name, error));
                let mut log = LogPart::open(self.part(&name, opener)?).map_err(failed)?;
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

fn not_covered(at_ms: i64, before: Option<&Chain>, after: Option<&Chain>) -> Error {
    let before_ms = before.map(|chain| Hlc(chain.last().last).ms());
    Error::NotCovered { at_ms, before_ms, after_ms: after.map(|chain| chain.rows_last().ms()) }
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
