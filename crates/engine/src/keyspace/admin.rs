//! Defining keyspaces, changing them and ending them, while the server runs.

use std::sync::Arc;
use std::sync::atomic::Ordering::Release;

use blob::Store;
use effect::{KeyspaceId, Mode, Op};
use thiserror::Error;

use super::open::dir_of;
use super::space::open_tier;
use super::{Definition, Worker};
use crate::context::{Context, Recycled};
use crate::engine::{Engine, Lock};
use crate::error::Refusal;
use crate::limits::{
    CACHE_DISK_BYTES_MIN, CACHE_RAM_BYTES_MIN, KEYSPACE_NAME_MAX, KEYSPACE_PATTERN_MAX, KEYSPACE_PATTERNS_MAX,
    KEYSPACES_MAX,
};

/// What is said of a keyspace; what is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyspaceChange {
    /// Glob patterns of its keys.
    pub patterns: Option<Vec<Vec<u8>>>,
    /// How its keys are kept.
    pub mode: Option<Mode>,
    /// The bound on RAM in bytes.
    pub ram_bytes: Option<u64>,
    /// The bound on disk in bytes; 0: no disk tier.
    pub disk_bytes: Option<u64>,
    /// Whether the disk tier syncs.
    pub fsync: Option<bool>,
}

/// Why a keyspace was not defined, changed or ended. Nothing is changed then.
#[derive(Debug, Error)]
pub enum KeyspaceError {
    /// `default` is what no other keyspace has.
    #[error("the keyspace 'default' holds whatever no other one matches; it can neither be changed nor deleted")]
    Default,
    /// The same of a group's.
    #[error("the keyspace 'default' holds whatever no other one matches; only its SAFETY can be changed")]
    GroupDefault,
    /// There is none of this name.
    #[error("there is no keyspace of this name")]
    Unknown,
    /// The name cannot be used.
    #[error("a keyspace's name has 1 to {KEYSPACE_NAME_MAX} letters, digits, '-', '_' and '.'")]
    Name,
    /// A new keyspace needs this option.
    #[error("a new keyspace needs {0}")]
    Missing(&'static str),
    /// What is at rest cannot be read.
    #[error("what is at rest cannot be brought into memory: {0}")]
    AtRest(String),
    /// The mode is not there yet.
    #[error("only MODE cache can be chosen; keys of no keyspace are causal")]
    Mode,
    /// Patterns that cannot be used.
    #[error("MATCH takes 1 to {KEYSPACE_PATTERNS_MAX} patterns of 1 to {KEYSPACE_PATTERN_MAX} bytes")]
    Patterns,
    /// The bound on RAM is too small.
    #[error("MAXMEMORY is {0} bytes; a cache keyspace needs at least {CACHE_RAM_BYTES_MIN}")]
    Ram(u64),
    /// The bound on disk is too small.
    #[error("MAXDISK is {0} bytes; it must be 0 (no disk tier) or at least {CACHE_DISK_BYTES_MIN}")]
    Disk(u64),
    /// The bound on disk asks for more RAM than there is.
    #[error("MAXDISK is more than {0} times MAXMEMORY: the index of what is on disk would not fit into RAM")]
    DiskForRam(u64),
    /// There are too many.
    #[error("there are {KEYSPACES_MAX} keyspaces, and no more are possible")]
    TooMany,
    /// It is on its way out.
    #[error("a keyspace of this name is being deleted; its keys are moving")]
    Leaving,
    /// The disk tier could not be opened.
    #[error("the disk tier could not be opened: {0}")]
    Tier(#[from] blob::Error),
    /// A thread could not be started.
    #[error("the keyspaces' thread could not be started: {0}")]
    Thread(std::io::Error),
    /// The log refused it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log could not be written.
    #[error(transparent)]
    Log(#[from] wal::LogError),
}

/// How many times its RAM a keyspace may have on disk: with values of 4 KiB the index then takes about half of the RAM.
const DISK_PER_RAM: u64 = 1024;

/// Whether a keyspace can have this name.
pub(super) fn check_name(name: &str) -> Result<(), KeyspaceError> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_fit = (1..=KEYSPACE_NAME_MAX).contains(&name.len()) && name.chars().all(known);
    if is_fit { Ok(()) } else { Err(KeyspaceError::Name) }
}

/// Whether a keyspace can have these patterns.
pub(super) fn check_patterns(patterns: &[Vec<u8>]) -> Result<(), KeyspaceError> {
    let fits = |pattern: &Vec<u8>| (1..=KEYSPACE_PATTERN_MAX).contains(&pattern.len());
    let is_fit = (1..=KEYSPACE_PATTERNS_MAX).contains(&patterns.len()) && patterns.iter().all(fits);
    if is_fit { Ok(()) } else { Err(KeyspaceError::Patterns) }
}

impl KeyspaceChange {
    /// The definition that comes of this, if it is one.
    fn apply(&self, before: Option<&Definition>, name: &str, id: KeyspaceId) -> Result<Definition, KeyspaceError> {
        check_name(name)?;
        let kept = |what| KeyspaceError::Missing(what);
        let patterns = self.patterns.clone().or_else(|| before.map(|d| d.patterns.clone()));
        let mode = self.mode.or_else(|| before.map(|d| d.mode)).ok_or(kept("MODE"))?;
        let ram_bytes = self.ram_bytes.or_else(|| before.map(|d| d.ram_bytes)).ok_or(kept("MAXMEMORY"))?;
        let disk_bytes = self.disk_bytes.or_else(|| before.map(|d| d.disk_bytes)).ok_or(kept("MAXDISK"))?;
        let patterns = patterns.ok_or(kept("MATCH"))?;
        if mode != Mode::Cache {
            return Err(KeyspaceError::Mode);
        }
        check_patterns(&patterns)?;
        if ram_bytes < CACHE_RAM_BYTES_MIN {
            return Err(KeyspaceError::Ram(ram_bytes));
        }
        if disk_bytes != 0 && disk_bytes < CACHE_DISK_BYTES_MIN {
            return Err(KeyspaceError::Disk(disk_bytes));
        }
        if disk_bytes / DISK_PER_RAM > ram_bytes {
            return Err(KeyspaceError::DiskForRam(DISK_PER_RAM));
        }
        let fsync = self.fsync.or_else(|| before.map(|d| d.fsync)).unwrap_or(false);
        let (name, leaving) = (name.to_owned(), false);
        Ok(Definition { id, name, mode, patterns, ram_bytes, disk_bytes, fsync, leaving, epoch: 0 })
    }
}

impl Engine {
    /// Defines a keyspace, or changes one. Returns when that is durable; keys may still be on their way then.
    pub fn define_keyspace(&self, name: &str, change: &KeyspaceChange) -> Result<(), KeyspaceError> {
        if name == "default" {
            return Err(KeyspaceError::Default);
        }
        let _admin = self.shared.keyspaces.admin.lock();
        // Where there are keyspaces, all keys are in memory: what is held as cache must not stand at rest as well.
        let _hold = self.shared.residency.hold();
        self.fill().map_err(|error| KeyspaceError::AtRest(error.to_string()))?;
        let definitions = self.shared.keyspaces.definitions();
        let before = definitions.iter().find(|definition| definition.name == name);
        if before.is_some_and(|definition| definition.leaving) {
            return Err(KeyspaceError::Leaving);
        }
        let (next_id, epoch, _) = self.shared.keyspaces.counters();
        let id = before.map_or(KeyspaceId(next_id), |definition| definition.id);
        if before.is_none() && (definitions.len() >= KEYSPACES_MAX || next_id == u16::MAX) {
            return Err(KeyspaceError::TooMany);
        }
        let definition = Definition { epoch: epoch + 1, ..change.apply(before, name, id)? };
        if before.is_some_and(|before| Definition { epoch: definition.epoch, ..before.clone() } == definition)
            && self.shared.keyspaces.space(id).is_some_and(|space| space.trouble.lock().is_none())
        {
            return Ok(());
        }
        self.start_keyspace_worker().map_err(KeyspaceError::Thread)?;
        match before {
            None => self.make_keyspace(&definition),
            Some(before) => self.change_keyspace(before, &definition),
        }
    }

    /// Ends a keyspace: its keys move to where the other definitions put them, then it is gone.
    pub fn delete_keyspace(&self, name: &str) -> Result<(), KeyspaceError> {
        if name == "default" {
            return Err(KeyspaceError::Default);
        }
        let _admin = self.shared.keyspaces.admin.lock();
        let definitions = self.shared.keyspaces.definitions();
        let before = definitions.into_iter().find(|definition| definition.name == name);
        let before = before.ok_or(KeyspaceError::Unknown)?;
        if before.leaving {
            return Err(KeyspaceError::Leaving);
        }
        let (_, epoch, _) = self.shared.keyspaces.counters();
        let definition = Definition { leaving: true, epoch: epoch + 1, ..before };
        let mut recycled = Recycled::new();
        let context = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        self.log_definition(context, &definition, false)
    }

    fn make_keyspace(&self, definition: &Definition) -> Result<(), KeyspaceError> {
        let tier = self.open_new_tier(definition)?;
        let mut recycled = Recycled::new();
        let context = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        self.log_definition(context, definition, false)?;
        if let Some(space) = self.shared.keyspaces.space(definition.id) {
            *space.tier.write() = tier.into();
        }
        Ok(())
    }

    /// A disk tier that begins empty.
    pub(super) fn open_new_tier(&self, definition: &Definition) -> Result<Option<Store>, blob::Error> {
        if definition.disk_bytes == 0 {
            return Ok(None);
        }
        let dir = dir_of(&self.shared.dir, definition.id);
        // An attempt that the log refused may have left something.
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(blob::Error::io("emptying the directory", error));
            }
            _ => {}
        }
        Ok(Some(open_tier(&dir, definition, &self.shared)?))
    }

    /// The bound on RAM holds at once. The disk tier follows, by the thread of the keyspaces: nobody waits for it.
    fn change_keyspace(&self, before: &Definition, definition: &Definition) -> Result<(), KeyspaceError> {
        let Some(space) = self.shared.keyspaces.space(definition.id) else { return Err(KeyspaceError::Unknown) };
        let same_tier = (before.disk_bytes, before.ram_bytes, before.fsync)
            == (definition.disk_bytes, definition.ram_bytes, definition.fsync)
            && space.trouble.lock().is_none();
        let same_keys = before.patterns == definition.patterns;
        let mut recycled = Recycled::new();
        let context = self.context(Lock::All, 0, self.now_ms(), &mut recycled);
        self.log_definition(context, definition, same_keys)?;
        if !same_tier {
            space.reopen.store(true, Release);
        }
        Ok(())
    }

    /// Logs a definition and carries it out.
    fn log_definition(
        &self,
        mut context: Context<'_>,
        definition: &Definition,
        same_keys: bool,
    ) -> Result<(), KeyspaceError> {
        let name = definition.name.as_bytes();
        definition.with_op(|op| context.out.about_space(definition.id, name, op));
        if same_keys && !context.is_moving() {
            context.out.about_space(KeyspaceId::DEFAULT, b"", Op::Moved(definition.epoch));
        }
        let committed = context.commit()?;
        self.shared.log.commit(committed.position)?;
        Ok(())
    }

    /// Starts the thread of the keyspaces, if it does not run yet.
    pub(crate) fn start_keyspace_worker(&self) -> std::io::Result<()> {
        let mut worker = self.keyspace_worker.lock();
        if worker.is_none() {
            *worker = Some(Worker::start(Arc::clone(&self.shared))?);
        }
        Ok(())
    }
}
