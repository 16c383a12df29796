//! Which act comes next: all types, small and large values, and everything that concerns many keys at once.

use crate::conn::command;
use crate::rng::Rng;

use super::act::Act;
use super::model::{Bytes, Dbs};

/// Keys of each type in a database.
const KEYS: usize = 10;
/// Fields, members and elements of a collection come from so many.
const PARTS: usize = 400;
/// A deadline that nobody lives to see: the year 2100.
const FAR_MS: i64 = 4_102_444_800_000;

fn key(rng: &mut Rng, letter: char) -> String {
    format!("{letter}{}", rng.below(KEYS))
}

/// Mostly short, sometimes of several sectors, and rarely of many blocks.
fn value(rng: &mut Rng) -> Bytes {
    let len = match rng.below(48) {
        0..=1 => rng.between(40_000, 200_000),
        2..=8 => rng.between(2_000, 20_000),
        9..=17 => rng.between(100, 900),
        _ => rng.between(0, 24),
    };
    let mut bytes = Vec::with_capacity(len + 8);
    // A few of them are all the same byte, zero included: what is there must not be taken for what was never written.
    match rng.below(6) {
        0 => bytes.resize(len, if rng.one_in(2) { 0 } else { 0xff }),
        _ => (0..len.div_ceil(8)).for_each(|_| bytes.extend(rng.bits().to_le_bytes())),
    }
    bytes.truncate(len);
    bytes
}

fn short(rng: &mut Rng) -> Bytes {
    format!("v{}", rng.bits() % 1_000_000).into_bytes()
}

fn part(rng: &mut Rng) -> Bytes {
    format!("p{}", rng.below(PARTS)).into_bytes()
}

fn several<T>(rng: &mut Rng, make: impl Fn(&mut Rng) -> T) -> Vec<T> {
    let count = if rng.one_in(12) { rng.between(50, 200) } else { rng.between(1, 4) };
    (0..count).map(|_| make(rng)).collect()
}

/// A key that is there, and another of its type.
fn pair(rng: &mut Rng, dbs: &Dbs, db: usize) -> Option<(String, String)> {
    let keys: Vec<&String> = dbs.keys(db).collect();
    let from = (*keys.get(rng.below(keys.len().max(1)))?).clone();
    let letter = from.chars().next()?;
    let to = (0..4).map(|_| key(rng, letter)).find(|to| *to != from)?;
    Some((from, to))
}

/// The next act, in database `db` of `dbs`.
pub fn act(rng: &mut Rng, dbs: &Dbs, db: usize) -> Act {
    match rng.below(100) {
        0 => Act::Flush,
        1..=2 => Act::Swap,
        3..=4 => Act::Chore(chore(rng)),
        5..=10 => Act::All((0..rng.between(2, 5)).map(|_| on_a_key(rng)).collect()),
        11..=20 => match (pair(rng, dbs, db), rng.below(4)) {
            (None, _) => on_a_key(rng),
            (Some((from, to)), 0) => Act::Copy { from, to },
            (Some((key, _)), 1) => Act::Move { key },
            (Some((from, to)), _) => Act::Rename { from, to },
        },
        21..=30 => deadline(rng, dbs, db),
        _ => on_a_key(rng),
    }
}

/// The log is rewritten, by command and by its growth, and limits change while it is written.
fn chore(rng: &mut Rng) -> Vec<Bytes> {
    let (name, values) = match rng.below(7) {
        0 => ("auto-aof-rewrite-min-size", ["200kb", "500kb", "1gb"]),
        1 => ("auto-aof-rewrite-percentage", ["10", "50", "100"]),
        2 => ("list-max-listpack-size", ["4", "128", "-2"]),
        3 => ("hash-max-listpack-entries", ["8", "64", "512"]),
        4 => ("large-value-size", ["1kb", "4kb", "1gb"]),
        _ => return command(&["BGREWRITEAOF"]),
    };
    command(&["CONFIG", "SET", name, *rng.pick(&values)])
}

fn deadline(rng: &mut Rng, dbs: &Dbs, db: usize) -> Act {
    let at = FAR_MS + (rng.bits() % 1_000_000_000) as i64;
    let there = pair(rng, dbs, db).map(|(key, _)| key);
    match (there, rng.below(6)) {
        (_, 0) => Act::Brief { key: format!("b{}", rng.below(KEYS)) },
        (_, 1) => Act::SetUntil { key: key(rng, 's'), value: value(rng), deadline: at },
        (Some(key), 2) => Act::Persist { key },
        (Some(key), 3) => Act::Within { key, ms: rng.between(100_000_000, 900_000_000) as i64, deadline: 0 },
        (Some(key), _) => Act::Until { key, deadline: at },
        (None, _) => Act::Set { key: key(rng, 's'), value: value(rng) },
    }
}

fn on_a_key(rng: &mut Rng) -> Act {
    match rng.below(32) {
        0..=5 => Act::Set { key: key(rng, 's'), value: value(rng) },
        6 => Act::Append { key: key(rng, 's'), value: short(rng) },
        7 => Act::Patch { key: key(rng, 's'), offset: rng.below(3_000), value: short(rng) },
        8..=10 => Act::Count { key: key(rng, 'n'), by: rng.between(1, 1000) as i64 - 500 },
        11..=13 => Act::Push { key: key(rng, 'l'), values: several(rng, short), front: rng.one_in(2) },
        14 => Act::Push { key: key(rng, 'l'), values: vec![value(rng)], front: rng.one_in(2) },
        15..=16 => Act::Pop { key: key(rng, 'l'), front: rng.one_in(2) },
        17 => Act::Trim { key: key(rng, 'l'), keep: rng.between(1, 100) },
        18..=20 => Act::Fields { key: key(rng, 'h'), fields: several(rng, |rng| (part(rng), short(rng))) },
        21 => Act::Fields { key: key(rng, 'h'), fields: vec![(part(rng), value(rng))] },
        22 => Act::Unfield { key: key(rng, 'h'), field: part(rng) },
        23..=24 => Act::Join { key: key(rng, 't'), members: several(rng, part) },
        25 => Act::Leave { key: key(rng, 't'), member: part(rng) },
        26..=27 => Act::Score {
            key: key(rng, 'z'),
            members: several(rng, |rng| (part(rng), rng.below(100_000) as i64 - 50_000)),
        },
        28 => Act::Bump { key: key(rng, 'z'), member: part(rng), by: rng.between(1, 50) as i64 },
        29 => Act::Unscore { key: key(rng, 'z'), member: part(rng) },
        _ => {
            let letter = *rng.pick(&['s', 'n', 'l', 'h', 't', 'z']);
            Act::Delete { key: key(rng, letter) }
        }
    }
}
