//! What a connection asks for, as a command and as what it does to the model.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::conn::{Command, command};

use super::model::{Bytes, Dbs, Entry, Val};

/// One act; whatever names a key means one of its kind, by the first letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Set {
        key: String,
        value: Bytes,
    },
    SetUntil {
        key: String,
        value: Bytes,
        deadline: i64,
    },
    /// It has expired long before anybody looks.
    Brief {
        key: String,
    },
    Append {
        key: String,
        value: Bytes,
    },
    Patch {
        key: String,
        offset: usize,
        value: Bytes,
    },
    Count {
        key: String,
        by: i64,
    },
    Push {
        key: String,
        values: Vec<Bytes>,
        front: bool,
    },
    Pop {
        key: String,
        front: bool,
    },
    Trim {
        key: String,
        keep: usize,
    },
    Fields {
        key: String,
        fields: Vec<(Bytes, Bytes)>,
    },
    Unfield {
        key: String,
        field: Bytes,
    },
    Join {
        key: String,
        members: Vec<Bytes>,
    },
    Leave {
        key: String,
        member: Bytes,
    },
    Score {
        key: String,
        members: Vec<(Bytes, i64)>,
    },
    Bump {
        key: String,
        member: Bytes,
        by: i64,
    },
    Unscore {
        key: String,
        member: Bytes,
    },
    Delete {
        key: String,
    },
    /// Of a key that is there.
    Rename {
        from: String,
        to: String,
    },
    Copy {
        from: String,
        to: String,
    },
    /// To the other database.
    Move {
        key: String,
    },
    Until {
        key: String,
        deadline: i64,
    },
    /// PEXPIRE; the second command of it tells what deadline that was.
    Within {
        key: String,
        ms: i64,
        deadline: i64,
    },
    Persist {
        key: String,
    },
    Flush,
    Swap,
    /// MULTI … EXEC.
    All(Vec<Act>),
    /// Something that changes no key, and may be refused.
    Chore(Command),
}

impl Act {
    /// Its commands, for the connection whose databases are `first` and the next.
    pub fn commands(&self, first: usize, db: usize) -> Vec<Command> {
        let words = |name: &str, key: &str, rest: &[&[u8]]| -> Command {
            let head = [name.as_bytes(), key.as_bytes()];
            head.iter().chain(rest).map(|word| word.to_vec()).collect()
        };
        let n = |number: i64| number.to_string().into_bytes();
        let one = |name: &str, key: &str, rest: &[&[u8]]| vec![words(name, key, rest)];
        let many = |name: &str, key: &str, rest: Vec<&Bytes>| {
            one(name, key, &rest.into_iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        match self {
            Act::Set { key, value } => one("SET", key, &[value]),
            Act::SetUntil { key, value, deadline } => one("SET", key, &[value, b"PXAT", &n(*deadline)]),
            Act::Brief { key } => one("SET", key, &[b"gone soon", b"PX", b"15"]),
            Act::Append { key, value } => one("APPEND", key, &[value]),
            Act::Patch { key, offset, value } => one("SETRANGE", key, &[&n(*offset as i64), value]),
            Act::Count { key, by } => one("INCRBY", key, &[&n(*by)]),
            Act::Push { key, values, front } => {
                many(if *front { "LPUSH" } else { "RPUSH" }, key, values.iter().collect())
            }
            Act::Pop { key, front } => one(if *front { "LPOP" } else { "RPOP" }, key, &[]),
            Act::Trim { key, keep } => one("LTRIM", key, &[&n(-(*keep as i64)), b"-1"]),
            Act::Fields { key, fields } => many("HSET", key, fields.iter().flat_map(|(f, v)| [f, v]).collect()),
            Act::Unfield { key, field } => one("HDEL", key, &[field]),
            Act::Join { key, members } => many("SADD", key, members.iter().collect()),
            Act::Leave { key, member } => one("SREM", key, &[member]),
            Act::Score { key, members } => {
                let pairs: Vec<Bytes> = members.iter().flat_map(|(m, s)| [n(*s), m.clone()]).collect();
                many("ZADD", key, pairs.iter().collect())
            }
            Act::Bump { key, member, by } => one("ZINCRBY", key, &[&n(*by), member]),
            Act::Unscore { key, member } => one("ZREM", key, &[member]),
            Act::Delete { key } => one("DEL", key, &[]),
            Act::Rename { from, to } => one("RENAME", from, &[to.as_bytes()]),
            Act::Copy { from, to } => one("COPY", from, &[to.as_bytes(), b"REPLACE"]),
            Act::Move { key } => one("MOVE", key, &[&n((first + 1 - db) as i64)]),
            Act::Until { key, deadline } => one("PEXPIREAT", key, &[&n(*deadline)]),
            Act::Within { key, ms, .. } => vec![words("PEXPIRE", key, &[&n(*ms)]), words("PEXPIRETIME", key, &[])],
            Act::Persist { key } => one("PERSIST", key, &[]),
            Act::Flush => vec![command(&["FLUSHDB"])],
            Act::Swap => vec![command(&["SWAPDB", &first.to_string(), &(first + 1).to_string()])],
            Act::All(acts) => {
                let inner = acts.iter().flat_map(|act| act.commands(first, db));
                std::iter::once(command(&["MULTI"])).chain(inner).chain([command(&["EXEC"])]).collect()
            }
            Act::Chore(command) => vec![command.clone()],
        }
    }

    /// Whether an error is a possible answer.
    pub fn may_be_refused(&self) -> bool {
        matches!(self, Act::Chore(_))
    }

    /// Does it to the model, in database `db`.
    pub fn apply(&self, dbs: &mut Dbs, db: usize) {
        match self {
            Act::Set { key, value } => dbs.put(db, key, Entry { val: Val::Text(value.clone()), deadline: None }),
            Act::SetUntil { key, value, deadline } => {
                dbs.put(db, key, Entry { val: Val::Text(value.clone()), deadline: Some(*deadline) });
            }
            Act::Brief { key } | Act::Delete { key } => drop(dbs.take(db, key)),
            Act::Append { key, value } => text(dbs, db, key, |old| old.extend(value)),
            Act::Patch { key, offset, value } => text(dbs, db, key, |old| patch(old, *offset, value)),
            Act::Count { key, by } => text(dbs, db, key, |old| {
                let number = std::str::from_utf8(old).ok().and_then(|text| text.parse::<i64>().ok()).unwrap_or(0);
                *old = (number + by).to_string().into_bytes();
            }),
            Act::Push { key, values, front } => list(dbs, db, key, |items| match front {
                true => values.iter().for_each(|value| items.push_front(value.clone())),
                false => items.extend(values.iter().cloned()),
            }),
            Act::Pop { key, front } => list(dbs, db, key, |items| {
                if *front {
                    items.pop_front()
                } else {
                    items.pop_back()
                };
            }),
            Act::Trim { key, keep } => list(dbs, db, key, |items| {
                items.drain(..items.len().saturating_sub(*keep));
            }),
            Act::Fields { key, fields } => hash(dbs, db, key, |there| there.extend(fields.iter().cloned())),
            Act::Unfield { key, field } => hash(dbs, db, key, |there| drop(there.remove(field))),
            Act::Join { key, members } => set(dbs, db, key, |there| there.extend(members.iter().cloned())),
            Act::Leave { key, member } => set(dbs, db, key, |there| {
                there.remove(member);
            }),
            Act::Score { key, members } => scores(dbs, db, key, |there| there.extend(members.iter().cloned())),
            Act::Bump { key, member, by } => scores(dbs, db, key, |there| {
                *there.entry(member.clone()).or_default() += by;
            }),
            Act::Unscore { key, member } => scores(dbs, db, key, |there| {
                there.remove(member);
            }),
            Act::Rename { from, to } => {
                if let Some(entry) = dbs.take(db, from) {
                    dbs.put(db, to, entry);
                }
            }
            Act::Copy { from, to } => {
                if let Some(entry) = dbs.get(db, from).cloned() {
                    dbs.put(db, to, entry);
                }
            }
            Act::Move { key } => {
                if dbs.get(1 - db, key).is_none()
                    && let Some(entry) = dbs.take(db, key)
                {
                    dbs.put(1 - db, key, entry);
                }
            }
            Act::Until { key, deadline } | Act::Within { key, deadline, .. } => expire(dbs, db, key, Some(*deadline)),
            Act::Persist { key } => expire(dbs, db, key, None),
            Act::Flush => dbs.flush(db),
            Act::Swap => dbs.swap(),
            Act::All(acts) => acts.iter().for_each(|act| act.apply(dbs, db)),
            Act::Chore(_) => {}
        }
    }
}

fn patch(old: &mut Bytes, offset: usize, value: &[u8]) {
    let end = offset + value.len();
    if old.len() < end {
        old.resize(end, 0);
    }
    old[offset..end].copy_from_slice(value);
}

fn expire(dbs: &mut Dbs, db: usize, key: &str, deadline: Option<i64>) {
    if let Some(entry) = dbs.take(db, key) {
        dbs.put(db, key, Entry { deadline, ..entry });
    }
}

/// Changes a key's value, which is `new` if there is none.
fn change(dbs: &mut Dbs, db: usize, key: &str, new: Val, change: impl FnOnce(&mut Val)) {
    let mut entry = dbs.take(db, key).unwrap_or(Entry { val: new, deadline: None });
    change(&mut entry.val);
    dbs.put(db, key, entry);
}

macro_rules! changing {
    ($name:ident, $variant:ident, $content:ty) => {
        fn $name(dbs: &mut Dbs, db: usize, key: &str, with: impl FnOnce(&mut $content)) {
            change(dbs, db, key, Val::$variant(Default::default()), |val| match val {
                Val::$variant(content) => with(content),
                other => unreachable!("a key's first letter is its type, and this is {other:?}"),
            });
        }
    };
}

changing!(text, Text, Bytes);
changing!(list, List, VecDeque<Bytes>);
changing!(hash, Hash, BTreeMap<Bytes, Bytes>);
changing!(set, Set, BTreeSet<Bytes>);
changing!(scores, Scores, BTreeMap<Bytes, i64>);

#[cfg(test)]
mod tests {
    use super::{Act, Dbs};

    #[test]
    fn a_collection_without_elements_is_no_key_and_a_deadline_moves_along() {
        let mut dbs = Dbs::default();
        let empty = dbs.digest();
        Act::Push { key: "l1".into(), values: vec![b"a".to_vec()], front: true }.apply(&mut dbs, 0);
        Act::Pop { key: "l1".into(), front: false }.apply(&mut dbs, 0);
        assert_eq!(dbs.digest(), empty);
        Act::Set { key: "s1".into(), value: b"a".to_vec() }.apply(&mut dbs, 0);
        Act::Until { key: "s1".into(), deadline: 7 }.apply(&mut dbs, 0);
        Act::Rename { from: "s1".into(), to: "s2".into() }.apply(&mut dbs, 0);
        Act::Move { key: "s2".into() }.apply(&mut dbs, 0);
        assert_eq!(dbs.get(1, "s2").and_then(|entry| entry.deadline), Some(7));
        assert!(dbs.get(0, "s1").is_none() && dbs.get(0, "s2").is_none());
    }
}
