//! A replica that wrote alone and was given up: it starts from nothing and writes again what the others never got. The table is that of
//! `docs/merging.md`, "What is written again".

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use effect::Vector;
use engine::backup::{Making, Whose};
use engine::{Engine, Step, Superseded};

use super::group::{Group, NOW_MS, REPLICAS, Replica, keyspaces, open, options, run, words};

/// What all have seen; what the one that is given up writes alone; what the others write meanwhile, and whether that is later (`None`: both); what
/// each key is then, as `look` says it; what is superseded.
type Row = (&'static str, &'static str, &'static str, Option<bool>, &'static str, &'static str);

const ROWS: &[Row] = &[
    // What adds.
    ("set s 1", "incrby s 5", "incr s", None, "s=7", ""),
    ("set s 1", "incrbyfloat s 0.5", "incr s", None, "s=2.5", ""),
    ("set s 1", "incrby s 5", "set s 10", None, "s=15", ""),
    ("set s 1", "incrby s 5", "del s", None, "s=5", ""),
    ("set s ab", "append s c", "set s x", None, "s=xc", ""),
    ("", "incr s;incr s;incr s", "incr s", None, "s=4", ""),
    ("sadd m x", "sadd m y", "sadd m z", None, "m=x y z", ""),
    ("sadd m x", "sadd m y", "del m", None, "m=y", ""),
    ("rpush l x", "rpush l a;rpush l b", "rpush l c", None, "l=x a b c", ""),
    ("rpush l x", "lpush l a", "rpush l c", None, "l=a x c", ""),
    ("rpush l x y", "linsert l before y a", "lpop l", None, "l=a y", ""),
    ("hset h f 1", "hincrby h f 2", "hset h f 10", None, "h=f 12", ""),
    ("hset h f 1", "hset h g 2", "hset h f 3", None, "h=f 3 g 2", ""),
    ("zadd z 1 m", "zincrby z 2 m", "zadd z 10 m", None, "z=m 12", ""),
    ("zadd z 1 m", "zadd z 2 n", "zadd z 3 m", None, "z=n 2 m 3", ""),
    // What takes the place of something.
    ("set s 1", "set s 2", "get none", None, "s=2", ""),
    ("set s 1", "set s 2", "set s 3", Some(true), "s=3", "set s"),
    ("set s 1", "set s 2", "set s 3", Some(false), "s=2", ""),
    ("set s 1", "set s 2", "del s", None, "s=2", ""),
    ("set s 1", "set s 2;set s 4", "set s 3", Some(true), "s=3", "set s,set s"),
    ("set s 1", "set s 2;set s 4", "set s 3", Some(false), "s=4", ""),
    ("set s 1", "set s 2;set s 4", "get none", None, "s=4", ""),
    ("hset h f 1 g 1", "hset h f 2;hset h g 3", "get none", None, "h=f 2 g 3", ""),
    ("zadd z 1 m 2 n", "zadd z 3 m;zrem z n", "get none", None, "z=m 3", ""),
    ("set s 1", "expire s 300;expire s 500", "get none", None, "s=1 @5", ""),
    ("rpush l x y", "lset l 0 a;lset l 0 b", "get none", None, "l=b y", ""),
    ("set s 1", "set s 2;incr s", "get none", None, "s=3", ""),
    ("set s 1", "set s 2;incr s", "set s 7", Some(true), "s=8", "set s"),
    ("set s ab", "setrange s 0 X", "append s c", Some(true), "s=abc", "setrange s"),
    ("set s ab", "setrange s 0 X", "append s c", Some(false), "s=Xbc", ""),
    ("set s a", "setbit s 7 0", "get none", None, "s=`", ""),
    ("hset h f 1", "hset h f 2", "hset h f 3", Some(true), "h=f 3", "hset h f"),
    ("hset h f 1", "hset h f 2", "hset h f 3", Some(false), "h=f 2", ""),
    ("hset h f 1", "hset h f 2", "hset h g 3", None, "h=f 2 g 3", ""),
    ("hset h f 1", "hset h f 2 e 5", "hset h f 3", Some(true), "h=e 5 f 3", "hset h f"),
    ("hset h f 1 g 1", "hset h f 2", "hset h f 3;hdel h f", Some(true), "h=f 2 g 1", ""),
    ("zadd z 1 m", "zadd z 2 m", "zadd z 3 m", Some(true), "z=m 3", "zadd z m"),
    ("zadd z 1 m", "zadd z 2 m", "zadd z 3 m", Some(false), "z=m 2", ""),
    ("rpush l x y", "lset l 0 a", "lset l 0 b", Some(true), "l=b y", "lset l"),
    ("rpush l x y", "lset l 0 a", "lset l 0 b", Some(false), "l=a y", ""),
    ("rpush l x y", "lset l 0 a", "lpop l", None, "l=y", "lset l"),
    ("sadd m x;sadd n y", "sunionstore m m n", "sadd m z", Some(true), "m=x z; n=y", "restore m"),
    ("sadd m x;sadd n y", "sunionstore m m n", "sadd m z", Some(false), "m=x y; n=y", ""),
    ("rpush l x w;rpush t 1", "copy l t replace", "get none", None, "l=x w; t=x w", ""),
    ("set s 1", "expire s 500", "get none", None, "s=1 @5", ""),
    ("set s 1", "expire s 500", "expire s 700", Some(true), "s=1 @7", "expire s"),
    ("set s 1", "expire s 500", "expire s 700", Some(false), "s=1 @5", ""),
    ("set s 1", "expire s 500", "del s", None, "", "expire s"),
    ("set s 1", "expire s 500", "incr s", None, "s=2 @5", ""),
    ("set s 1", "expire s 500", "set s 2", Some(true), "s=2", "expire s"),
    ("set s 1", "set s 2 ex 500", "incr s", Some(false), "s=2 @5", ""),
    ("hset h f 1", "hexpire h 500 fields 1 f", "hset h f 2", Some(true), "h=f 2", "hexpire h f"),
    ("hset h f 1", "hexpire h 500 fields 1 f", "hset h g 2", None, "h=f 1 g 2 f@5", ""),
    // What takes away.
    ("set s 1", "del s", "get none", None, "", ""),
    ("set s 1", "del s", "set s 2", Some(true), "s=2", "del s"),
    ("set s 1", "del s", "set s 2", Some(false), "", ""),
    ("sadd m x y", "srem m x", "sadd m z", None, "m=y z", ""),
    ("sadd m x y", "srem m x", "srem m x;sadd m x", Some(true), "m=x y", "srem m x"),
    ("hset h f 1 g 1", "hdel h f", "hset h f 2", Some(true), "h=f 2 g 1", "hdel h f"),
    ("hset h f 1 g 1", "hdel h f", "hset h f 2", Some(false), "h=g 1", ""),
    ("zadd z 1 m 2 n", "zrem z m", "zadd z 5 m", Some(true), "z=n 2 m 5", "zrem z m"),
    ("rpush l x y", "lpop l", "rpush l z", None, "l=y z", ""),
    ("rpush l x y", "lpop l", "lpop l", None, "l=y", ""),
    ("set s 1", "flushall", "set t 2", None, "s=1; t=2", "flushall "),
    // Others wrote the whole value.
    ("hset h f 1", "hset h f 2", "hset t f 9;rename t h", Some(true), "h=f 9", "hset h f"),
    ("hset h f 1", "hset h f 2", "hset t f 9;rename t h", Some(false), "h=f 2", ""),
    ("hset h f 1", "hset h f 2", "hset t f 9;copy t h replace", Some(true), "h=f 9; t=f 9", "hset h f"),
    ("hset h f 1", "hset h g 2", "hset t f 9;rename t h", None, "h=f 9 g 2", ""),
    ("hset h f 1", "hset h f 2 g 2", "hset t f 9;rename t h", Some(true), "h=f 9 g 2", "hset h f"),
    ("hset h f 1", "hincrby h f 2", "hset t f 9;rename t h", None, "h=f 11", ""),
    ("hset h f 1 g 1", "hdel h f", "hset t f 9;rename t h", Some(true), "h=f 9", "hdel h f"),
    ("hset h f 1 g 1", "hdel h f", "hset t f 9 g 9;rename t h", Some(false), "h=g 9", ""),
    ("hset h f 1", "hexpire h 500 fields 1 f", "hset t f 9;rename t h", Some(true), "h=f 9", "hexpire h f"),
    ("hset h f 1", "hexpire h 500 fields 1 f", "hset t f 9;rename t h", Some(false), "h=f 9 f@5", ""),
    ("hset h f 1", "expire h 500", "hset t f 9;rename t h", Some(true), "h=f 9", "expire h"),
    ("hset h f 1", "del h", "hset t f 9;rename t h", Some(true), "h=f 9", "del h"),
    ("hset h f 1;hset n f 2", "rename n h", "hset t f 9;rename t h", Some(true), "h=f 9", "restore h"),
    ("zadd z 1 m", "zadd z 2 m", "zadd t 9 m;rename t z", Some(true), "z=m 9", "zadd z m"),
    ("zadd z 1 m", "zadd z 2 m", "zadd t 9 m;rename t z", Some(false), "z=m 2", ""),
    ("zadd z 1 m", "zadd z 2 m", "zadd t 9 m;zunionstore z 1 t", Some(true), "z=m 9; t=m 9", "zadd z m"),
    ("zadd z 1 m", "zadd z 2 n", "zadd t 9 m;rename t z", None, "z=n 2 m 9", ""),
    ("zadd z 1 m", "zincrby z 2 m", "zadd t 9 m;rename t z", None, "z=m 11", ""),
    ("zadd z 1 m 2 n", "zrem z m", "zunionstore z 1 z", Some(true), "z=m 1 n 2", "zrem z m"),
    ("zadd z 1 m 2 n", "zrem z m", "zunionstore z 1 z", Some(false), "z=n 2", ""),
    ("zadd z 1 m 2 n", "zpopmin z", "zunionstore z 1 z", Some(true), "z=m 1 n 2", "zrem z m"),
    ("sadd m x y", "srem m x", "sunionstore m m", Some(true), "m=x y", "srem m x"),
    ("sadd m x y", "srem m x", "sunionstore m m", Some(false), "m=y", ""),
    ("sadd m x", "sadd m y", "sadd t z;rename t m", None, "m=y z", ""),
    ("rpush l x y", "lset l 0 a", "copy l t;rename t l", Some(true), "l=x y", "lset l"),
    ("rpush l x y", "lpop l", "copy l t;rename t l", Some(true), "l=x y", ""),
    ("rpush l x y", "rpush l a", "rpush t b;rename t l", None, "l=b a", ""),
    ("set s 1", "set s 2", "set t 3;rename t s", Some(true), "s=3", "set s"),
    ("set s 1", "set s 2", "set t 3;rename t s", Some(false), "s=2", ""),
    // Types, batches, databases.
    ("", "sadd t x", "set t v", Some(true), "t=v", "sadd t"),
    ("", "sadd t x", "set t v", Some(false), "t=x", ""),
    ("set t v", "del t;sadd t x", "get none", None, "t=x", ""),
    ("rpush l a", "rename l n", "rpush l b", Some(true), "n=a; l=a b", "del l"),
    ("set s 9", "set s 1;swapdb 0 1", "get none", None, "", ""),
    // Keyspaces of the group.
    ("set s 1", "keyspace set a x unsafe", "get none", None, "s=1; a x unsafe", ""),
    ("set s 1", "keyspace set a x unsafe;keyspace set a y safe", "get none", None, "s=1; a y safe", ""),
    (
        "keyspace set a x safe",
        "keyspace set a y unsafe",
        "keyspace set a z safe",
        Some(true),
        "a z safe",
        "keyspace|set a",
    ),
    ("keyspace set a x safe", "keyspace set a y unsafe", "keyspace set a z safe", Some(false), "a y unsafe", ""),
    ("keyspace set a x safe", "keyspace set a y unsafe", "keyspace del a", None, "a y unsafe", ""),
    ("keyspace set a x safe", "keyspace del a", "keyspace set a y unsafe", Some(true), "a y unsafe", "keyspace|del a"),
    ("keyspace set a x safe", "keyspace del a", "keyspace set a y unsafe", Some(false), "", ""),
    ("keyspace set a x safe", "keyspace del a", "keyspace del a", None, "", ""),
    ("", "keyspace set a x safe", "keyspace set b y safe", Some(false), "b y safe, a x safe", ""),
    ("", "keyspace set a x safe", "keyspace set b y safe", Some(true), "a x safe, b y safe", ""),
    ("", "keyspace set a y safe", "keyspace set a x safe;keyspace set b z safe", Some(false), "a y safe, b z safe", ""),
    ("keyspace set default - unsafe", "keyspace set default - safe", "incr s", None, "s=1", ""),
];

/// How a replica comes to what the others have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From their logs.
    Log,
    /// By a copy.
    Copy,
}

/// Whether the process ends after each batch that is written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Steps {
    All,
    CrashAfterEach,
    StopAfterEach,
}

impl Replica {
    /// It gives up what it has, but for what the others lack, and starts with nothing, or with a copy.
    fn give_up(self, delivered: &Vector, copy: Option<&Engine>) -> Self {
        let Self { executor, id, clock, dir, sent, .. } = self;
        let engine = Arc::clone(executor.engine());
        engine.set_open(false);
        // Each is as good as once: what it makes is the same.
        let first = engine.keep_aside(delivered).expect("its log is whole");
        assert_eq!(engine.keep_aside(delivered).expect("its log is whole"), first);
        let new = tempfile::tempdir().expect("a temporary directory can be made");
        engine.make_nothing(new.path(), b"a member that was").expect("it can be written");
        if let Some(copy) = copy {
            std::fs::remove_file(new.path().join("identity")).expect("it is there");
            make_copy(copy, new.path(), id, &clock);
            engine.name_copy(new.path()).expect("it can be written");
        }
        drop((executor, engine));
        if dir.path().join("undelivered").exists() {
            std::fs::rename(dir.path().join("undelivered"), new.path().join("undelivered")).expect("it can be moved");
        }
        Self { sent, ..Self::on(id, &clock, new, None) }
    }

    /// What is in a directory, of which this need not be read: what came with a copy is in no log here.
    fn on(id: usize, clock: &Arc<AtomicI64>, dir: tempfile::TempDir, known: Option<Vector>) -> Self {
        let executor = open(id, clock, dir.path());
        let engine = executor.engine();
        engine.set_replicating(true).expect("the log takes it");
        let synced = engine.log().sync().expect("the log is synced");
        let is_whole = engine.log().first() == wal::Position::START;
        let durable = known.unwrap_or_else(|| engine.vector());
        let known = if is_whole { Vector::new() } else { durable.clone() };
        let feeder = engine.feed(known, false).expect("the log is whole");
        let heard = vec![Vector::new(); REPLICAS];
        Self { executor, feeder, id, clock: Arc::clone(clock), dir, sent: Vec::new(), heard, durable, synced }
    }

    fn begin_anew(self, is_clean: bool) -> Self {
        let Self { executor, id, clock, dir, sent, durable, .. } = self;
        let engine = Arc::clone(executor.engine());
        drop(executor);
        let engine = Arc::into_inner(engine).expect("nobody else has it");
        if is_clean {
            engine.checkpoint().expect("a checkpoint can be taken");
            engine.close().expect("it can be closed");
        } else {
            engine.log().write_out().expect("the log is written");
            drop(engine);
        }
        Self { sent, ..Self::on(id, &clock, dir, Some(durable)) }
    }
}

fn make_copy(of: &Engine, dir: &Path, id: usize, clock: &Arc<AtomicI64>) {
    let base = of.base(&mut || true).expect("a checkpoint can be taken");
    let mut rows = Vec::new();
    base.rows.write_to(&mut rows).expect("they can be read");
    let options = options(id, clock);
    let making = Making::begin(dir, of.hash_seed(), base.position, &mut &rows[..], &options).expect("it is an image");
    making.finish(Whose::Member, base.last, options).expect("it can be opened");
}

fn write_again(mut replica: Replica, steps: Steps) -> (Replica, Vec<Superseded>) {
    let mut superseded = Vec::new();
    for _ in 0..20 {
        let engine = Arc::clone(replica.executor.engine());
        let Some(mut again) = engine.write_again().expect("it can be read") else {
            assert!(!engine.has_undelivered() && !replica.dir.path().join("undelivered").exists());
            return (replica, superseded);
        };
        let most = if steps == Steps::All { 1_000 } else { 1 };
        let tell = &mut |some: &[Superseded]| {
            superseded.extend_from_slice(some);
            Ok(())
        };
        if again.step(&engine, most, tell).expect("the log takes it") == Step::Done {
            again.end(&engine).expect("it is durable");
        } else {
            drop(again);
        }
        drop(engine);
        if steps != Steps::All {
            replica = replica.begin_anew(steps == Steps::StopAfterEach);
        }
    }
    panic!("it is written again and again");
}

/// Runs a row; what every replica shows then, and what was superseded.
fn meet(row: &Row, is_later: bool, way: Way, steps: Steps) -> (Group, String, String) {
    let (before, alone, others, ..) = *row;
    let clock = Arc::new(AtomicI64::new(NOW_MS));
    let mut group = Group((0..REPLICAS).map(|id| Replica::open(id, &clock)).collect());
    let do_all = |group: &mut Group, at: usize, commands: &str| {
        clock.fetch_add(5_000, Ordering::Relaxed);
        commands.split(';').filter(|command| !command.is_empty()).for_each(|command| {
            clock.fetch_add(1, Ordering::Relaxed);
            run(&mut group.0[at].executor, &words(command));
        });
    };
    do_all(&mut group, 2, before);
    group.heal();
    // Checkpoints of before: what a copy has was changed since, or is known to be as old as that.
    group.0[1].executor.engine().checkpoint().expect("a checkpoint can be taken");
    let delivered = group.0[0].vector();
    let turns = if is_later { [(0, alone), (1, others)] } else { [(1, others), (0, alone)] };
    turns.iter().for_each(|(at, commands)| do_all(&mut group, *at, commands));
    group.tell(1, 2);
    clock.fetch_add(5_000, Ordering::Relaxed);
    let given = group.0.remove(0);
    let copy = (way == Way::Copy).then(|| Arc::clone(group.0[0].executor.engine()));
    let given = given.give_up(&delivered, copy.as_deref());
    group.0.insert(0, given);
    group.heal();
    let returned = group.0.remove(0);
    let (returned, mut superseded) = write_again(returned, steps);
    group.0.insert(0, returned);
    // What is told may be told again after a crash.
    superseded.dedup();
    group.heal();
    let told: Vec<String> = superseded.iter().map(text).collect();
    let shown: Vec<String> = (0..REPLICAS).map(|at| show(&mut group.0[at])).collect();
    assert!(shown.iter().all(|one| *one == shown[0]), "{row:?} {is_later} {way:?} {steps:?}: {shown:?}");
    (group, shown[0].clone(), told.join(","))
}

fn text(superseded: &Superseded) -> String {
    let Superseded { key, element, op, .. } = superseded;
    let element = element.iter().map(|element| format!(" {}", element.escape_ascii()));
    format!("{op} {}{}", key.escape_ascii(), element.collect::<String>())
}

/// What keys are, exactly; of deadlines hundreds of seconds.
fn show(replica: &mut Replica) -> String {
    let mut ask = |command: String| {
        let said = run(&mut replica.executor, &words(&command));
        let is_word = |word: &&str| !word.is_empty() && !word.starts_with(['*', '$']);
        said.split(' ').filter(is_word).map(|word| word.trim_start_matches([':', '+']).to_owned()).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for key in ["s", "h", "m", "n", "z", "l", "t"] {
        let mut value = match ask(format!("type {key}"))[0].as_str() {
            "string" => ask(format!("get {key}")),
            "set" => ask(format!("smembers {key}")),
            "zset" => ask(format!("zrange {key} 0 -1 withscores")),
            "list" => ask(format!("lrange {key} 0 -1")),
            "hash" => ask(format!("hgetall {key}")),
            _ => continue,
        };
        if key == "m" {
            value.sort_unstable();
        }
        if key == "h" {
            let mut fields: Vec<String> = value.chunks(2).map(|pair| pair.join(" ")).collect();
            fields.sort_unstable();
            value = fields;
        }
        let hundreds = |at: &str| at.parse::<i64>().ok().filter(|at| *at > 0).map(|at| (at - NOW_MS) / 100_000);
        value.extend(hundreds(&ask(format!("pexpiretime {key}"))[0]).map(|at| format!("@{at}")));
        if key == "h" {
            value.extend(hundreds(&ask("hpexpiretime h fields 1 f".into())[0]).map(|at| format!("f@{at}")));
        }
        all.push(format!("{key}={}", value.join(" ")));
    }
    all.push(keyspaces(replica.executor.engine()));
    all.retain(|text| !text.is_empty());
    all.join("; ")
}

fn orders(row: &Row) -> Vec<bool> {
    row.3.map_or_else(|| vec![true, false], |is_later| vec![is_later])
}

/// Rows that do not come out as they say.
fn wrong(way: Way, steps: Steps) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_many = |row: &&Row| steps == Steps::All || row.1.contains(';');
    for row in ROWS.iter().filter(is_many) {
        for is_later in orders(row) {
            let (mut group, shown, told) = meet(row, is_later, way, steps);
            // Of what has come in a copy it is not known which part of it was written how late.
            let is_reported = way == Way::Copy && row.2 != "get none" && !told.is_empty();
            if (shown != row.4 || told != row.5) && !is_reported {
                wrong.push(format!("{row:?}, {is_later}: {shown} | {told}"));
            }
            if way == Way::Log && steps == Steps::All {
                group.check().unwrap_or_else(|error| panic!("{row:?}: {error}"));
            }
        }
    }
    wrong
}

#[test]
fn what_the_others_never_got_is_written_again_by_the_rules() {
    assert_eq!(wrong(Way::Log, Steps::All), [""; 0]);
}

#[test]
fn what_is_not_known_to_be_earlier_counts_as_later() {
    assert_eq!(wrong(Way::Copy, Steps::All), [""; 0]);
}

#[test]
fn a_process_that_ends_between_two_batches_writes_none_of_them_twice() {
    assert_eq!(wrong(Way::Log, Steps::CrashAfterEach), [""; 0]);
    assert_eq!(wrong(Way::Log, Steps::StopAfterEach), [""; 0]);
    assert_eq!(wrong(Way::Copy, Steps::CrashAfterEach), [""; 0]);
}

#[test]
fn what_it_writes_and_its_own_checkpoints_make_nothing_later() {
    assert_eq!(wrong(Way::Copy, Steps::StopAfterEach), [""; 0]);
    for row in ROWS {
        for is_later in orders(row) {
            let [at_once, with_checkpoints] = [Steps::All, Steps::StopAfterEach].map(|steps| {
                let (_, shown, told) = meet(row, is_later, Way::Copy, steps);
                (shown, told)
            });
            assert_eq!(at_once, with_checkpoints, "{row:?}, {is_later}");
        }
    }
}
