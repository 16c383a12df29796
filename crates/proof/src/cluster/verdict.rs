//! What the nodes have at last, and whether it is what clients were told.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, ensure};

use super::ask;
use super::client::{Known, Memory, OTHERS};
use super::rival;
use crate::conn::{Command, Conn, command};
use crate::history::exclusive::{Exclusives, Version};
use crate::history::{Element, History, Key, causal, exclusive};
use crate::resp::Value;

/// Commands of one round trip.
const BATCH: usize = 200;

/// All that one node has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Its lists.
    pub lists: Vec<(Key, Vec<Element>)>,
    /// Its counters.
    pub counts: Vec<i64>,
    /// Its sets, each in order.
    pub sets: Vec<Vec<Element>>,
    /// Its hashes: by client, what is in its field.
    pub hashes: Vec<HashMap<usize, Element>>,
    /// The keys of exclusive transactions.
    pub safe: Vec<(Key, Vec<Version>)>,
}

/// Reads all of it.
pub fn read(conn: &mut Conn, lists: u64) -> Result<Last> {
    let ranges = (0..lists).map(|key| command(&["LRANGE", &ask::list(key), "0", "-1"]));
    let found = all(conn, ranges.collect())?;
    let lists = found.iter().zip(0..).map(|(reply, key)| Ok((key, ask::numbers(reply)?))).collect::<Result<_>>()?;
    let counts = all(conn, (0..OTHERS).map(|key| command(&["GET", &ask::counter(key)])).collect())?;
    let sets = all(conn, (0..OTHERS).map(|key| command(&["SMEMBERS", &ask::set(key)])).collect())?;
    let hashes = all(conn, (0..OTHERS).map(|key| command(&["HGETALL", &ask::hash(key)])).collect())?;
    let safe = all(conn, (0..rival::KEYS).map(|key| command(&["GET", &rival::name(key)])).collect())?;
    let sorted = |reply: &Value| {
        let mut members = ask::numbers(reply)?;
        members.sort_unstable();
        Ok(members)
    };
    let fields = |reply: &Value| {
        let numbers = ask::numbers(reply)?;
        Ok(numbers.chunks(2).map(|pair| (pair[0] as usize, pair[1])).collect())
    };
    let versions = |(reply, key): (&Value, Key)| {
        Ok((key, Some(rival::version(reply)?).into_iter().filter(|&version| version != 0).collect()))
    };
    Ok(Last {
        lists,
        counts: counts.iter().map(count).collect::<Result<_>>()?,
        sets: sets.iter().map(sorted).collect::<Result<_>>()?,
        hashes: hashes.iter().map(fields).collect::<Result<_>>()?,
        safe: safe.iter().zip(0..).map(versions).collect::<Result<_>>()?,
    })
}

fn count(reply: &Value) -> Result<i64> {
    if reply.is_null() { Ok(0) } else { reply.text().parse().with_context(|| format!("a counter is {reply}")) }
}

fn all(conn: &mut Conn, commands: Vec<Command>) -> Result<Vec<Value>> {
    let mut replies = Vec::new();
    for batch in commands.chunks(BATCH) {
        replies.extend(conn.pipeline(batch)?);
    }
    let refused = replies.iter().find(|reply| reply.is_error());
    ensure!(refused.is_none(), "the last look was answered {}", refused.map(Value::to_string).unwrap_or_default());
    Ok(replies)
}

/// All that is wrong, or the first of it: `last` has all nodes, `memories` all clients by their number.
pub fn judge(memories: &[Memory], last: &[Last]) -> Vec<String> {
    let mut wrong: Vec<String> = memories.iter().filter_map(|memory| memory.wrong.clone()).collect();
    let lists = History {
        sessions: memories.iter().map(|memory| memory.session.clone()).collect(),
        last: last.iter().map(|node| node.lists.clone()).collect(),
    };
    wrong.extend(causal::check(&lists).iter().map(ToString::to_string));
    let safe = Exclusives {
        sessions: memories.iter().map(|memory| memory.exclusive.clone()).collect(),
        last: last.iter().map(|node| node.safe.clone()).collect(),
    };
    wrong.extend(exclusive::check(&safe).iter().map(|anomaly| format!("exclusive: {anomaly}")));
    for (number, node) in last.iter().enumerate() {
        let found = counts(memories, node).into_iter().chain(members(memories, node)).chain(fields(memories, node));
        wrong.extend(found.map(|text| format!("node {number}: {text}")));
        let same = (&node.counts, &node.sets, &node.hashes) == (&last[0].counts, &last[0].sets, &last[0].hashes);
        if !same {
            wrong.push(format!("nodes 0 and {number} differ at last in counters, sets or hashes"));
        }
    }
    wrong
}

/// Each counter has what was acknowledged, and at most what was attempted besides.
fn counts(memories: &[Memory], node: &Last) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, &found) in (0..).zip(&node.counts) {
        let known = memories.iter().filter_map(|memory| memory.counts.get(&key));
        let (done, open) = known.fold((0, 0), |(done, open), known| (done + known.done, open + known.open));
        if !(done..=done + open).contains(&found) {
            wrong.push(format!("{} is {found}; {done} were acknowledged, {open} more sent", ask::counter(key)));
        }
    }
    wrong
}

/// Each set has all members that were acknowledged, and none that nobody sent.
fn members(memories: &[Memory], node: &Last) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, found) in (0..).zip(&node.sets) {
        let found: HashSet<Element> = found.iter().copied().collect();
        let known = || memories.iter().filter_map(|memory| memory.members.get(&key));
        let done: HashSet<Element> = known().flat_map(|known| known.done.iter().copied()).collect();
        let open: HashSet<Element> = known().flat_map(|known| known.open.iter().copied()).collect();
        let name = ask::set(key);
        wrong.extend(done.difference(&found).map(|member| format!("{name} has lost {member}")));
        let strange = found.iter().filter(|member| !done.contains(member) && !open.contains(member));
        wrong.extend(strange.map(|member| format!("{name} has {member}, which nobody added")));
    }
    wrong
}

/// Each field has its client's last value, or one of which it has not heard.
fn fields(memories: &[Memory], node: &Last) -> Vec<String> {
    let mut wrong = Vec::new();
    for (key, found) in (0..).zip(&node.hashes) {
        for (client, memory) in memories.iter().enumerate() {
            let Known { done, open } = memory.fields.get(&key).cloned().unwrap_or_default();
            let value = found.get(&client);
            if value != done.last() && !value.is_some_and(|value| open.contains(value)) {
                let (name, last) = (ask::hash(key), done.last());
                wrong.push(format!("{name} has {value:?} of client {client}, whose last value was {last:?}"));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Op, Outcome, Txn};

    fn known<T>(done: T, open: T) -> HashMap<Key, Known<T>> {
        HashMap::from([(0, Known { done, open })])
    }

    fn memory() -> Memory {
        let txn = Txn { ops: vec![Op::Append(0, 1)], outcome: Outcome::Done, connection: 0 };
        Memory {
            session: vec![txn],
            counts: known(5, 2),
            members: known(vec![1, 2], vec![3]),
            fields: known(vec![1, 2], vec![3]),
            ..Memory::default()
        }
    }

    fn last() -> Last {
        Last {
            lists: vec![(0, vec![1])],
            counts: vec![5],
            sets: vec![vec![1, 2]],
            hashes: vec![HashMap::from([(0, 2)])],
            safe: Vec::new(),
        }
    }

    #[test]
    fn what_was_acknowledged_is_there_and_what_was_sent_may_be() {
        assert_eq!(judge(&[memory()], &[last(), last()]), Vec::<String>::new());
        let more = Last { counts: vec![7], sets: vec![vec![1, 2, 3]], hashes: vec![HashMap::from([(0, 3)])], ..last() };
        assert_eq!(judge(&[memory()], &[more]), Vec::<String>::new());
        for (part, wrong) in [
            ("list", Last { lists: vec![(0, vec![])], ..last() }),
            ("count", Last { counts: vec![4], ..last() }),
            ("count", Last { counts: vec![8], ..last() }),
            ("lost 2", Last { sets: vec![vec![1]], ..last() }),
            ("nobody", Last { sets: vec![vec![1, 2, 4]], ..last() }),
            ("hash", Last { hashes: vec![HashMap::from([(0, 1)])], ..last() }),
            ("hash", Last { hashes: vec![HashMap::new()], ..last() }),
        ] {
            let found = judge(&[memory()], &[wrong]);
            let told = if part == "list" { "is not at node 0 at last" } else { part };
            assert!(found.len() == 1 && found[0].contains(told), "{part}: {found:?}");
        }
        let other = Last { counts: vec![6], ..last() };
        assert!(judge(&[memory()], &[last(), other])[0].contains("differ"));
    }
}
