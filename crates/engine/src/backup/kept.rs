//! What of the log is kept below the last checkpoint: for a backup that is being taken, for the next one, and for other replicas.
//!
//! The file `backups` of the data directory has a line for each repository, the one written to last at the end:
//!
//! ```text
//! anabranch-backups 1
//! kept 4000 0f3a… whatever its writer notes
//! crc32c 89abcdef       of all lines above, hex
//! ```
//! No data depends on it: without it the next backup is a whole one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use effect::Vector;
use parking_lot::Mutex;
use wal::{Log, LogError, Position};

use crate::engine::{Sequencer, Shared};
use crate::error::OpenError;
use crate::identity::{crc, replace};
use crate::limits::{BACKUP_MARKS_MAX, BACKUP_NOTE_BYTES_MAX};

/// The name of the file in the data directory.
const FILE: &str = "backups";

/// What the names of marks begin with that are an archive's: it has a bound of its own.
pub const ARCHIVE: &str = "archive:";

/// From where on the log is kept for the next backup into a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The repository, behind [`ARCHIVE`] if all of the log goes there as it is written: a word.
    pub name: String,
    /// The first position that the next backup will read.
    pub from: Position,
    /// What its writer must know to go on: a line, at most 4 KiB.
    pub note: String,
}

/// See the module.
pub(crate) struct Kept {
    dir: PathBuf,
    state: Arc<Mutex<State>>,
}

/// Keeps the log from a position on, for something within the engine.
pub(crate) struct Hold {
    state: Arc<Mutex<State>>,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.state.lock().pins.remove(&self.number);
    }
}

struct State {
    limit: u64,
    /// The same for archives; 0: there is none any more.
    archive_limit: u64,
    marks: Vec<Mark>,
    pins: BTreeMap<u64, Position>,
    next_pin: u64,
    /// What every other replica has, and how many bytes of log may be kept for that.
    peers: Option<(Vector, u64)>,
}

/// Keeps the log from a position on, until it is dropped.
pub struct LogPin {
    shared: Arc<Shared>,
    number: u64,
}

impl LogPin {
    /// Fails with `Removed` if the log begins later.
    pub(crate) fn new(shared: &Arc<Shared>, from: Position) -> Result<Self, LogError> {
        let number = shared.kept.pin(&shared.log, from)?;
        Ok(Self { shared: Arc::clone(shared), number })
    }
}

impl Drop for LogPin {
    fn drop(&mut self) {
        self.shared.kept.state.lock().pins.remove(&self.number);
    }
}

impl std::fmt::Debug for LogPin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogPin").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Kept {
    /// What the data directory says.
    pub(crate) fn load(dir: &Path, limit: u64, archive_limit: u64) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let marks = match std::fs::read_to_string(&path) {
            Ok(text) => parse(&text).unwrap_or_else(|reason| {
                tracing::warn!(path = %path.display(), reason, "it is damaged: the next backup will be a whole one");
                Vec::new()
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        let state = State { limit, archive_limit, marks, pins: BTreeMap::new(), next_pin: 0, peers: None };
        Ok(Self { dir: dir.into(), state: Arc::new(Mutex::new(state)) })
    }

    /// Keeps the log from there on. Fails with `Removed` if it begins later; the log must not be locked.
    pub(crate) fn hold(&self, log: &Log<Sequencer>, from: Position) -> Result<Hold, LogError> {
        Ok(Hold { number: self.pin(log, from)?, state: Arc::clone(&self.state) })
    }

    fn pin(&self, log: &Log<Sequencer>, from: Position) -> Result<u64, LogError> {
        // Under this lock nothing is cut.
        let mut state = self.state.lock();
        let first = log.first();
        if from < first {
            return Err(LogError::Removed { wanted: from, first });
        }
        let number = state.next_pin;
        state.next_pin += 1;
        state.pins.insert(number, from);
        Ok(number)
    }

    pub(crate) fn set_limit(&self, bytes: u64) {
        self.state.lock().limit = bytes;
    }

    pub(crate) fn set_archive_limit(&self, bytes: u64) {
        self.state.lock().archive_limit = bytes;
    }

    pub(crate) fn set_peers(&self, peers: Option<(Vector, u64)>) {
        self.state.lock().peers = peers;
    }

    pub(crate) fn peers(&self) -> Option<(Vector, u64)> {
        self.state.lock().peers.clone()
    }

    pub(crate) fn mark(&self, name: &str) -> Option<Mark> {
        self.state.lock().marks.iter().find(|mark| mark.name == name).cloned()
    }

    pub(crate) fn set_mark(&self, mark: Mark) -> std::io::Result<()> {
        let is_word = !mark.name.is_empty() && !mark.name.contains(char::is_whitespace);
        let is_line = !mark.note.contains(['\n', '\r']) && mark.note.len() <= BACKUP_NOTE_BYTES_MAX;
        assert!(is_word && is_line, "a mark is a word and a line");
        let mut state = self.state.lock();
        let mut marks = state.marks.clone();
        marks.retain(|other| other.name != mark.name);
        marks.push(mark);
        let surplus = marks.len().saturating_sub(BACKUP_MARKS_MAX);
        marks.drain(..surplus);
        replace(&self.dir, FILE, print(&marks).as_bytes())?;
        state.marks = marks;
        Ok(())
    }

    /// Cuts the log below `position`, but for what is pinned, and for what other replicas lack or the next backups will read if that is
    /// not too much.
    pub(crate) fn cut(
        &self,
        log: &Log<Sequencer>,
        position: Position,
        stable: Option<&Vector>,
    ) -> Result<Position, LogError> {
        let state = self.state.lock();
        let reaches = |known: &Vector| log.lock().state().waymarks.reaches(known);
        let bytes = state.peers.as_ref().map_or(u64::MAX, |(_, bytes)| *bytes);
        // Where somebody lacks what is gone, which only a copy of the state can bring, others may lack what is not.
        let lacked = state.peers.as_ref().map(|(has, _)| reaches(has).unwrap_or_else(|| log.first()));
        let unstable = stable.map(|stable| reaches(stable).unwrap_or_else(|| log.first()));
        let is_little = |from: &Position| log.written().get().saturating_sub(from.get()) <= bytes;
        let position = lacked.into_iter().chain(unstable).filter(is_little).fold(position, Position::min);
        let first = log.remove_below(state.needed(position, log.written()))?;
        log.lock().state().waymarks.forget_below(first);
        Ok(first)
    }
}

impl State {
    /// The first position that is needed, if a checkpoint needs the log from `position` on.
    fn needed(&self, position: Position, end: Position) -> Position {
        // A part of what the next backup reads is of no use to it.
        let is_kept = |mark: &&Mark| {
            let limit = if mark.name.starts_with(ARCHIVE) { self.archive_limit } else { self.limit };
            limit > 0 && mark.from.get() >= end.get().saturating_sub(limit)
        };
        let marks = self.marks.iter().filter(is_kept).map(|mark| mark.from);
        marks.chain(self.pins.values().copied()).fold(position, Position::min)
    }
}

fn print(marks: &[Mark]) -> String {
    let mut text = "anabranch-backups 1\n".to_owned();
    for Mark { name, from, note } in marks {
        text += &format!("kept {from} {name} {note}\n");
    }
    let crc = crc(text.as_bytes());
    text + &format!("crc32c {crc:08x}\n")
}

fn parse(text: &str) -> Result<Vec<Mark>, &'static str> {
    let body = text.rfind("crc32c ").ok_or("the checksum is missing")?;
    let (lines, check) = text.split_at(body);
    if check != format!("crc32c {:08x}\n", crc(lines.as_bytes())) {
        return Err("the checksum does not match");
    }
    let mut lines = lines.lines();
    if lines.next() != Some("anabranch-backups 1") {
        return Err("it has another format version");
    }
    let mark = |line: &str| {
        let (from, rest) = line.strip_prefix("kept ")?.split_once(' ')?;
        let (name, note) = rest.split_once(' ')?;
        Some(Mark { name: name.into(), from: Position(from.parse().ok()?), note: note.into() })
    };
    lines.map(|line| mark(line).ok_or("a line is no mark")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(name: &str, from: u64) -> Mark {
        Mark { name: name.into(), from: Position(from), note: format!("of {name}") }
    }

    #[test]
    fn the_file_is_this_text_and_any_flipped_byte_is_noticed() {
        let marks = vec![mark("a", 7), mark("b", 4000)];
        let text = print(&marks);
        assert_eq!(text, "anabranch-backups 1\nkept 7 a of a\nkept 4000 b of b\ncrc32c adcc098d\n");
        assert_eq!(parse(&text), Ok(marks));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let flipped = String::from_utf8(bytes).unwrap();
            assert!(parse(&flipped).is_err(), "byte {at}");
        }
    }

    #[test]
    fn the_repository_that_was_written_to_first_is_forgotten_first() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::load(dir.path(), 10, 0).unwrap();
        for n in 0..BACKUP_MARKS_MAX {
            kept.set_mark(mark(&format!("r{n}"), 1)).unwrap();
        }
        kept.set_mark(mark("r0", 2)).unwrap();
        kept.set_mark(mark("new", 3)).unwrap();
        let again = Kept::load(dir.path(), 10, 0).unwrap();
        assert_eq!(again.mark("r1"), None);
        assert_eq!(again.mark("r0"), Some(mark("r0", 2)));
        assert_eq!(again.mark("new"), Some(mark("new", 3)));
    }

    #[test]
    fn a_file_that_is_damaged_is_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "anabranch-backups 1\n").unwrap();
        assert_eq!(Kept::load(dir.path(), 1, 0).unwrap().mark("a"), None);
    }

    #[test]
    fn marks_keep_what_is_within_the_bound_and_pins_keep_all() {
        let needed = |limit, marks: &[u64], pins: &[u64]| {
            let marks = marks.iter().map(|from| mark("m", *from)).collect();
            let pins = (0..).zip(pins.iter().map(|from| Position(*from))).collect();
            let state = State { limit, archive_limit: 0, marks, pins, next_pin: 0, peers: None };
            state.needed(Position(900), Position(1000)).get()
        };
        assert_eq!(needed(500, &[], &[]), 900);
        assert_eq!(needed(500, &[950], &[]), 900, "the checkpoint needs more");
        assert_eq!(needed(500, &[500, 700], &[]), 500, "the lowest that is not too far behind");
        assert_eq!(needed(500, &[499, 700], &[]), 700, "a part of what would be read is of no use");
        assert_eq!(needed(0, &[1000, 700], &[]), 900);
        assert_eq!(needed(500, &[600], &[3, 9]), 3);
    }

    #[test]
    fn an_archive_has_a_bound_of_its_own() {
        let needed = |limit, archive_limit| {
            let marks = vec![mark("m", 700), mark("archive:m", 300)];
            let state = State { limit, archive_limit, marks, pins: BTreeMap::new(), next_pin: 0, peers: None };
            state.needed(Position(900), Position(1000)).get()
        };
        assert_eq!([needed(500, 0), needed(500, 699), needed(500, 700), needed(0, 700)], [700, 700, 300, 300]);
        assert_eq!(needed(1000, 0), 700, "where there is no archive any more nothing is kept for it");
    }
}
