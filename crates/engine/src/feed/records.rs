//! The log record by record, with what those who lack some of it must be told: one origin's from a number on, or all that comes from now on.

use std::collections::HashMap;
use std::sync::Arc;

use effect::wire::Reader as Bytes;
use effect::{Batches, Dot, Hlc, Origin, Vector, WireError};
use wal::{Position, Reader};

use crate::engine::{Engine, RECORD_BATCHES, Shared};
use crate::feed::{FeedError, Waymark};

/// A record, or what of it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its first effect.
    pub first: Dot,
    /// How many effects.
    pub count: u64,
    /// The timestamp of the first one.
    pub hlc: Hlc,
    /// The timestamp of the last one.
    pub last_hlc: Hlc,
    /// What its writer had applied of other origins before it, as far as the record before it of that origin did not say so, if
    /// that was read as well.
    pub grown: Vector,
    /// Its batches. None where only this node's own are asked for, and this is another's.
    pub bytes: Arc<[u8]>,
}

/// Reads them; at the end of what is written it waits for more.
pub struct Records {
    reader: Reader,
    course: Course,
}

/// What a reader knows of what it has read.
struct Course {
    shared: Arc<Shared>,
    wanted: Wanted,
    /// What stands before the reader.
    vector: Vector,
    /// What the last record of each other origin said that its writer had applied.
    contexts: HashMap<Origin, Vector>,
    /// The context of the last record that was told.
    last: Option<Vector>,
}

enum Wanted {
    /// One origin's, from this number on.
    Of(Origin, u64),
    /// All that is not in here.
    Behind(Vector),
}

/// Where a record begins and ends.
struct Outline {
    first: Dot,
    hlc: Hlc,
    last: Dot,
    last_hlc: Hlc,
    context: Option<Vector>,
}

impl Engine {
    /// All records from now on; of others only that they are there.
    pub fn records(&self) -> Result<Records, FeedError> {
        let known = self.vector();
        let origins: Vec<Origin> = known.iter().map(|dot| dot.origin).collect();
        let mark = self.shared.log.lock().state().waymarks.before(&known, origins.into_iter());
        self.read_from(mark, Wanted::Behind(known))
    }

    /// An origin's records, from its effect `from` on.
    pub fn records_of(&self, origin: Origin, from: u64) -> Result<Records, FeedError> {
        let known = Vector::from_iter([Dot { origin, seq: from.saturating_sub(1) }]);
        let mark = self.shared.log.lock().state().waymarks.before(&known, [origin].into_iter());
        self.read_from(mark, Wanted::Of(origin, from))
    }

    fn read_from(&self, mark: Result<Waymark, (Dot, u64)>, wanted: Wanted) -> Result<Records, FeedError> {
        let Waymark { position, vector, contexts } =
            mark.map_err(|(dot, first)| FeedError::Gone { origin: dot.origin.0, since: dot.seq, first })?;
        let shared = Arc::clone(&self.shared);
        let reader = shared.log.reader(position)?;
        Ok(Records { reader, course: Course { shared, wanted, vector, contexts, last: None } })
    }
}

impl Records {
    /// The next one; none at the end of what is written, where it can be asked again.
    pub fn next_record(&mut self) -> Result<Option<Told>, FeedError> {
        while let Some(record) = self.reader.next()? {
            if record.kind != RECORD_BATCHES {
                continue;
            }
            let position = record.start.get();
            let told = Outline::of(record.payload).and_then(|outline| match outline {
                Some(outline) => self.course.pass(outline, record.payload),
                None => Ok(None),
            });
            if let Some(told) = told.map_err(|source| FeedError::Record { position, source })? {
                return Ok(Some(told));
            }
        }
        Ok(None)
    }

    /// Where in the log it is.
    pub fn position(&self) -> Position {
        self.reader.position()
    }
}

impl Outline {
    /// Of the batches behind the first one only sizes, gaps and counts are read: the log's checksum says that the rest is what was written.
    fn of(record: &[u8]) -> Result<Option<Self>, WireError> {
        let mut batches = Batches::decode(record);
        let Some(batch) = batches.next().transpose()? else { return Ok(None) };
        let (first, hlc, context) = (batch.first, batch.hlc, batch.context_vector());
        let (mut seq, mut ticks) = (first.seq.checked_add(batch.len()), hlc.0.checked_add(batch.len()));
        let mut followers = Bytes::new(&record[batches.offset()..]);
        while followers.remaining() > 0 {
            let gap = followers.varint()?;
            let count = Bytes::new(followers.bytes()?).varint()?;
            seq = seq.and_then(|seq| seq.checked_add(count));
            ticks = ticks.and_then(|ticks| ticks.checked_add(gap)?.checked_add(count));
        }
        let before = |next: Option<u64>| next.and_then(|next| next.checked_sub(1));
        match (before(seq), before(ticks)) {
            (Some(seq), Some(ticks)) => {
                let (last, last_hlc) = (Dot { seq, ..first }, Hlc(ticks));
                Ok(Some(Self { first, hlc, last, last_hlc, context }))
            }
            _ => Err(WireError::Invalid { what: "number of effects", at: 0 }),
        }
    }
}

impl Course {
    /// Goes past a record, and tells of it if it is wanted.
    fn pass(&mut self, outline: Outline, record: &[u8]) -> Result<Option<Told>, WireError> {
        let Outline { first, hlc, last, last_hlc, context } = outline;
        let origin = first.origin;
        if let Some(said) = context {
            self.contexts.insert(origin, said);
        }
        let is_own = origin == self.shared.origin();
        let (from, has_bytes) = match &self.wanted {
            Wanted::Of(wanted, from) => (if *wanted == origin { *from } else { u64::MAX }, true),
            Wanted::Behind(known) => (known.get(origin) + 1, is_own),
        };
        let mut told = None;
        if last.seq >= from {
            let grown = if has_bytes { self.grown(origin) } else { Vector::new() };
            let (begin, hlc, bytes) = match first.seq < from {
                _ if !has_bytes => (first.seq.max(from), hlc, Arc::default()),
                false => (first.seq, hlc, Arc::from(record)),
                true => rest(record, from)?,
            };
            let first = Dot { seq: begin, ..first };
            told = Some(Told { first, count: last.seq + 1 - begin, hlc, last_hlc, grown, bytes });
        }
        self.vector.add(last);
        Ok(told)
    }

    /// By what the context of a record that begins here is more than that of the one that was told before.
    fn grown(&mut self, origin: Origin) -> Vector {
        let mut context = self.contexts.get(&origin).unwrap_or(&self.vector).clone();
        context.remove(origin);
        let grown = self.last.as_ref().map_or_else(|| context.clone(), |last| context.since(last).collect());
        self.last = Some(context);
        grown
    }
}

/// The batches of a record from an effect on, as a record.
fn rest(record: &[u8], from: u64) -> Result<(u64, Hlc, Arc<[u8]>), WireError> {
    let (mut bytes, mut begin, mut end) = (Vec::new(), None, None);
    for batch in Batches::decode(record) {
        let batch = batch?;
        if batch.first.seq + batch.len() <= from {
            continue;
        }
        match &end {
            None => batch.begin_record(None, &mut bytes),
            Some(end) => batch.extend_record(end, &mut bytes),
        }
        begin.get_or_insert((batch.first.seq, batch.hlc));
        end = Some(batch.record_end());
    }
    let (seq, hlc) = begin.unwrap_or((from, Hlc(0)));
    Ok((seq, hlc, bytes.into()))
}

#[cfg(test)]
mod tests {
    use effect::{Deadline, Op};

    use super::*;
    use crate::{Lock, Options, Received, Recycled};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn open(dir: &std::path::Path, node: u8) -> Engine {
        let mut entropy = [7; 22];
        entropy[..6].copy_from_slice(&[0, 0, 0, 0, 0, node]);
        let engine = Engine::open(dir, Options::new(Arc::new(|| NOW_MS), entropy)).unwrap();
        engine.set_replicating(true).unwrap();
        engine
    }

    fn set(engine: &Engine, key: &str) {
        let mut recycled = Recycled::new();
        let mut context = engine.context(Lock::All, 0, NOW_MS, &mut recycled);
        context.out.emit(key.as_bytes(), false, Op::Set { value: b"v", deadline: Deadline::Clear });
        context.commit().unwrap();
    }

    fn all(mut records: Records) -> Vec<Told> {
        std::iter::from_fn(|| records.next_record().unwrap()).collect()
    }

    fn receive(engine: &Engine, told: &Told, context: &Vector) {
        for batch in Batches::decode(&told.bytes) {
            assert!(matches!(engine.receive(&batch.unwrap(), context).unwrap(), Received::Applied(_)));
        }
    }

    #[test]
    fn a_record_is_told_from_the_effect_on_that_is_asked_for() {
        let dirs: [_; 2] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let (a, b) = (open(dirs[0].path(), 1), open(dirs[1].path(), 2));
        let own = a.origin();
        // All of them are one record.
        (0..5).for_each(|n| set(&a, &format!("k{n}")));
        a.log().write_out().unwrap();
        let whole = all(a.records_of(own, 1).unwrap());
        assert_eq!((whole.len(), whole[0].first.seq, whole[0].count), (1, 1, 5));
        let rest = all(a.records_of(own, 3).unwrap());
        assert_eq!((rest.len(), rest[0].first.seq, rest[0].count), (1, 3, 3));
        assert_eq!((rest[0].hlc, rest[0].last_hlc), (whole[0].hlc.plus(2), whole[0].last_hlc));
        let beginning: Vec<_> = Batches::decode(&whole[0].bytes).take(2).collect();
        for batch in beginning {
            assert!(matches!(b.receive(&batch.unwrap(), &Vector::new()).unwrap(), Received::Applied(_)));
        }
        receive(&b, &rest[0], &Vector::new());
        assert_eq!((b.vector(), b.key_counts(0).keys), (a.vector(), 5));
        assert!(all(a.records_of(own, 6).unwrap()).is_empty());
    }

    #[test]
    fn the_end_of_a_record_is_found_without_its_batches() {
        let origin = Origin::new(7, 1);
        let mut buffer = effect::BatchBuf::new(effect::GroupId(0), origin);
        let (mut record, mut seq, mut hlc) = (Vec::new(), 5, Hlc(1000));
        let mut end = None;
        for (batch, (effects, gap)) in [(1, 0), (3, 4), (200, 0), (1, 300)].into_iter().enumerate() {
            buffer.clear();
            hlc = hlc.plus(gap);
            let op = || Op::Set { value: &[9; 70], deadline: Deadline::Clear };
            let deps = effect::Seq::empty(effect::codec::DotShape);
            let (keyspace, key) = (effect::KeyspaceId::DEFAULT, format!("k{batch}"));
            for _ in 0..effects {
                let key = key.as_bytes();
                buffer.push(&effect::Effect { keyspace, db: 0, key, fresh: false, deps, op: op() });
            }
            record.extend_from_slice(match &end {
                None => buffer.begin_record(seq, hlc),
                Some(end) => buffer.extend_record(end, hlc),
            });
            end = Some(buffer.record_end(seq, hlc));
            let outline = Outline::of(&record).unwrap().unwrap();
            let all: Vec<_> = Batches::decode(&record).collect::<Result<_, _>>().unwrap();
            let last = all.last().unwrap();
            assert_eq!((all.len(), last.len()), (batch + 1, effects));
            assert_eq!((outline.first, outline.hlc), (Dot { origin, seq: 5 }, Hlc(1000)));
            assert_eq!(outline.last.seq, last.first.seq + last.len() - 1);
            assert_eq!(outline.last_hlc, last.hlc.plus(last.len() - 1));
            (seq, hlc) = (seq + effects, hlc.plus(effects));
        }
        record.pop();
        assert!(Outline::of(&record).is_err(), "it is cut");
    }

    #[test]
    fn each_record_says_by_what_its_context_has_grown() {
        let dirs: [_; 2] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let (a, b) = (open(dirs[0].path(), 1), open(dirs[1].path(), 2));
        let mut tail = b.records().unwrap();
        let mut next = || {
            b.log().write_out().unwrap();
            tail.next_record().unwrap()
        };
        set(&b, "mine");
        assert_eq!(next().map(|told| told.grown), Some(Vector::new()));
        set(&a, "theirs");
        a.log().write_out().unwrap();
        receive(&b, &all(a.records_of(a.origin(), 1).unwrap())[0], &Vector::new());
        let passed = next().unwrap();
        assert_eq!((passed.first.origin, passed.bytes.is_empty()), (a.origin(), true));
        set(&b, "behind");
        let grown = next().unwrap().grown;
        assert_eq!(grown, Vector::from_iter([Dot { origin: a.origin(), seq: 1 }]));
        set(&b, "last");
        assert_eq!(next().map(|told| told.grown), Some(Vector::new()), "it has grown by nothing more");
        // Who asks for one in between knows nothing of those before it.
        let asked = all(b.records_of(b.origin(), 3).unwrap());
        assert_eq!((asked[0].first.seq, &asked[0].grown), (3, &grown));
        assert_eq!(next(), None);
    }
}
