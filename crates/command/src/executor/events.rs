//! Which keyspace events a command causes, and in which order: derived from its name, what it emitted, and what its keys
//! were before and are after. No command knows of events.
//!
//! ```text
//! Watched::begin ─▶ expired keys go (`expired`), types are noted ─▶ the command runs ─▶ Watched::tell
//! ```
//! Order and names are those of Redis 7 and, for what it does not have, of Redis 8: `keymiss` of what was looked for,
//! then per change `new` (or `overwritten`, `type_changed`), the command's own event, `expire`, and `del` for what it
//! emptied.

use std::collections::BTreeMap;

use effect::{Deadline, Effect, Kind, Op};
use engine::{Context, EventClass, EventMark, Stop};

use super::Call;
use crate::parse;
use crate::spec::{Flags, Group, Keys};

/// What an effect did, as far as events tell it apart.
#[derive(Debug, Clone, PartialEq)]
enum Did {
    /// A whole string, with a deadline or not.
    Set,
    /// A whole value of any type.
    Replaced,
    Removed,
    Deadline(Option<i64>),
    FieldDeadline(bool),
    /// Elements of a hash, set or sorted set went.
    Dropped,
    /// It moved to another name.
    Renamed(u8, Box<[u8]>),
    /// Some other part changed, or nothing did though it was written.
    Part,
}

/// One effect, or a write that changed nothing.
struct Change {
    db: u8,
    key: Box<[u8]>,
    did: Did,
}

/// Keys of a database, with what they were before the command.
type Seen = BTreeMap<Box<[u8]>, Option<Kind>>;

/// A command whose events are wanted.
pub(super) struct Watched {
    /// By database: the command's own, and the other one that it may name. There may be a million keys in one.
    seen: BTreeMap<u8, Seen>,
    mark: EventMark,
}

impl Watched {
    /// The command is about to run: what of its keys has expired goes, and what they hold is noted.
    pub(super) fn begin(context: &mut Context<'_>, call: &Call<'_>) -> Self {
        let mut seen: BTreeMap<u8, Seen> = BTreeMap::new();
        let dbs = [Some(call.db), other_db(call)];
        for db in dbs.into_iter().flatten() {
            let seen = seen.entry(db).or_default();
            call.spec.keys.each(&call.args, |at| {
                let Some(key) = call.args.get(at).filter(|key| !seen.contains_key(*key)) else { return };
                context.expire_on_access(db, key);
                seen.insert(key.into(), context.peek(db, key));
            });
        }
        Self { seen, mark: context.event_mark() }
    }

    /// The command was refused and all that it did is undone: notes what it looked for up to there.
    pub(super) fn tell_refused(self, context: &mut Context<'_>, call: &Call<'_>, stop: &Stop) {
        if *stop == Stop::WrongType {
            self.tell_misses(context, call, true);
        }
    }

    /// The command has run to its end: notes what happened.
    pub(super) fn tell(mut self, context: &mut Context<'_>, call: &Call<'_>) {
        let changes = changes(context, self.mark);
        context.settle();
        self.tell_misses(context, call, false);
        match call.spec.name {
            "set" | "setex" | "psetex" | "setnx" | "getset" | "mset" | "msetnx" | "msetex" => {
                self.sets(context, call, &changes);
            }
            "copy" | "restore" => self.made(context, call, &changes),
            "rename" | "renamenx" | "move" => self.moved(context, call, &changes),
            "smove" => self.smove(context, &changes),
            "lmove" | "blmove" | "rpoplpush" | "brpoplpush" | "lmovem" | "blmovem" => {
                self.lmove(context, call, &changes);
            }
            "hexpire" | "hpexpire" | "hexpireat" | "hpexpireat" | "hpersist" | "hgetex" | "hsetex" => {
                self.fields(context, call, &changes);
            }
            "increx" => self.increx(context, &changes),
            _ => self.plain(context, call, &changes),
        }
    }

    fn was(&self, db: u8, key: &[u8]) -> Option<Kind> {
        *self.seen.get(&db)?.get(key)?
    }

    /// Tells that a key is new, once.
    fn created(&mut self, context: &mut Context<'_>, db: u8, key: &[u8]) {
        let is = context.peek(db, key);
        if is.is_none() || self.was(db, key).is_some() {
            return;
        }
        context.tell(EventClass::NEW, "new", db, key);
        self.seen.entry(db).or_default().insert(key.into(), is);
    }

    /// Tells of a whole value that took the place of another.
    fn overwritten(&self, context: &mut Context<'_>, db: u8, key: &[u8]) {
        let Some(was) = self.was(db, key) else { return };
        context.tell(EventClass::OVERWRITTEN, "overwritten", db, key);
        if context.peek(db, key).is_some_and(|is| is != was) {
            context.tell(EventClass::TYPE_CHANGED, "type_changed", db, key);
        }
    }

    /// Tells that a collection was emptied, if it was.
    fn emptied(&self, context: &mut Context<'_>, db: u8, key: &[u8]) {
        // A hash of which only expired fields are left goes with them.
        let gone = self.was(db, key).is_some() && context.peek(db, key).is_none();
        if gone && !context.expire_on_access(db, key) {
            context.tell(EventClass::GENERIC, "del", db, key);
        }
    }

    /// Tells of keys that were looked up to be read and were not there; a refused command looked no further than to the
    /// first key of a wrong type.
    fn tell_misses(&self, context: &mut Context<'_>, call: &Call<'_>, refused: bool) {
        if !context.events_wanted().has(EventClass::MISS) {
            return;
        }
        let Some(from) = first_read(call) else { return };
        let accepted = accepted(call.spec.group);
        let only_first = matches!(call.spec.name, "copy" | "sort")
            || matches!(call.spec.keys, Keys::Range { first: 1, last: 1, .. });
        let (mut missed, mut ended) = (Vec::new(), false);
        call.spec.keys.each(&call.args, |at| {
            let Some(key) = call.args.get(at).filter(|_| !ended && at >= from) else { return };
            ended = only_first;
            match self.was(call.db, key) {
                None => missed.push(key),
                Some(kind) => ended |= refused && !accepted.contains(&kind),
            }
        });
        for key in missed {
            context.tell(EventClass::MISS, "keymiss", call.db, key);
        }
    }

    /// SET and its kin: each key is written as a whole.
    fn sets(&mut self, context: &mut Context<'_>, call: &Call<'_>, changes: &[Change]) {
        let expires = gives_deadline(call);
        for change in changes {
            match change.did {
                // DIFFERENCE: where the deadline has passed already the value is never there, so that an old one was
                // removed is all that happens; Redis tells `set` and `expire` and, in time, `expired`.
                Did::Removed => context.tell(EventClass::GENERIC, "del", change.db, &change.key),
                _ => {
                    self.overwritten(context, change.db, &change.key);
                    self.created(context, change.db, &change.key);
                    context.tell(EventClass::STRING, "set", change.db, &change.key);
                    if expires {
                        context.tell(EventClass::GENERIC, "expire", change.db, &change.key);
                    }
                }
            }
        }
    }

    /// COPY and RESTORE: whatever was there goes first, so the key is new in any case.
    fn made(&mut self, context: &mut Context<'_>, call: &Call<'_>, changes: &[Change]) {
        let Some(change) = changes.iter().find(|c| c.did != Did::Part) else { return };
        let (db, key) = (change.db, &change.key);
        if change.did == Did::Removed {
            context.tell(EventClass::GENERIC, "del", db, key);
            return;
        }
        context.tell(EventClass::NEW, "new", db, key);
        let name = if call.spec.name == "copy" { "copy_to" } else { "restore" };
        context.tell(EventClass::GENERIC, name, db, key);
        self.overwritten(context, db, key);
    }

    fn moved(&mut self, context: &mut Context<'_>, call: &Call<'_>, changes: &[Change]) {
        let names = if call.spec.name == "move" { ("move_from", "move_to") } else { ("rename_from", "rename_to") };
        let moved = match changes {
            // Where a cache keyspace is concerned, it is a copy and a removal.
            [.., to, from] if to.did == Did::Replaced && from.did == Did::Removed => {
                Some(((from.db, &from.key), (to.db, &to.key)))
            }
            _ => changes.iter().find_map(|change| match &change.did {
                Did::Renamed(to_db, to) => Some(((change.db, &change.key), (*to_db, to))),
                _ => None,
            }),
        };
        if let Some(((db, key), (to_db, to))) = moved {
            context.tell(EventClass::NEW, "new", to_db, to);
            context.tell(EventClass::GENERIC, names.0, db, key);
            context.tell(EventClass::GENERIC, names.1, to_db, to);
            self.overwritten(context, to_db, to);
        }
    }

    fn smove(&mut self, context: &mut Context<'_>, changes: &[Change]) {
        for change in changes {
            if change.did == Did::Dropped {
                context.tell(EventClass::SET, "srem", change.db, &change.key);
                self.emptied(context, change.db, &change.key);
            } else {
                self.created(context, change.db, &change.key);
                context.tell(EventClass::SET, "sadd", change.db, &change.key);
            }
        }
    }

    /// What moves between lists is pushed first, as those who listen to both ends expect.
    fn lmove(&mut self, context: &mut Context<'_>, call: &Call<'_>, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let (Some(from), Some(to)) = (call.args.get(1), call.args.get(2)) else { return };
        let left = |at: usize| call.args.get(at).is_some_and(|word| parse::is(word, "left"));
        let (pop, push) = match call.spec.name {
            "rpoplpush" | "brpoplpush" => ("rpop", "lpush"),
            _ => (if left(3) { "lpop" } else { "rpop" }, if left(4) { "lpush" } else { "rpush" }),
        };
        self.created(context, call.db, to);
        context.tell(EventClass::LIST, push, call.db, to);
        context.tell(EventClass::LIST, pop, call.db, from);
        self.emptied(context, call.db, from);
    }

    /// Deadlines of fields; a field whose deadline has passed goes at once.
    fn fields(&mut self, context: &mut Context<'_>, call: &Call<'_>, changes: &[Change]) {
        let Some(Change { db, key, .. }) = changes.first() else { return };
        let any = |what: &Did| changes.iter().any(|change| change.did == *what);
        self.created(context, *db, key);
        if any(&Did::Part) {
            context.tell(EventClass::HASH, "hset", *db, key);
            if gives_deadline(call) {
                context.tell(EventClass::HASH, "hexpire", *db, key);
            }
        } else if any(&Did::Dropped) {
            context.tell(EventClass::HASH, "hdel", *db, key);
        } else {
            let name = if any(&Did::FieldDeadline(true)) { "hexpire" } else { "hpersist" };
            context.tell(EventClass::HASH, name, *db, key);
        }
        self.emptied(context, *db, key);
    }

    fn increx(&mut self, context: &mut Context<'_>, changes: &[Change]) {
        for (at, Change { db, key, did }) in changes.iter().enumerate() {
            match did {
                Did::Deadline(Some(_)) => context.tell(EventClass::GENERIC, "expire", *db, key),
                Did::Deadline(None) => context.tell(EventClass::GENERIC, "persist", *db, key),
                Did::Removed => context.tell(EventClass::GENERIC, "del", *db, key),
                _ if at == 0 => {
                    self.created(context, *db, key);
                    context.tell(EventClass::STRING, "incrby", *db, key);
                }
                _ => {}
            }
        }
    }

    /// Everything else: removals and deadlines by effect, one event by the command's name, and what is emptied.
    fn plain(&mut self, context: &mut Context<'_>, call: &Call<'_>, changes: &[Change]) {
        let own = own_event(call);
        let stores = call.spec.name.ends_with("store") || matches!(call.spec.name, "sort" | "bitop");
        let mut told = false;
        for Change { db, key, did } in changes {
            match did {
                // What a command stores may be nothing; what others empty they may remove as a whole.
                Did::Removed if stores || own.is_none() => context.tell(EventClass::GENERIC, "del", *db, key),
                Did::Deadline(Some(_)) => context.tell(EventClass::GENERIC, "expire", *db, key),
                Did::Deadline(None) => context.tell(EventClass::GENERIC, "persist", *db, key),
                _ if told => {}
                _ => {
                    told = true;
                    let Some((class, name)) = own else { continue };
                    if matches!(did, Did::Set | Did::Replaced) {
                        self.overwritten(context, *db, key);
                    }
                    self.created(context, *db, key);
                    context.tell(class, name, *db, key);
                    self.emptied(context, *db, key);
                }
            }
        }
    }
}

/// What was emitted since `mark`, with logical databases, then what was written without being changed.
fn changes(context: &Context<'_>, mark: EventMark) -> Vec<Change> {
    let change = |effect: &Effect<'_>| {
        let did = match effect.op {
            Op::Set { deadline, .. } => {
                debug_assert!(deadline != Deadline::Keep || !effect.fresh, "what is fresh has nothing to keep");
                Did::Set
            }
            Op::Replace { .. } => Did::Replaced,
            Op::Remove => Did::Removed,
            Op::Expire(deadline) => Did::Deadline(deadline),
            Op::FieldDeadlines(fields) => Did::FieldDeadline(fields.iter().any(|(_, deadline)| deadline.is_some())),
            Op::Drop { .. } => Did::Dropped,
            Op::Rename { db, key, .. } => Did::Renamed(context.logical_db(db), key.into()),
            Op::FlushAll | Op::FlushDb | Op::SwapDb(_) => return None,
            _ => Did::Part,
        };
        Some(Change { db: context.logical_db(effect.db), key: effect.key.into(), did })
    };
    let mut changes: Vec<Change> = Vec::new();
    context.each_effect_since(mark, |effect| changes.extend(change(effect)));
    let rewritten = context.rewritten_since(mark);
    changes.extend(rewritten.map(|(db, key)| Change { db, key: key.into(), did: Did::Part }));
    changes
}

/// The types that commands of a family read.
fn accepted(group: Group) -> &'static [Kind] {
    match group {
        Group::String | Group::Bitmap => &[Kind::String],
        Group::List => &[Kind::List],
        Group::Hash => &[Kind::Hash],
        Group::Set => &[Kind::Set],
        Group::SortedSet => &[Kind::Set, Kind::ZSet],
        // SORT, the only one of the others that minds.
        _ => &[Kind::List, Kind::Set, Kind::ZSet],
    }
}

/// The database that MOVE and COPY name.
pub(super) fn other_db(call: &Call<'_>) -> Option<u8> {
    let at = match call.spec.name {
        "move" => 2,
        "copy" => (3..call.args.len()).find(|at| call.args.get(*at).is_some_and(|word| parse::is(word, "db")))? + 1,
        _ => return None,
    };
    let db = call.args.get(at).and_then(resp::parse_i64)?;
    u8::try_from(db).ok().filter(|db| *db != call.db)
}

/// From which argument on keys are looked up to be read, so that a missing one is told of; `None`: they never are.
fn first_read(call: &Call<'_>) -> Option<usize> {
    let word = |word: &str| (3..call.args.len()).any(|at| call.args.get(at).is_some_and(|arg| parse::is(arg, word)));
    match call.spec.name {
        // The introspective ones leave no trace.
        "encoding" | "freq" | "idletime" | "refcount" | "usage" => None,
        "getex" | "getdel" | "getset" | "copy" | "sort" => Some(1),
        "set" => word("get").then_some(1),
        "sinterstore" | "sunionstore" | "sdiffstore" | "zinterstore" | "zunionstore" | "zdiffstore" | "zrangestore" => {
            Some(2)
        }
        "bitop" => Some(3),
        "bitfield" => (!word("set") && !word("incrby")).then_some(1),
        _ => call.spec.flags.has(Flags::READONLY).then_some(1),
    }
}

/// Whether the command gives what it writes a deadline.
fn gives_deadline(call: &Call<'_>) -> bool {
    let options = match call.spec.name {
        "setex" | "psetex" => return true,
        "set" => 3,
        "msetex" => 2 + 2 * call.args.get(1).and_then(resp::parse_i64).map_or(0, |n| n.max(0) as usize),
        "hsetex" => 2,
        _ => return false,
    };
    let mut at = options;
    while let Some(word) = call.args.get(at) {
        let is = |known: &[&str]| known.iter().any(|known| parse::is(word, known));
        if is(&["ex", "px", "exat", "pxat"]) {
            return true;
        }
        if is(&["fields"]) {
            return false;
        }
        // These have an argument, which may look like an option.
        at += if is(&["ifeq", "ifne", "ifdeq", "ifdne"]) { 2 } else { 1 };
    }
    false
}

/// The event that a command causes once, at the first key that it changes or empties.
fn own_event(call: &Call<'_>) -> Option<(EventClass, &'static str)> {
    use EventClass as C;
    Some(match call.spec.name {
        "append" => (C::STRING, "append"),
        "setrange" => (C::STRING, "setrange"),
        "incr" | "decr" | "incrby" | "decrby" => (C::STRING, "incrby"),
        "incrbyfloat" => (C::STRING, "incrbyfloat"),
        "setbit" | "bitfield" => (C::STRING, "setbit"),
        "bitop" => (C::STRING, "set"),
        "lpush" | "lpushx" => (C::LIST, "lpush"),
        "rpush" | "rpushx" => (C::LIST, "rpush"),
        "linsert" => (C::LIST, "linsert"),
        "lset" => (C::LIST, "lset"),
        "ltrim" => (C::LIST, "ltrim"),
        "lrem" => (C::LIST, "lrem"),
        "lpop" | "blpop" => (C::LIST, "lpop"),
        "rpop" | "brpop" => (C::LIST, "rpop"),
        "lmpop" | "blmpop" => (C::LIST, if says(call, "left") { "lpop" } else { "rpop" }),
        "sort" => (C::LIST, "sortstore"),
        "sadd" => (C::SET, "sadd"),
        "srem" => (C::SET, "srem"),
        "spop" => (C::SET, "spop"),
        "sinterstore" => (C::SET, "sinterstore"),
        "sunionstore" => (C::SET, "sunionstore"),
        "sdiffstore" => (C::SET, "sdiffstore"),
        "hset" | "hmset" | "hsetnx" => (C::HASH, "hset"),
        "hincrby" => (C::HASH, "hincrby"),
        "hincrbyfloat" => (C::HASH, "hincrbyfloat"),
        "hdel" | "hgetdel" => (C::HASH, "hdel"),
        "zadd" => {
            let options = 2..call.args.len().min(8);
            let incr = options.map_while(|at| call.args.get(at).filter(|word| is_zadd_option(word)));
            let incr = incr.into_iter().any(|word| parse::is(word, "incr"));
            (C::ZSET, if incr { "zincr" } else { "zadd" })
        }
        "zincrby" => (C::ZSET, "zincr"),
        "zrem" => (C::ZSET, "zrem"),
        "zremrangebyscore" => (C::ZSET, "zremrangebyscore"),
        "zremrangebyrank" => (C::ZSET, "zremrangebyrank"),
        "zremrangebylex" => (C::ZSET, "zremrangebylex"),
        "zpopmin" | "bzpopmin" => (C::ZSET, "zpopmin"),
        "zpopmax" | "bzpopmax" => (C::ZSET, "zpopmax"),
        "zmpop" | "bzmpop" => (C::ZSET, if says(call, "min") { "zpopmin" } else { "zpopmax" }),
        "zinterstore" => (C::ZSET, "zinterstore"),
        "zunionstore" => (C::ZSET, "zunionstore"),
        "zdiffstore" => (C::ZSET, "zdiffstore"),
        "zrangestore" => (C::ZSET, "zrangestore"),
        _ => return None,
    })
}

fn is_zadd_option(word: &[u8]) -> bool {
    ["nx", "xx", "gt", "lt", "ch", "incr"].iter().any(|known| parse::is(word, known))
}

/// Whether the word behind the counted keys is this one. Behind a timeout the count stands one further.
fn says(call: &Call<'_>, word: &str) -> bool {
    let at = if call.spec.flags.has(Flags::BLOCKING) { 2 } else { 1 };
    let keys = call.args.get(at).and_then(resp::parse_i64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    call.args.get(at.saturating_add(keys).saturating_add(1)).is_some_and(|arg| parse::is(arg, word))
}
