//! A committed transaction comes before every plain write that it had not observed: the rows of `docs/merging.md` on transactions, and
//! random ones, whatever came before the verdict and what behind it.

mod support;

use effect::codec::Left;
use effect::reduce::{Event, Reduced};
use effect::{Hlc, Vector};
use proptest::prelude::*;
use support::group::{Entry, Replica, Written};
use support::view::{View, render};

/// When everything happens, in unix ms.
const NOW: i64 = 1_000_000_000;

/// The first three cells; what was there, the transaction, the plain writes; and what is there then.
type Row = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str], &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("`1` | SET k 5 | INCRBY k 10", &["SET k 1"], &["SET k 5"], &["INCRBY k 10"], "15"),
    ("`1` | INCRBY k 10 | SET k 5", &["SET k 1"], &["INCRBY k 10"], &["SET k 5"], "5"),
    ("`ab` | APPEND k c | APPEND k d", &["SET k ab"], &["APPEND k c"], &["APPEND k d"], "abcd"),
    ("`9` | DEL k | INCR k", &["SET k 9"], &["DEL k"], &["INCR k"], "1"),
    ("`1`, EX 100 | SET k 2 EX 50 | EXPIRE k 500", &["SET k 1 EX 100"], &["SET k 2 EX 50"], &["EXPIRE k 500"], "2, 500 s"),
    ("– | SET k 1 EX 50 | INCR k (found no key)", &[], &["SET k 1 EX 50"], &["INCR k"], "2, 50 s"),
    ("{f: 1} | HSET k f 2 | HSET k f 3", &["HSET k f 1"], &["HSET k f 2"], &["HSET k f 3"], "{f: 3}"),
    ("{f: 1} | HINCRBY k f 2 | HSET k f 10", &["HSET k f 1"], &["HINCRBY k f 2"], &["HSET k f 10"], "{f: 10}"),
    ("{f: 1} | HSET k f 2 | DEL k", &["HSET k f 1"], &["HSET k f 2"], &["DEL k"], "no key"),
    ("– | HSET k g 1 | HSET k f 2 (found no key)", &[], &["HSET k g 1"], &["HSET k f 2"], "{f: 2; g: 1}"),
    ("{f: 1} | HSET k g 2 | DEL k; HSET k h 3", &["HSET k f 1"], &["HSET k g 2"], &["DEL k", "HSET k h 3"], "{h: 3}"),
    ("{f: 1}, EX 100 | HSET k g 2 | HDEL k f; HSET k f 3 (found no key)", &["HSET k f 1", "EXPIRE k 100"], &["HSET k g 2"], &["HDEL k f", "HSET k f 3"], "{f: 3; g: 2}, 100 s"),
    ("`5`, EX 50 | PERSIST k | a minute later: INCR k (found it expired)", &["SET k 5 EX 50"], &["PERSIST k"], &[LATER, "INCR k"], "1"),
    ("{x} | SADD k y | SREM k x; SADD k z", &["SADD k x"], &["SADD k y"], &["SREM k x", "SADD k z"], "{y; z}"),
    ("{m: 1} | ZADD k 10 m | ZINCRBY k 2 m", &["ZADD k 1 m"], &["ZADD k 10 m"], &["ZINCRBY k 2 m"], "<m: 12>"),
    ("[x, y] | LSET k 0 a | LSET k 0 b", &["RPUSH k x y"], &["LSET k 0 a"], &["LSET k 0 b"], "[b; y]"),
    ("[x, y] | LPOP k | LSET k 0 b", &["RPUSH k x y"], &["LPOP k"], &["LSET k 0 b"], "[y]"),
    ("– | SADD k x | HSET k f v", &[], &["SADD k x"], &["HSET k f v"], "{f: v}"),
    ("{f: 1} | DEL k; SADD k x | SET k v", &["HSET k f 1"], &["DEL k", "SADD k x"], &["SET k v"], "v"),
];

/// A minute passes.
const LATER: &str = "LATER";

/// What there is, in the order in which it comes: whatever had been observed of what is behind it stands before it.
struct Scene {
    /// What the transaction had observed.
    before: Vec<Entry>,
    transaction: Written,
    context: Vector,
    /// What it leaves.
    left: Option<Left>,
    /// What it had not.
    plain: Vec<Entry>,
}

impl Scene {
    /// The state of who heard of the verdict behind so many plain writes.
    fn arrive(&self, before_verdict: usize, folds: bool) -> Reduced {
        let mut key = Reduced::new();
        self.before.iter().for_each(|entry| entry.show(|event| key.take_in(event)));
        if folds {
            key.forget(&self.context);
        }
        let (early, late) = self.plain.split_at(before_verdict);
        early.iter().for_each(|entry| entry.show(|event| key.take_in(event)));
        self.commit(&mut key, early);
        for entry in late {
            entry.show(|event| {
                let effect = key.come_behind(event, self.left);
                key.take_in(&Event { effect: &effect, ..*event });
            });
        }
        key
    }

    fn commit(&self, key: &mut Reduced, early: &[Entry]) {
        with(&self.transaction, &mut Vec::new(), &mut |effects| {
            with(early, &mut Vec::new(), &mut |later| key.commit(&self.context, effects, later, self.left, |_| {}));
        });
    }

    fn shown(&self, before_verdict: usize, folds: bool) -> String {
        shown(&self.arrive(before_verdict, folds))
    }
}

fn shown(key: &Reduced) -> String {
    render(View::whole(key).as_ref(), NOW)
}

/// Hands them on as events.
fn with(entries: &[Entry], before: &mut Vec<Event<'_>>, then: &mut dyn FnMut(&[Event<'_>])) {
    match entries.split_first() {
        None => then(before),
        Some((first, rest)) => first.show(|event| {
            let mut more: Vec<Event<'_>> = before.clone();
            more.push(*event);
            with(rest, &mut more, then);
        }),
    }
}

/// The key as it is there.
fn left(replica: &Replica) -> Option<Left> {
    let key = replica.keys.get("k").and_then(Reduced::shown)?;
    Some(Left { kind: key.kind(), deadline: key.deadline })
}

/// The same effects with stamps from that moment on.
fn restamp(entries: &mut [Entry], ms: i64) {
    let mut hlc = Hlc::at_ms(NOW + ms);
    for entry in entries {
        entry.hlc = hlc;
        hlc = hlc.plus(1);
    }
}

fn scene(row: &Row, transaction_ms: i64, plain_knows: bool) -> Scene {
    let (_, before, transaction, plain, _) = row;
    let mut replicas = [1, 2, 3].map(Replica::new);
    for command in *before {
        let written = replicas[0].write(NOW, &[command]);
        replicas[1..].iter_mut().for_each(|replica| replica.receive(&written));
    }
    let context = replicas[1].applied.clone();
    let mut transaction = replicas[1].write(NOW, transaction);
    let mut now = NOW;
    let mut write = |command: &&str| match *command {
        LATER => {
            now += 60_000;
            Vec::new()
        }
        command => replicas[2].write(now, &[command]),
    };
    let mut plain: Vec<Entry> = plain.iter().flat_map(&mut write).collect();
    restamp(&mut transaction, transaction_ms);
    restamp(&mut plain, 1000);
    if plain_knows {
        plain.iter_mut().for_each(|entry| entry.context.add(transaction.last().expect("it writes").dot));
    }
    Scene { before: replicas[0].log.clone(), transaction, context, plain, left: left(&replicas[1]) }
}

#[test]
fn a_committed_transaction_comes_before_what_it_had_not_observed() {
    for row in ROWS {
        for (transaction_ms, plain_knows) in [(500, false), (1500, false), (500, true)] {
            let scene = scene(row, transaction_ms, plain_knows);
            for (early, folds) in (0..=scene.plain.len()).flat_map(|n| [(n, false), (n, true)]) {
                let found = scene.shown(early, folds);
                assert_eq!(found, row.4, "{}: {transaction_ms} {plain_knows}, {early} before, {folds}", row.0);
            }
        }
    }
}

#[test]
fn every_row_of_the_document_has_its_case() {
    let text = include_str!("../../../docs/merging.md");
    let (_, section) = text.split_once("## Transactions").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("another section");
    let rows = section.lines().filter(|line| line.starts_with("| ") && !line.contains("| then |"));
    let first = |row: &str| row.trim_matches('|').split(" | ").take(3).map(str::trim).collect::<Vec<_>>().join(" | ");
    let rows: Vec<String> = rows.map(first).collect();
    assert_eq!(rows, ROWS.iter().map(|row| row.0.to_owned()).collect::<Vec<_>>());
}

const COMMANDS: &[&str] = &[
    "SET k 1",
    "SET k 7 EX 50",
    "SET k 8 KEEPTTL",
    "INCR k",
    "INCRBY k 5",
    "APPEND k x",
    "APPEND k y",
    "SETRANGE k 1 z",
    "DEL k",
    "EXPIRE k 300",
    "EXPIRE k 90",
    "PERSIST k",
    "HSET k f 1",
    "HSET k f 2 g 3",
    "HINCRBY k f 4",
    "HDEL k f",
    "HDEL k g",
    "HEXPIRE k 70 f",
    "SADD k x y",
    "SADD k z",
    "SREM k x",
    "ZADD k 1 m",
    "ZINCRBY k 2 m",
    "ZREM k m",
    "RPUSH k a b",
    "LPUSH k c",
    "LPOP k",
    "LSET k 0 q",
    "LREM k 1 a",
    "LINSERT k AFTER a i",
];

#[derive(Debug, Clone)]
enum Step {
    Write(usize, usize),
    Hear(usize, usize),
    /// Time passes for all.
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3usize, 0..COMMANDS.len()).prop_map(|(at, command)| Step::Write(at, command)),
        3 => (0..3usize, 0..3usize).prop_map(|(from, to)| Step::Hear(from, to)),
        1 => prop_oneof![Just(20_000), Just(60_000), Just(250_000)].prop_map(Step::Pass),
    ]
}

/// Three replicas with clocks apart; one of them begins a transaction in between, which nobody applies.
fn history(steps: &[Step], commands: &[usize], begin: usize) -> Scene {
    let mut replicas = [1, 2, 3].map(Replica::new);
    (replicas[0].skew, replicas[2].skew) = (-5000, 5000);
    let mut sent: Vec<Vec<Written>> = vec![Vec::new(); 3];
    let (mut transaction, mut context) = (Written::new(), Vector::new());
    let (mut remains, mut now) = (None, NOW);
    for (n, step) in steps.iter().enumerate() {
        now += 10;
        if n == begin {
            context = replicas[1].applied.clone();
            let words: Vec<&str> = commands.iter().map(|command| COMMANDS[*command]).collect();
            let mut writer = replicas[1].clone();
            writer.list_owner = !writer.list_owner;
            transaction = writer.write(now, &words);
            remains = left(&writer);
            if let Some(last) = transaction.last() {
                (replicas[1].seq, replicas[1].hlc) = (last.dot.seq, last.hlc);
                replicas[1].applied.add(last.dot);
                sent[1].push(transaction.clone());
            }
        }
        match step {
            Step::Pass(ms) => now += ms,
            Step::Write(at, command) => {
                let written = replicas[*at].write(now, &[COMMANDS[*command]]);
                sent[*at].extend(Some(written).filter(|written| !written.is_empty()));
            }
            Step::Hear(from, to) => {
                let applied = replicas[*to].applied.clone();
                let next = sent[*from].iter().find(|batch| !applied.has(batch[0].dot)).cloned();
                match next.filter(|batch| from != to && replicas[*to].awaits(batch)) {
                    Some(batch) if batch == transaction => {
                        let last = &batch[batch.len() - 1];
                        replicas[*to].applied.add(last.dot);
                        replicas[*to].hlc = replicas[*to].hlc.max(last.hlc);
                    }
                    Some(batch) => replicas[*to].receive(&batch),
                    None => {}
                }
            }
        }
    }
    // In an order of the clocks, which are never behind what was observed.
    let mut all: Vec<Entry> = sent.concat().concat();
    all.retain(|entry| !transaction.contains(entry));
    all.sort_by_key(|entry| effect::Stamp::new(entry.dot, entry.hlc));
    let (before, plain) = all.into_iter().partition(|entry| context.has(entry.dot));
    Scene { before, transaction, context, plain, left: remains }
}

/// As many as `TRANSACTION_CASES` says.
fn cases() -> u32 {
    std::env::var("TRANSACTION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_when_the_verdict_comes(
        steps in prop::collection::vec(step(), 4..40),
        commands in prop::collection::vec(0..COMMANDS.len(), 1..4),
        begin in 0..20usize,
    ) {
        let scene = history(&steps, &commands, begin.min(steps.len() - 1));
        let first = scene.shown(0, false);
        for early in 0..=scene.plain.len() {
            prop_assert_eq!(&scene.shown(early, false), &first, "{} came before the verdict", early);
        }
        // A serial execution on a plain value.
        let mut serial = Reduced::new();
        scene.before.iter().chain(&scene.transaction).for_each(|entry| entry.show(|event| serial.take_in(event)));
        let mut all = scene.context.clone();
        scene.transaction.iter().for_each(|entry| all.add(entry.dot));
        serial.forget(&all);
        if scene.plain.is_empty() {
            prop_assert_eq!(shown(&serial), first);
        }
    }
}
