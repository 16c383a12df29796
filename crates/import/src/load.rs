//! Commits chunks: the engine's own way of change, as RESTORE takes it.
//!
//! Small values go many to a batch. A collection in pieces is put together under a name of its own, and renamed once it is
//! whole: nobody ever sees a part of it, whatever happens meanwhile. (What is held as cache cannot be renamed; it grows
//! where it stands.)

use effect::{Deadline, Item, ItemValue, Kind, Merge, Op, Part, Side};
use engine::{AtRest, Context, Engine, Lock, Recycled, Stop, unfold};

use crate::chunk::{Chunk, Entry, Stage};
use crate::error::{Error, shown};
use crate::limits::LOAD_TRIES;
use crate::plan::Existing;
use crate::summary::Done;

/// The name under which collections are put together.
pub(crate) const WORKSHOP: &[u8] = b"\0anabranch import: a value that is not complete\0";

/// See the module.
pub(crate) struct Loader<'e> {
    engine: &'e Engine,
    existing: Existing,
    recycled: Recycled,
    pub(crate) done: Done,
    /// The value in pieces that is under way.
    growing: Growing,
}

/// What becomes of a value in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Growing {
    #[default]
    Nothing,
    /// It grows in the workshop; the key was there before, or not.
    Aside(bool),
    /// It grows under its own name.
    InPlace,
    /// Its pieces are passed over.
    Unwanted,
}

/// What came of a try that may have missed a value at rest.
type Try<T> = Result<Result<T, Stop>, Error>;

impl<'e> Loader<'e> {
    pub(crate) fn new(engine: &'e Engine, existing: Existing) -> Self {
        Self { engine, existing, recycled: Recycled::new(), done: Done::default(), growing: Growing::Nothing }
    }

    /// Commits all of a chunk.
    pub(crate) fn load(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let mut entries = &chunk.entries[..];
        while let Some(first) = entries.first() {
            let whole = entries.iter().take_while(|entry| entry.stage == Stage::Whole).count();
            if whole > 0 {
                self.again(chunk, first, |loader| loader.wholes(chunk, &entries[..whole]))?;
            } else {
                self.piece(chunk, first)?;
            }
            entries = &entries[whole.max(1)..];
        }
        Ok(())
    }

    /// Removes what an import has left that was stopped.
    pub(crate) fn tidy(&mut self) -> Result<(), Error> {
        for db in 0..=u8::MAX {
            let mut context = self.engine.context(Lock::All, db, self.engine.now_ms(), &mut self.recycled);
            if context.state.exists(WORKSHOP).is_ok_and(|found| found) {
                context.out.remove(WORKSHOP);
                commit(self.engine, context)?;
            }
        }
        Ok(())
    }

    /// Runs `run` until it misses nothing.
    fn again<T>(&mut self, chunk: &Chunk, entry: &Entry, mut run: impl FnMut(&mut Self) -> Try<T>) -> Result<T, Error> {
        let mut loaded = false;
        for _ in 0..LOAD_TRIES {
            match run(self)? {
                Ok(value) => {
                    if loaded {
                        self.engine.make_room();
                    }
                    return Ok(value);
                }
                Err(Stop::Miss(miss)) => {
                    self.engine
                        .load(&miss, (entry.db, self.engine.now_ms()), std::iter::empty(), &mut AtRest::default())
                        .map_err(|stop| stopped(chunk.key(entry), &stop))?;
                    loaded = true;
                }
                Err(stop) => return Err(stopped(chunk.key(entry), &stop)),
            }
        }
        Err(Error::Stopped { key: shown(chunk.key(entry)), why: "its value is evicted again and again".into() })
    }

    /// Commits whole values as one batch.
    fn wholes(&mut self, chunk: &Chunk, entries: &[Entry]) -> Try<()> {
        let mut done = self.done;
        let engine = self.engine;
        let origin = engine.origin().0;
        let mut context = engine.context(Lock::All, 0, engine.now_ms(), &mut self.recycled);
        for entry in entries {
            let key = chunk.key(entry);
            let found = match look(&mut context, entry.db, key) {
                Ok(found) => found,
                Err(stop) => return Ok(Err(stop)),
            };
            if found && self.existing == Existing::Keep {
                done.kept += 1;
                continue;
            }
            if found && self.existing == Existing::Refuse {
                return Err(Error::Exist { keys: 1, first: shown(key), db: entry.db });
            }
            done.replaced += u64::from(found);
            done.written += 1;
            let (value, deadline) = (chunk.value(entry), entry.deadline.map_or(Deadline::Clear, Deadline::At));
            let op = match entry.kind {
                Kind::String => Op::Set { value, deadline },
                _ => Op::Replace { value: unfold(origin, value), deadline },
            };
            context.out.emit(key, !found, op);
        }
        commit(engine, context)?;
        self.done = done;
        Ok(Ok(()))
    }

    fn piece(&mut self, chunk: &Chunk, entry: &Entry) -> Result<(), Error> {
        if entry.stage == Stage::First {
            self.growing = self.again(chunk, entry, |loader| loader.first(chunk, entry))?;
            return Ok(());
        }
        let in_place = match self.growing {
            Growing::Nothing | Growing::Unwanted => return Ok(()),
            Growing::Aside(_) => false,
            Growing::InPlace => true,
        };
        if !self.again(chunk, entry, |loader| loader.more(chunk, entry, in_place))? {
            self.growing = Growing::Unwanted;
            self.done.evicted += 1;
            self.done.written -= 1;
        }
        match (entry.stage, self.growing) {
            (Stage::Last(count), Growing::Aside(found)) => self.finish(chunk, entry, count, found),
            _ => Ok(()),
        }
    }

    /// Begins a value in pieces.
    fn first(&mut self, chunk: &Chunk, entry: &Entry) -> Try<Growing> {
        let engine = self.engine;
        let key = chunk.key(entry);
        let mut context = engine.context(Lock::All, entry.db, engine.now_ms(), &mut self.recycled);
        let found = match look(&mut context, entry.db, key) {
            Ok(found) => found,
            Err(stop) => return Ok(Err(stop)),
        };
        if found && self.existing == Existing::Keep {
            self.done.kept += 1;
            return Ok(Ok(Growing::Unwanted));
        }
        if found && self.existing == Existing::Refuse {
            return Err(Error::Exist { keys: 1, first: shown(key), db: entry.db });
        }
        let aside = context.out.may_rename(WORKSHOP, key);
        let (name, fresh, deadline) = match aside {
            true => (WORKSHOP, true, None),
            false => (key, !found, entry.deadline),
        };
        let value = unfold(engine.origin().0, chunk.value(entry));
        let deadline = deadline.map_or(Deadline::Clear, Deadline::At);
        context.out.emit(name, fresh, Op::Replace { value, deadline });
        commit(engine, context)?;
        if aside {
            return Ok(Ok(Growing::Aside(found)));
        }
        self.done.written += 1;
        self.done.replaced += u64::from(found);
        Ok(Ok(Growing::InPlace))
    }

    /// Adds a piece; false if a cache has evicted what it would be added to.
    fn more(&mut self, chunk: &Chunk, entry: &Entry, in_place: bool) -> Try<bool> {
        let engine = self.engine;
        let name = if in_place { chunk.key(entry) } else { WORKSHOP };
        let mut context = engine.context(Lock::All, entry.db, engine.now_ms(), &mut self.recycled);
        if in_place {
            // Of what is at rest in a cache's disk tier a part cannot be changed.
            match context.state.entry(name) {
                Ok(None) => return Ok(Ok(false)),
                Ok(Some(_)) => {}
                Err(stop) => return Ok(Err(stop)),
            }
        }
        add(&mut context, name, engine.origin().0, chunk.value(entry));
        commit(engine, context)?;
        Ok(Ok(true))
    }

    /// Gives a value its name, now that it is whole.
    fn finish(&mut self, chunk: &Chunk, entry: &Entry, count: Option<u64>, found: bool) -> Result<(), Error> {
        let engine = self.engine;
        let key = chunk.key(entry);
        let mut context = engine.context(Lock::All, entry.db, engine.now_ms(), &mut self.recycled);
        let is_twice = match (count, stored(&context, entry.kind)) {
            (Some(count), Ok(stored)) => stored != count,
            _ => false,
        };
        if is_twice {
            context.out.remove(WORKSHOP);
            commit(engine, context)?;
            let (key, kind) = (shown(key), entry.kind.name());
            return Err(Error::Twice { key, db: u64::from(entry.db), kind, offset: entry.offset });
        }
        if context.state.exists(WORKSHOP).unwrap_or(true) {
            context.out.rename(WORKSHOP, entry.db, key);
            if entry.deadline.is_some() {
                context.out.emit(key, false, Op::Expire(entry.deadline));
            }
        } else {
            // A hash whose fields have all expired meanwhile.
            context.out.remove(WORKSHOP);
            if found {
                context.out.remove(key);
            }
        }
        commit(engine, context)?;
        self.done.written += 1;
        self.done.replaced += u64::from(found);
        self.growing = Growing::Nothing;
        Ok(())
    }
}

/// Whether a key exists, wherever it is on its way from one keyspace to another.
fn look(context: &mut Context<'_>, db: u8, key: &[u8]) -> Result<bool, Stop> {
    context.select(db);
    if context.is_moving() {
        context.claim(db, key)?;
    }
    context.state.exists(key)
}

/// How many elements the value in the workshop has.
fn stored(context: &Context<'_>, kind: Kind) -> Result<u64, Stop> {
    let state = &context.state;
    let len = match kind {
        Kind::Set => state.set(WORKSHOP)?.map(|set| set.len()),
        Kind::ZSet => state.zset(WORKSHOP)?.map(|zset| zset.len()),
        Kind::Hash => state.hash(WORKSHOP)?.map(|hash| hash.len()),
        Kind::String | Kind::List => None,
    };
    Ok(len.transpose()?.unwrap_or(0) as u64)
}

/// Says that the parts of a folded collection are added to the one at `name`.
fn add(context: &mut Context<'_>, name: &[u8], origin: u64, folded: &[u8]) {
    let folded = unfold(origin, folded);
    let out = &mut context.out;
    let kind = folded.kind();
    let mut items = (kind != Kind::List).then(|| out.items(kind, Merge::LastWriter));
    let (mut values, mut deadlines, mut first) = (out.ids(), out.fields(), None);
    folded.for_each(|part| match (part, &mut items) {
        (Part::Element(at, value), _) => {
            first.get_or_insert(at);
            values.push(value);
        }
        (Part::Field { field, value, deadline }, Some(items)) => {
            items.push(Item { id: field, value: ItemValue::Bytes(value) });
            if deadline.is_some() {
                deadlines.push((field, deadline));
            }
        }
        (Part::Member(id), Some(items)) => items.push(Item { id, value: ItemValue::Member }),
        (Part::Scored(id, score), Some(items)) => items.push(Item { id, value: ItemValue::Score(score) }),
        _ => {}
    });
    if let Some(items) = items {
        let (merge, deadline) = (Merge::LastWriter, Deadline::Clear);
        out.emit(name, false, Op::Put { kind, merge, deadline, items: items.seq() });
        out.recycle(items);
    }
    if !deadlines.is_empty() {
        out.emit(name, false, Op::FieldDeadlines(deadlines.seq()));
    }
    if let Some(first) = first {
        out.emit(name, false, Op::Push { side: Side::Tail, first, values: values.seq() });
    }
    out.recycle(values);
    out.recycle(deadlines);
}

/// Commits, and does what caches need afterwards.
fn commit(engine: &Engine, mut context: Context<'_>) -> Result<(), Error> {
    let after = context.commit()?.after;
    drop(context);
    if let Some(after) = after {
        engine.finish(*after);
    }
    Ok(())
}

fn stopped(key: &[u8], stop: &Stop) -> Error {
    let why = match stop {
        Stop::Error(text) => text.to_string(),
        other => format!("{other:?}"),
    };
    Error::Stopped { key: shown(key), why }
}
