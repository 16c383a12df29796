//! Making the values: many elements a command, several commands under way.

use std::ops::Range;

use anyhow::{Result, ensure};

use super::elements::member;
use crate::conn::{Conn, encode};
use crate::resp::Value;

/// Elements that one command adds.
const BATCH: u64 = 200;

/// Commands that are sent before the reply to the first is read.
const UNDER_WAY: u64 = 16;

/// One of the values, and how it is made.
#[derive(Clone, Copy)]
pub struct Collection {
    pub what: &'static str,
    /// Command and key.
    head: [&'static str; 2],
    /// Appends an element's words.
    words: fn(u64, &mut Vec<String>),
    /// The reply is how many there are, not how many came.
    counts_all: bool,
}

/// Element n of the sorted set has score n, that of the hash the value n, and the list begins with the last.
pub const COLLECTIONS: [Collection; 4] = [
    Collection {
        what: "sorted set",
        head: ["ZADD", "z"],
        words: |element, words| words.extend([element.to_string(), member(element)]),
        counts_all: false,
    },
    Collection {
        what: "hash",
        head: ["HSET", "h"],
        words: |element, words| words.extend([member(element), element.to_string()]),
        counts_all: false,
    },
    Collection {
        what: "set",
        head: ["SADD", "s"],
        words: |element, words| words.push(member(element)),
        counts_all: false,
    },
    Collection {
        what: "list",
        head: ["LPUSH", "l"],
        words: |element, words| words.push(element.to_string()),
        counts_all: true,
    },
];

/// Makes one of so many elements.
pub fn load(conn: &mut Conn, collection: Collection, elements: u64) -> Result<()> {
    let commands = elements.div_ceil(BATCH);
    let range = |command: u64| command * BATCH..elements.min((command + 1) * BATCH);
    let mut bytes = Vec::new();
    for command in 0..commands + UNDER_WAY {
        if command < commands {
            bytes.clear();
            let mut words = collection.head.map(str::to_owned).to_vec();
            range(command).for_each(|element| (collection.words)(element, &mut words));
            encode(&words, &mut bytes);
            conn.send_raw(&bytes)?;
        }
        if let Some(answered) = command.checked_sub(UNDER_WAY).filter(|answered| *answered < commands) {
            expect(conn, collection, range(answered))?;
        }
    }
    Ok(())
}

fn expect(conn: &mut Conn, collection: Collection, range: Range<u64>) -> Result<()> {
    let due = if collection.counts_all { range.end } else { range.end - range.start };
    let reply = conn.reply()?;
    ensure!(reply == Value::Int(due as i64), "{} of {range:?} was answered {reply}, not {due}", collection.head[0]);
    Ok(())
}
