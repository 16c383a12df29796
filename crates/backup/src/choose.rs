//! Which backup is restored, and those that it goes on from.
//!
//! While rows are stored the chain before them goes on: the backup with the latest name is not always the one that reaches
//! furthest, and of two chains either may.

use std::collections::BTreeSet;

use archive::seal::Opener;
use archive::storage;
use effect::Hlc;

use crate::error::Error;
use crate::id::BackupId;
use crate::limits::OLDER_CHAINS;
use crate::manifest::Manifest;
use crate::progress::Phase;
use crate::repository::{Folder, Listed, MANIFEST};
use crate::restore::Restore;
use crate::time::format_ms;

/// Backups from one with rows to the one that is restored.
pub(crate) struct Chain {
    pub(crate) backups: Vec<(Folder, Manifest)>,
}

impl Chain {
    pub(crate) fn last(&self) -> &Manifest {
        &self.backups[self.backups.len() - 1].1
    }

    /// The timestamp of the latest batch in the rows.
    fn rows_last(&self) -> Hlc {
        Hlc(self.backups[0].1.rows.as_ref().map_or(0, |rows| rows.last))
    }
}

/// The last timestamp of a millisecond.
pub(crate) fn end_of(ms: i64) -> Hlc {
    Hlc(Hlc::at_ms(ms.saturating_add(1)).0.saturating_sub(1))
}

impl Restore<'_> {
    pub(crate) fn choose(&self, opener: &Opener) -> Result<Chain, Error> {
        let listed = self.candidates()?;
        if let Some(id) = self.backup {
            let one = listed.iter().find(|listed| listed.backup() == id);
            let chain = self.chain(one.ok_or_else(|| Error::Unknown(id.to_string()))?, opener)?;
            return match self.at_ms {
                Some(ms) if end_of(ms) < chain.rows_last() || Hlc::at_ms(ms) > Hlc(chain.last().last) => {
                    let (from, to) = (chain.rows_last(), Hlc(chain.last().last));
                    Err(not_covered(ms, Some(to), Some(from)))
                }
                _ => Ok(chain),
            };
        }
        match self.at_ms {
            None => self.newest(&listed, opener),
            Some(ms) => self.covering(&listed, ms, opener),
        }
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

    /// The backup that reaches furthest: the one with the latest name, or the last one of a chain that was begun later.
    fn newest(&self, listed: &[Listed], opener: &Opener) -> Result<Chain, Error> {
        let latest = listed.last().ok_or(Error::NoBackup { node: None })?;
        let mut furthest = (latest, self.reach(latest, opener)?);
        let mut chains = BTreeSet::from([latest.chain()]);
        for other in listed.iter().rev().filter(|other| other.chain() > latest.chain()) {
            if chains.insert(other.chain()) {
                let reach = self.reach(other, opener)?;
                if reach > furthest.1 {
                    furthest = (other, reach);
                }
            }
        }
        self.chain(furthest.0, opener)
    }

    /// The first backup that reaches up to the end of a millisecond from rows that are older; else the one that has most of it.
    fn covering(&self, listed: &[Listed], ms: i64, opener: &Opener) -> Result<Chain, Error> {
        // One that began before the moment may reach up to it; of those before that, unless clocks jump, only the last of a chain.
        let first = listed.partition_point(|listed| listed.backup().began_ms() <= ms).saturating_sub(1);
        let (older, newer) = listed.split_at(first);
        let (mut before, mut after): (Option<Hlc>, Option<(Hlc, &BackupId)>) = (None, None);
        let mut short: BTreeSet<&BackupId> = BTreeSet::new();
        let mut most: Option<(Hlc, Chain)> = None;
        let newer = newer.iter().map(|listed| (listed, true));
        for (listed, is_newer) in newer.chain(older.iter().rev().map(|listed| (listed, false))) {
            let is_late = after.is_some_and(|(_, chain)| chain == listed.chain());
            if is_late || (!is_newer && short.contains(listed.chain())) {
                continue;
            }
            let reach = self.reach(listed, opener)?;
            if reach < end_of(ms) {
                before = before.max(Some(reach));
                if reach >= Hlc::at_ms(ms) && most.as_ref().is_none_or(|(most, _)| *most < reach) {
                    most = Some((reach, self.chain(listed, opener)?));
                }
                short.insert(listed.chain());
                if !is_newer && short.len() > OLDER_CHAINS {
                    break;
                }
                continue;
            }
            let chain = self.chain(listed, opener)?;
            if chain.rows_last() <= end_of(ms) {
                return Ok(chain);
            }
            after.get_or_insert((chain.rows_last(), listed.chain()));
        }
        most.map(|(_, chain)| chain).ok_or_else(|| not_covered(ms, before, after.map(|(from, _)| from)))
    }

    /// Up to when a backup has everything.
    fn reach(&self, listed: &Listed, opener: &Opener) -> Result<Hlc, Error> {
        self.progress.begin(Phase::Planning)?;
        Ok(Hlc(self.repository.manifest(&listed.folder, opener)?.0.last))
    }

    /// A backup and those that it goes on from.
    fn chain(&self, listed: &Listed, opener: &Opener) -> Result<Chain, Error> {
        let mut folder = listed.folder.clone();
        let (mut manifest, _) = self.repository.manifest(&folder, opener)?;
        let mut backups = Vec::new();
        while let Some(previous) = &manifest.previous {
            self.progress.begin(Phase::Planning)?;
            let before = Folder { backup: previous.backup.clone(), ..folder.clone() };
            let found = self.repository.manifest(&before, opener);
            let (older, digest) = found.map_err(|error| missing(error, &before, &manifest))?;
            if !manifest.follows(&older, digest) {
                let name = folder.name(MANIFEST)?;
                return Err(Error::damaged(name, format!("it does not go on from {}", older.backup)));
            }
            backups.push((std::mem::replace(&mut folder, before), std::mem::replace(&mut manifest, older)));
        }
        backups.push((folder, manifest));
        backups.reverse();
        Ok(Chain { backups })
    }
}

/// What is missing is said with what was in it.
fn missing(error: Error, gone: &Folder, next: &Manifest) -> Error {
    match error {
        Error::Archive(archive::Error::Storage(storage::Error::NotFound { name })) => {
            let what = if gone.backup == gone.chain { "all rows, and log" } else { "log" };
            let (since, end) = (format_ms(gone.backup.began_ms()), next.from);
            Error::Missing { name, what: format!("{what} from {since} on, up to the position {end}") }
        }
        error => error,
    }
}

fn not_covered(at_ms: i64, before: Option<Hlc>, after: Option<Hlc>) -> Error {
    Error::NotCovered { at_ms, before_ms: before.map(Hlc::ms), after_ms: after.map(Hlc::ms) }
}
