//! From a file's records to chunks, and the two things that are done with these.

use std::io::Read;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};

use effect::Origin;
use engine::{Engine, Lock, Recycled};
use rdb::{Dump, Record};

use crate::chunk::{Chunk, Stage};
use crate::error::{Error, shown};
use crate::gather::{Gather, Give, Outcome};
use crate::limits::{CHUNKS_AHEAD, PROGRESS_KEYS};
use crate::load::{Loader, WORKSHOP};
use crate::plan::{Databases, Existing, Plan};
use crate::summary::{Done, Summary};

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were read.
    pub bytes: u64,
    /// Keys that were read.
    pub keys: u64,
}

/// An import that did not come to its end.
#[derive(Debug)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// What has been written all the same.
    pub done: Done,
}

/// Reads all of a file and says what it holds. With an engine it also looks whether keys exist already, if that is to be
/// refused.
pub fn check(
    file: impl Read,
    plan: &Plan,
    engine: Option<&Engine>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, Error> {
    let engine = engine.filter(|engine| plan.existing == Existing::Refuse && holds_keys(engine));
    let mut found = Found::default();
    let summary = read(file, plan, Origin::new(0, 0), progress, &mut |chunk| {
        if let Some(engine) = engine {
            found.look(engine, chunk);
        }
        chunk.clear();
        Ok(())
    })?;
    match found.first {
        Some((first, db)) => Err(Error::Exist { keys: found.keys, first, db }),
        None => Ok(summary),
    }
}

/// Brings all of a file into the engine. It commits as it goes; nothing of it need be durable before the engine's log was
/// made so, as closing it does.
pub fn load(
    file: impl Read,
    plan: &Plan,
    engine: &Engine,
    progress: &mut dyn FnMut(Progress),
) -> Result<Summary, Failed> {
    let mut loader = Loader::new(engine, plan.existing);
    if let Err(error) = loader.tidy() {
        return Err(Failed { error, done: loader.done });
    }
    let (full, chunks) = sync_channel::<Chunk>(CHUNKS_AHEAD);
    let (back, empty) = channel::<Chunk>();
    std::thread::scope(|scope| {
        let committing = scope.spawn(move || {
            let result = commit_all(&mut loader, &chunks, &back);
            (result, loader.done)
        });
        let result = read(file, plan, engine.origin(), progress, &mut |chunk| hand_over(chunk, &full, &empty));
        drop(full);
        let (committed, done) = committing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        // If committing failed, reading was only stopped for that.
        match committed.and(result) {
            Ok(summary) => Ok(Summary { done, ..summary }),
            Err(error) => Err(Failed { error, done }),
        }
    })
}

/// Sends a chunk and takes one that has been used.
fn hand_over(chunk: &mut Chunk, full: &SyncSender<Chunk>, empty: &Receiver<Chunk>) -> Result<(), rdb::Error> {
    let next = empty.try_recv().unwrap_or_default();
    full.send(std::mem::replace(chunk, next)).map_err(|_| rdb::Error::Stopped)
}

fn commit_all(
    loader: &mut Loader<'_>,
    chunks: &Receiver<Chunk>,
    back: &std::sync::mpsc::Sender<Chunk>,
) -> Result<(), Error> {
    for mut chunk in chunks {
        loader.load(&chunk)?;
        chunk.clear();
        // Reading may have ended already.
        let _ = back.send(chunk);
    }
    Ok(())
}

/// Keys of a file that exist already.
#[derive(Default)]
struct Found {
    keys: u64,
    first: Option<(String, u8)>,
    recycled: Recycled,
}

impl Found {
    fn look(&mut self, engine: &Engine, chunk: &Chunk) {
        let context = engine.context(Lock::All, 0, engine.now_ms(), &mut self.recycled);
        for entry in chunk.entries.iter().filter(|entry| matches!(entry.stage, Stage::Whole | Stage::First)) {
            context.state.select(entry.db);
            // What cannot be told without loading it is there.
            if context.state.exists(chunk.key(entry)).unwrap_or(true) {
                self.keys += 1;
                self.first.get_or_insert_with(|| (shown(chunk.key(entry)), entry.db));
            }
        }
    }
}

/// Whether there is any key.
pub fn holds_keys(engine: &Engine) -> bool {
    (0..=u8::MAX).any(|db| engine.key_counts(db).keys > 0)
}

/// Reads all of a file.
fn read(
    file: impl Read,
    plan: &Plan,
    origin: Origin,
    progress: &mut dyn FnMut(Progress),
    give: Give<'_>,
) -> Result<Summary, Error> {
    let mut dump = Dump::open(file).map_err(Error::File)?;
    let mut summary = Summary { version: dump.version(), ..Summary::default() };
    let mut gather = Gather::new(origin, plan.now_ms, give);
    let mut databases = Databases::new(plan);
    let (mut number, mut db) = (0, None);
    let mut keys = 0;
    loop {
        match dump.next_record().map_err(Error::File)? {
            Record::Aux(name) => summary.aux(&name, dump.aux()),
            Record::Database(n) => {
                (number, db) = (n, None);
            }
            Record::Expect(_) => {}
            Record::Foreign(what, name) => summary.leave_out(what, name),
            Record::Key { kind, deadline } => {
                let db = match db {
                    Some(db) => db,
                    None => *db.insert(databases.target(number)?),
                };
                keys += 1;
                if deadline.is_some_and(|at| at <= plan.now_ms) {
                    summary.expired += 1;
                } else if dump.key() == WORKSHOP {
                    return Err(Error::Reserved(shown(WORKSHOP)));
                } else {
                    match value(&mut dump, &mut gather, (number, db), kind, deadline)? {
                        Outcome::Taken => summary.count(db, kind),
                        Outcome::Expired => summary.expired += 1,
                        Outcome::Empty => summary.empty += 1,
                    }
                }
                if keys % PROGRESS_KEYS == 0 {
                    progress(Progress { bytes: dump.offset(), keys });
                }
            }
            Record::End(checksum) => {
                gather.flush().map_err(Error::File)?;
                (summary.checksum, summary.bytes) = (Some(checksum), dump.offset());
                summary.expired_fields = gather.expired_fields;
                progress(Progress { bytes: dump.offset(), keys });
                return Ok(summary);
            }
        }
    }
}

/// Reads a key's value; `db` is its database in the file and the one here.
fn value<R: Read>(
    dump: &mut Dump<R>,
    gather: &mut Gather<'_>,
    db: (u64, u8),
    kind: effect::Kind,
    deadline: Option<i64>,
) -> Result<Outcome, Error> {
    let begun = gather.begin(db.1, kind, dump.key(), deadline);
    let key = |dump: &Dump<R>| shown(dump.key());
    let outcome = begun.and_then(|()| dump.value(gather)).and_then(|()| gather.end(dump.offset()));
    outcome.map_err(|source| match gather.is_twice {
        true => Error::Twice { key: key(dump), db: db.0, kind: kind.name(), offset: dump.offset() },
        false => Error::Value { key: key(dump), db: db.0, source },
    })
}
