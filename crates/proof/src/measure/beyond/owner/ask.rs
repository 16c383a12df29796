//! Random commands about a key, with the only right reply; the model changes at once, for the server has the same order.

use std::collections::{BTreeMap, VecDeque};

use super::{FAR, FAR_LEFT, Key, Life, Owner};
use crate::conn::{Command, command};
use crate::measure::beyond::expect::Expect;
use crate::measure::beyond::item::{Blob, Item, Kind, name, ok};
use crate::resp::Value;
use crate::rng::Rng;

/// Fields and members that a collection may have.
const NAMES: usize = 48;

/// A list gets no longer.
const LIST_MOST: usize = 64;

type Question = (Command, Expect);

impl Owner {
    /// A command about the key, and what it must be answered.
    pub(super) fn ask(&mut self, number: usize) -> Question {
        let (name, kind) = (self.name(number), Kind::of(number));
        let Self { rng, keys, .. } = self;
        let key = &mut keys[number];
        if rng.one_in(10) {
            let question = about_key(key, &name, kind, rng);
            if matches!(key.life, Life::Dying(_)) {
                self.dying.push(number);
            }
            return question;
        }
        let question = match &mut key.item {
            None if rng.one_in(2) => return missing(&name, kind),
            None => {
                let item = Item::random(kind, rng);
                let question = item.make(&name);
                key.item = Some(item);
                return question;
            }
            Some(Item::Text(blob)) => about_text(blob, &mut key.life, &name, rng),
            Some(Item::Count(count)) => about_count(count, &name, rng),
            Some(Item::Hash(fields)) => about_hash(fields, &name, rng),
            Some(Item::List(items)) => about_list(items, &name, rng),
            Some(Item::Sorted(members)) => about_sorted(members, &name, rng),
        };
        if key.item.as_ref().is_some_and(Item::is_empty) {
            *key = Key { item: None, life: Life::Stays };
        }
        question
    }
}

/// What can be asked about a key of any kind.
fn about_key(key: &mut Key, name: &[u8], kind: Kind, rng: &mut Rng) -> Question {
    let there = key.item.is_some();
    let yes = Expect::int(usize::from(there));
    match rng.below(10) {
        0..=2 => (command(&[b"EXISTS", name]), yes),
        3 => (command(&[b"TYPE", name]), Expect::Is(Value::Simple(if there { kind.word() } else { "none" }.into()))),
        4..=5 => {
            *key = Key { item: None, life: Life::Stays };
            (command(&[b"DEL", name]), yes)
        }
        6 => {
            key.life = if there { Life::Far } else { Life::Stays };
            (command(&[b"EXPIRE", name, FAR.to_string().as_bytes()]), yes)
        }
        7 => {
            let ms = rng.between(1, 50) as u64;
            key.life = if there { Life::Dying(ms) } else { Life::Stays };
            (command(&[b"PEXPIRE", name, ms.to_string().as_bytes()]), yes)
        }
        8 => {
            let left = match key.life {
                Life::Far => Expect::Between(FAR_LEFT, FAR),
                _ => Expect::Is(Value::Int(if there { -1 } else { -2 })),
            };
            (command(&[b"TTL", name]), left)
        }
        _ => {
            let had = key.life == Life::Far;
            key.life = Life::Stays;
            (command(&[b"PERSIST", name]), Expect::int(usize::from(had)))
        }
    }
}

/// Reading what is not there.
fn missing(key: &[u8], kind: Kind) -> Question {
    match kind {
        Kind::Text | Kind::Count => (command(&[b"GET", key]), Expect::bulk(None)),
        Kind::Hash => (command(&[b"HGETALL", key]), Expect::array([])),
        Kind::List => (command(&[b"LRANGE", key, b"0", b"-1"]), Expect::array([])),
        Kind::Sorted => (command(&[b"ZRANGE", key, b"0", b"-1"]), Expect::array([])),
    }
}

fn about_text(blob: &mut Blob, life: &mut Life, key: &[u8], rng: &mut Rng) -> Question {
    match rng.below(10) {
        0..=5 => (command(&[b"GET", key]), Expect::bulk(Some(blob.bytes()))),
        6 => (command(&[b"STRLEN", key]), Expect::int(blob.len as usize)),
        7 => (command(&[b"GETRANGE", key, b"8", b"47"]), Expect::bulk(Some(blob.bytes()[8..48].to_vec()))),
        _ => {
            *blob = Blob::large(rng);
            *life = Life::Stays;
            (command(&[b"SET", key, &blob.bytes()]), Expect::Is(ok()))
        }
    }
}

fn about_count(count: &mut i64, key: &[u8], rng: &mut Rng) -> Question {
    let by = match rng.below(3) {
        0 => return (command(&[b"GET", key]), Expect::bulk(Some(count.to_string().into_bytes()))),
        1 => 1,
        _ => rng.between(2, 1000) as i64,
    };
    *count += by;
    let words = if by == 1 { command(&[b"INCR", key]) } else { command(&[b"INCRBY", key, by.to_string().as_bytes()]) };
    (words, Expect::Is(Value::Int(*count)))
}

fn about_hash(fields: &mut BTreeMap<u16, Blob>, key: &[u8], rng: &mut Rng) -> Question {
    let field = rng.below(NAMES) as u16;
    let text = name(field);
    match rng.below(12) {
        0..=3 => (command(&[b"HGET", key, &text]), Expect::bulk(fields.get(&field).map(|blob| blob.bytes()))),
        4..=6 => {
            let blob = Blob::small(rng);
            let words = command(&[b"HSET", key, &text, &blob.bytes()]);
            (words, Expect::int(usize::from(fields.insert(field, blob).is_none())))
        }
        7..=8 => (command(&[b"HDEL", key, &text]), Expect::int(usize::from(fields.remove(&field).is_some()))),
        9 => (command(&[b"HEXISTS", key, &text]), Expect::int(usize::from(fields.contains_key(&field)))),
        10 => (command(&[b"HLEN", key]), Expect::int(fields.len())),
        _ => Item::Hash(fields.clone()).read(key),
    }
}

fn about_list(items: &mut VecDeque<Blob>, key: &[u8], rng: &mut Rng) -> Question {
    let at = rng.below(LIST_MOST);
    match rng.below(8) {
        0..=2 if items.len() < LIST_MOST => {
            items.push_front(Blob::small(rng));
            (command(&[b"LPUSH", key, &items[0].bytes()]), Expect::int(items.len()))
        }
        0..=4 => (command(&[b"RPOP", key]), Expect::bulk(items.pop_back().map(Blob::bytes))),
        5 => (command(&[b"LLEN", key]), Expect::int(items.len())),
        6 => {
            let word = at.to_string();
            (command(&[b"LINDEX", key, word.as_bytes()]), Expect::bulk(items.get(at).map(|blob| blob.bytes())))
        }
        _ => {
            let words = command(&[b"LRANGE", key, at.to_string().as_bytes(), (at + 9).to_string().as_bytes()]);
            (words, Expect::array(items.iter().skip(at).take(10).map(|blob| blob.bytes())))
        }
    }
}

fn about_sorted(members: &mut BTreeMap<u16, i64>, key: &[u8], rng: &mut Rng) -> Question {
    let member = rng.below(NAMES) as u16;
    let text = name(member);
    match rng.below(8) {
        0..=1 => {
            let score = rng.below(1000) as i64;
            let words = command(&[b"ZADD", key, score.to_string().as_bytes(), &text]);
            (words, Expect::int(usize::from(members.insert(member, score).is_none())))
        }
        2 => (command(&[b"ZREM", key, &text]), Expect::int(usize::from(members.remove(&member).is_some()))),
        3 => {
            let score = members.get(&member).map(|score| score.to_string().into_bytes());
            (command(&[b"ZSCORE", key, &text]), Expect::bulk(score))
        }
        4 => {
            let rank = Item::sorted(members).iter().position(|(other, _)| *other == member);
            (command(&[b"ZRANK", key, &text]), rank.map_or(Expect::bulk(None), Expect::int))
        }
        5 => (command(&[b"ZCARD", key]), Expect::int(members.len())),
        _ => {
            let words = command(&[b"ZRANGE", key, b"5", b"14"]);
            (words, Expect::array(Item::sorted(members).into_iter().skip(5).take(10).map(|(member, _)| name(member))))
        }
    }
}
