//! The undone stream: what clients of this node were told has been done, and is not any more.
//!
//! ```text
//!   undone here ─▶ Undone::report ─▶ `DIR/undone`, synced ─▶ a report with a number of its own ─▶ whoever asks `since`
//!                     └ known already: no second report         the oldest go when there are too many
//! ```
//! *Invariant:* of what is kept, each loss is reported once, and the numbers of reports only grow, also over restarts.
//! *Invariant:* what `report` has answered is durable. Whoever cannot report a loss does not carry it out: its node stops.

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use effect::wire::{Reader, put_bytes, put_varint};
use effect::{Dot, Hlc, Origin, WireError};
use envelope::Cipher;
use parking_lot::Mutex;
use thiserror::Error;

use crate::exclusive::{Journal, JournalError, JournalFile, UNDONE};
use crate::limits::{JOURNAL_SLACK_BYTES, REPORT_BYTES, UNDONE_BYTES, UNDONE_REPORTS};

/// Why reports cannot be kept.
#[derive(Debug, Error)]
pub enum UndoneError {
    /// They cannot be written or read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// They are not what this version writes.
    #[error("a report of what was undone cannot be read: {0}")]
    Bytes(#[from] WireError),
}

/// What was lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Loss {
    /// A transaction that was visible here has lost to another, and was taken back.
    Transaction {
        /// Its bind, which says whose it was.
        bind: Dot,
        /// The bind of the one it has lost to.
        by: Dot,
    },
    /// An effect of this node that the group never got while it had been given up, and in whose place something had come when it was back.
    Superseded {
        /// As which it was written.
        effect: Dot,
        /// When it was written.
        hlc: Hlc,
        /// What it did, by the name of its keyspace event.
        op: String,
        /// The field, or the member, if it is one of several.
        element: Option<Vec<u8>>,
    },
}

/// A loss, as it is reported first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// What.
    pub loss: Loss,
    /// The keys, each with its database.
    pub keys: Vec<(u8, Vec<u8>)>,
}

/// A loss as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its number; later ones have higher numbers.
    pub id: u64,
    /// When it was reported, unix ms.
    pub ms: i64,
    /// What was lost.
    pub loss: Loss,
    /// The keys, each with its database, up to a limit.
    pub keys: Vec<(u8, Vec<u8>)>,
    /// How many keys more there were.
    pub more: u64,
}

/// The reports of a node.
pub struct Undone<J = JournalFile>(Mutex<State<J>>);

struct State<J> {
    journal: J,
    /// Bytes of the journal when it was last written anew.
    least: u64,
    reports: VecDeque<Report>,
    known: HashSet<Loss>,
    /// Bytes of their keys.
    bytes: usize,
    next: u64,
    reported: u64,
    /// What is known may not be durable.
    has_failed: bool,
}

impl Undone {
    /// Those of a data directory. With a cipher ([`engine::Engine::undone_cipher`]) they are sealed.
    pub fn open(dir: &Path, cipher: Option<Cipher>) -> Result<Self, UndoneError> {
        let (journal, entries) = JournalFile::open_for(UNDONE, dir, cipher)?;
        Self::of(journal, &entries)
    }
}

impl<J: Journal> Undone<J> {
    fn of(journal: J, entries: &[Vec<u8>]) -> Result<Self, UndoneError> {
        let (reports, known, least) = (VecDeque::new(), HashSet::new(), journal.bytes());
        let mut state = State { journal, least, reports, known, bytes: 0, next: 1, reported: 0, has_failed: false };
        for entry in entries {
            state.keep(Report::decode(&mut Reader::new(entry))?);
        }
        Ok(Self(Mutex::new(state)))
    }

    /// Reports losses, durably: those that were not reported before. Once that has failed it fails until the next start.
    pub fn report(&self, ms: i64, lost: Vec<Lost>) -> Result<Vec<Report>, UndoneError> {
        let mut state = self.0.lock();
        if state.has_failed {
            return Err(JournalError::Failed.into());
        }
        let reported = state.report(ms, lost);
        state.has_failed = reported.is_err();
        Ok(reported?)
    }

    /// The first `count` reports with numbers above `id`.
    pub fn since(&self, id: u64, count: usize) -> Vec<Report> {
        let state = self.0.lock();
        let from = state.reports.partition_point(|report| report.id <= id);
        state.reports.iter().skip(from).take(count).cloned().collect()
    }

    /// How many were reported since the start.
    pub fn reported(&self) -> u64 {
        self.0.lock().reported
    }

    /// Its disk has failed.
    #[cfg(test)]
    pub(crate) fn fail(&self) {
        self.0.lock().has_failed = true;
    }
}

impl<J: Journal> State<J> {
    fn report(&mut self, ms: i64, lost: Vec<Lost>) -> Result<Vec<Report>, JournalError> {
        let mut reports = Vec::new();
        for Lost { loss, keys } in lost {
            if self.known.contains(&loss) {
                continue;
            }
            let report = Report::new(self.next, ms, loss, keys);
            let mut bytes = Vec::new();
            report.encode(&mut bytes);
            self.journal.append(&bytes)?;
            self.keep(report.clone());
            reports.push(report);
        }
        if !reports.is_empty() {
            self.journal.sync()?;
            self.trim()?;
        }
        self.reported += reports.len() as u64;
        Ok(reports)
    }

    fn keep(&mut self, report: Report) {
        self.next = self.next.max(report.id + 1);
        self.bytes += report.bytes();
        self.known.insert(report.loss.clone());
        self.reports.push_back(report);
        // The last one says which numbers were given.
        while self.reports.len() > UNDONE_REPORTS || (self.bytes > UNDONE_BYTES && self.reports.len() > 1) {
            let Some(oldest) = self.reports.pop_front() else { break };
            self.bytes -= oldest.bytes();
            self.known.remove(&oldest.loss);
        }
    }

    /// Only what is kept stays in the journal.
    fn trim(&mut self) -> Result<(), JournalError> {
        if self.journal.bytes() <= 4 * self.least + JOURNAL_SLACK_BYTES {
            return Ok(());
        }
        let entry = |report: &Report| {
            let mut bytes = Vec::new();
            report.encode(&mut bytes);
            bytes
        };
        let entries: Vec<Vec<u8>> = self.reports.iter().map(entry).collect();
        self.journal.replace(&entries)?;
        self.least = self.journal.bytes();
        Ok(())
    }
}

impl Report {
    fn new(id: u64, ms: i64, loss: Loss, keys: Vec<(u8, Vec<u8>)>) -> Self {
        let (all, mut bytes) = (keys.len(), 0);
        let fits = |(_, key): &(u8, Vec<u8>)| {
            bytes += key.len();
            bytes <= REPORT_BYTES
        };
        let keys: Vec<_> = keys.into_iter().take_while(fits).collect();
        let more = (all - keys.len()) as u64;
        Self { id, ms, loss, keys, more }
    }

    /// Bytes of names.
    fn bytes(&self) -> usize {
        let element = match &self.loss {
            Loss::Superseded { element, .. } => element.as_ref().map_or(0, Vec::len),
            Loss::Transaction { .. } => 0,
        };
        element + self.keys.iter().map(|(_, key)| key.len()).sum::<usize>()
    }

    /// `report := id varint ‖ ms i64 LE ‖ loss ‖ more varint ‖ count varint ‖ (db u8 ‖ key bytes)*`,
    /// `loss := 0 u8 ‖ bind dot ‖ by dot, or 1 u8 ‖ effect dot ‖ hlc u64 LE ‖ op bytes ‖ (0 u8, or 1 u8 ‖ element bytes)`, `dot := origin u64 LE ‖ seq varint`.
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.id);
        out.extend_from_slice(&self.ms.to_le_bytes());
        match &self.loss {
            Loss::Transaction { bind, by } => {
                out.push(0);
                put_dot(*bind, out);
                put_dot(*by, out);
            }
            Loss::Superseded { effect, hlc, op, element } => {
                out.push(1);
                put_dot(*effect, out);
                out.extend_from_slice(&hlc.0.to_le_bytes());
                put_bytes(out, op.as_bytes());
                out.push(u8::from(element.is_some()));
                element.iter().for_each(|element| put_bytes(out, element));
            }
        }
        put_varint(out, self.more);
        put_varint(out, self.keys.len() as u64);
        for (db, key) in &self.keys {
            out.push(*db);
            put_bytes(out, key);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (id, ms, at) = (from.varint()?, from.u64()?.cast_signed(), from.offset());
        let loss = match from.u8()? {
            0 => Loss::Transaction { bind: dot(from)?, by: dot(from)? },
            1 => superseded(from)?,
            _ => return Err(WireError::Invalid { what: "loss", at }),
        };
        let (more, mut keys) = (from.varint()?, Vec::new());
        for _ in 0..from.varint()? {
            keys.push((from.u8()?, from.bytes()?.to_vec()));
        }
        Ok(Self { id, ms, loss, keys, more })
    }
}

fn put_dot(dot: Dot, out: &mut Vec<u8>) {
    out.extend_from_slice(&dot.origin.0.to_le_bytes());
    put_varint(out, dot.seq);
}

fn superseded(from: &mut Reader<'_>) -> Result<Loss, WireError> {
    let (effect, hlc, at) = (dot(from)?, Hlc(from.u64()?), from.offset());
    let op = String::from_utf8_lossy(from.bytes()?).into_owned();
    let element = match from.u8()? {
        0 => None,
        1 => Some(from.bytes()?.to_vec()),
        _ => return Err(WireError::Invalid { what: "element of a loss", at }),
    };
    Ok(Loss::Superseded { effect, hlc, op, element })
}

fn dot(from: &mut Reader<'_>) -> Result<Dot, WireError> {
    Ok(Dot { origin: Origin(from.u64()?), seq: from.varint()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(seq: u64, keys: &[&[u8]]) -> Lost {
        let dot = |node| Dot { origin: Origin::new(node, 1), seq };
        let keys = keys.iter().map(|key| (3, key.to_vec())).collect();
        Lost { loss: Loss::Transaction { bind: dot(1), by: dot(2) }, keys }
    }

    fn open(dir: &tempfile::TempDir) -> Undone {
        Undone::open(dir.path(), None).expect("a journal")
    }

    #[test]
    fn a_loss_is_reported_once_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let undone = open(&dir);
        let first = undone.report(7, vec![lost(1, &[b"a", b""]), lost(1, &[b"a", b""]), lost(2, &[])]).expect("kept");
        assert_eq!(first.iter().map(|report| report.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!((first[0].ms, &first[0].loss), (7, &lost(1, &[]).loss));
        assert_eq!((&first[0].keys[..], first[0].more), (&[(3, b"a".to_vec()), (3, Vec::new())][..], 0));
        drop(undone);
        let undone = open(&dir);
        assert_eq!((undone.since(0, 9), undone.reported()), (first.clone(), 0));
        assert_eq!(undone.report(8, vec![lost(2, &[])]).expect("kept"), []);
        let third = undone.report(9, vec![lost(3, &[])]).expect("kept");
        assert_eq!((third[0].id, undone.reported()), (3, 1));
        assert_eq!((undone.since(1, 1), undone.since(2, 9), undone.since(3, 9)), (first[1..].to_vec(), third, vec![]));
    }

    /// A journal of which the next sync fails, and no other.
    struct FailsOnce(bool);

    impl Journal for FailsOnce {
        fn append(&mut self, _: &[u8]) -> Result<(), JournalError> {
            Ok(())
        }

        fn sync(&mut self) -> Result<(), JournalError> {
            if std::mem::take(&mut self.0) { Err(JournalError::Failed) } else { Ok(()) }
        }

        fn bytes(&self) -> u64 {
            0
        }

        fn replace(&mut self, _: &[Vec<u8>]) -> Result<(), JournalError> {
            Ok(())
        }
    }

    #[test]
    fn what_could_not_be_made_durable_is_not_taken_for_reported() {
        let undone = Undone::of(FailsOnce(true), &[]).expect("it is empty");
        for _ in 0..2 {
            assert!(undone.report(7, vec![lost(1, &[b"a"])]).is_err());
        }
        assert_eq!(undone.reported(), 0);
    }

    #[test]
    fn what_is_kept_is_bounded_and_numbers_go_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let undone = open(&dir);
        let all = UNDONE_REPORTS as u64 + 5;
        let many = (1..=all).map(|seq| lost(seq, &[&[7; 600]])).collect();
        undone.report(0, many).expect("kept");
        assert_eq!(undone.since(0, 1)[0].id, 6);
        assert!(undone.0.lock().journal.bytes() < 8 << 20, "it was written anew");
        let large = vec![1; REPORT_BYTES / 2];
        let wide = undone.report(0, vec![lost(all + 1, &[&large, &large, b"x", b"y"])]).expect("kept");
        assert_eq!((wide[0].keys.len(), wide[0].more), (2, 2));
        undone.report(0, (2..=40).map(|seq| lost(all + seq, &[&large, &large])).collect()).expect("kept");
        assert!(undone.0.lock().bytes <= UNDONE_BYTES);
        let kept = undone.since(0, usize::MAX);
        let known = undone.0.lock().known.len();
        assert_eq!((kept.last().map(|report| report.id), known), (Some(all + 40), kept.len()));
        drop(undone);
        assert_eq!(open(&dir).report(0, vec![lost(1, &[])]).expect("kept")[0].id, all + 41);
    }

    #[test]
    fn what_is_cut_or_of_another_kind_is_refused() {
        let effect = Dot { origin: Origin::new(3, 1), seq: 300 };
        let superseded = |element| Loss::Superseded { effect, hlc: Hlc(1 << 40), op: "hset".to_owned(), element };
        for loss in [lost(9, &[]).loss, superseded(None), superseded(Some(b"field".to_vec()))] {
            let report = Report::new(300, -5, loss, vec![(1, b"k".to_vec())]);
            let mut bytes = Vec::new();
            report.encode(&mut bytes);
            assert_eq!(Report::decode(&mut Reader::new(&bytes)), Ok(report));
            assert!((0..bytes.len()).all(|len| Report::decode(&mut Reader::new(&bytes[..len])).is_err()));
            bytes[10] = 9;
            assert!(Report::decode(&mut Reader::new(&bytes)).is_err());
        }
    }
}
