//! What a connection's databases hold: values, types and deadlines, with a digest that is kept up as they change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Result, bail, ensure};

use crate::conn::{Command, Conn, command};
use crate::resp::Value;

/// Databases of each connection.
pub const DATABASES: usize = 2;

/// Bytes of a name, an element or a field.
pub type Bytes = Vec<u8>;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Val {
    Text(Bytes),
    List(VecDeque<Bytes>),
    Hash(BTreeMap<Bytes, Bytes>),
    Set(BTreeSet<Bytes>),
    Scores(BTreeMap<Bytes, i64>),
}

impl Val {
    fn is_empty(&self) -> bool {
        match self {
            Val::Text(_) => false,
            Val::List(items) => items.is_empty(),
            Val::Hash(fields) => fields.is_empty(),
            Val::Set(members) => members.is_empty(),
            Val::Scores(members) => members.is_empty(),
        }
    }
}

/// A key's value and its deadline in unix ms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub val: Val,
    pub deadline: Option<i64>,
}

/// A database, with the sum of its entries' digests.
#[derive(Clone, Debug, Default)]
struct Table {
    entries: BTreeMap<String, (Entry, u64)>,
    sum: u64,
}

/// The databases of one connection.
#[derive(Clone, Debug, Default)]
pub struct Dbs {
    tables: [Table; DATABASES],
}

fn digest(parts: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    hasher.finish()
}

impl Dbs {
    /// One number for all of it: equal for equal contents.
    pub fn digest(&self) -> u64 {
        digest(self.tables.each_ref().map(|table| table.sum))
    }

    /// A key's entry.
    pub fn get(&self, db: usize, key: &str) -> Option<&Entry> {
        self.tables[db].entries.get(key).map(|(entry, _)| entry)
    }

    /// The names of a database's keys.
    pub fn keys(&self, db: usize) -> impl Iterator<Item = &String> {
        self.tables[db].entries.keys()
    }

    /// Takes a key out.
    pub fn take(&mut self, db: usize, key: &str) -> Option<Entry> {
        let table = &mut self.tables[db];
        let (entry, sum) = table.entries.remove(key)?;
        table.sum = table.sum.wrapping_sub(sum);
        Some(entry)
    }

    /// Puts a key in place of what it was; an empty collection is no key.
    pub fn put(&mut self, db: usize, key: &str, entry: Entry) {
        self.take(db, key);
        if !entry.val.is_empty() {
            let sum = digest((key, &entry));
            let table = &mut self.tables[db];
            table.sum = table.sum.wrapping_add(sum);
            table.entries.insert(key.to_owned(), (entry, sum));
        }
    }

    /// Empties a database.
    pub fn flush(&mut self, db: usize) {
        self.tables[db] = Table::default();
    }

    /// Exchanges the two databases.
    pub fn swap(&mut self) {
        self.tables.swap(0, 1);
    }

    /// The first keys in which the two differ, in words.
    pub fn differences(&self, there: &Dbs) -> Vec<String> {
        let mut found = Vec::new();
        for db in 0..DATABASES {
            let keys: BTreeSet<&String> = self.keys(db).chain(there.keys(db)).collect();
            for key in keys {
                let (due, is) = (self.get(db, key), there.get(db, key));
                if due != is {
                    found.push(format!("db {db} {key} is {:.150}, not {:.150}", show(is), show(due)));
                }
            }
        }
        found
    }
}

fn show(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else { return "absent".into() };
    let text = |bytes: &Bytes| match bytes.len() {
        0..=24 => crate::resp::escape(bytes),
        len => format!("{len} bytes {}", crate::resp::escape(&bytes[..16])),
    };
    let val = match &entry.val {
        Val::Text(bytes) => text(bytes),
        Val::List(items) => {
            format!("a list of {}: {}", items.len(), items.iter().map(text).collect::<Vec<_>>().join(" "))
        }
        Val::Hash(fields) => format!("a hash of {}", fields.len()),
        Val::Set(members) => format!("a set of {}", members.len()),
        Val::Scores(members) => format!("a sorted set of {}", members.len()),
    };
    entry.deadline.map_or_else(|| val.clone(), |at| format!("until {at}: {val}"))
}

/// Reads the databases of `count` connections from a server, whole.
pub fn read(conn: &mut Conn, count: usize) -> Result<Vec<Dbs>> {
    let select = |db: usize| command(&["SELECT", &db.to_string()]);
    let listing: Vec<Command> = (0..count * DATABASES).flat_map(|db| [select(db), command(&["KEYS", "*"])]).collect();
    let mut keys = Vec::new();
    for (db, reply) in conn.pipeline(&listing)?.iter().skip(1).step_by(2).enumerate() {
        let Some(items) = reply.items() else { bail!("KEYS was answered with {reply}") };
        keys.push((db, items.iter().map(Value::text).collect::<Vec<_>>()));
    }
    let questions: Vec<Command> = keys
        .iter()
        .flat_map(|(db, keys)| std::iter::once(select(*db)).chain(keys.iter().flat_map(|key| questions(key))))
        .collect();
    let mut replies = conn.pipeline(&questions)?.into_iter();
    let mut all = vec![Dbs::default(); count];
    for (db, keys) in keys {
        replies.next();
        for key in keys {
            let (value, deadline) = (replies.next().unwrap_or(Value::Null), replies.next().unwrap_or(Value::Null));
            // It may have expired since it was listed, as those that are briefly there do.
            if deadline.int() == Some(-2) {
                continue;
            }
            let deadline = deadline.int().filter(|at| *at >= 0);
            all[db / DATABASES].put(db % DATABASES, &key, Entry { val: value_of(&key, &value)?, deadline });
        }
    }
    Ok(all)
}

/// The first letter of a key says what it holds.
fn questions(key: &str) -> [Command; 2] {
    let content = match key.as_bytes().first() {
        Some(b'l') => command(&["LRANGE", key, "0", "-1"]),
        Some(b'h') => command(&["HGETALL", key]),
        Some(b't') => command(&["SMEMBERS", key]),
        Some(b'z') => command(&["ZRANGE", key, "0", "-1", "WITHSCORES"]),
        _ => command(&["GET", key]),
    };
    [content, command(&["PEXPIRETIME", key])]
}

fn value_of(key: &str, value: &Value) -> Result<Val> {
    ensure!(!value.is_error(), "{key} was answered with {value:.120}");
    let bytes = |value: &Value| value.bytes().map(<[u8]>::to_vec).unwrap_or_default();
    let items: Vec<Bytes> = value.items().unwrap_or_default().iter().map(bytes).collect();
    let pairs = items.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    Ok(match key.as_bytes().first() {
        Some(b'l') => Val::List(items.into()),
        Some(b'h') => Val::Hash(pairs.collect()),
        Some(b't') => Val::Set(items.into_iter().collect()),
        Some(b'z') => {
            let score = |bytes: Bytes| -> Result<i64> { Ok(String::from_utf8(bytes)?.parse()?) };
            Val::Scores(pairs.map(|(member, text)| Ok((member, score(text)?))).collect::<Result<_>>()?)
        }
        _ => Val::Text(bytes(value)),
    })
}

#[cfg(test)]
mod tests {
    use super::{Dbs, Entry, Val};

    fn text(value: &str, deadline: Option<i64>) -> Entry {
        Entry { val: Val::Text(value.into()), deadline }
    }

    #[test]
    fn a_digest_follows_content_deadline_and_database() {
        let mut one = Dbs::default();
        let empty = one.digest();
        one.put(0, "s1", text("a", None));
        let first = one.digest();
        one.put(0, "s1", text("a", Some(5)));
        assert_ne!(one.digest(), first);
        one.put(0, "s1", text("a", None));
        assert_eq!(one.digest(), first);
        one.swap();
        assert_ne!(one.digest(), first);
        one.take(1, "s1");
        assert_eq!(one.digest(), empty);
    }
}
