//! The whole state of both servers: every key of every database with its type, content and deadline; scans in small
//! steps; DUMP and RESTORE there and back; and deadlines that pass while one looks.

use super::compare::plain_doubles;
use anyhow::Result;

use super::pair::{Mismatch, Pair};
use crate::conn::{Command, command};
use crate::resp::Value;

/// Databases that the generator uses.
const DATABASES: usize = 3;
/// Deadlines may be this far apart.
const CLOCK_MS: u64 = 30_000;

/// Compares everything; `thorough` adds scans, dumps and passing deadlines.
pub fn compare(pair: &mut Pair, thorough: bool) -> Result<Option<Mismatch>> {
    for session in 0..super::generate::SESSIONS {
        // An open transaction would only queue the questions. Without one this is an error, alike on both sides.
        pair.ask(session, &[command(&["DISCARD"]), command(&["UNWATCH"])])?;
    }
    for db in 0..DATABASES {
        pair.ask(0, &[command(&["SELECT", &db.to_string()])])?;
        let (sut, oracle) = pair.ask(0, &[command(&["KEYS", "*"])])?;
        let (mine, theirs) = (sorted(&sut[0]), sorted(&oracle[0]));
        if mine != theirs {
            return Ok(differs(db, "KEYS *", &format!("{mine:?}"), &format!("{theirs:?}")));
        }
        let keys: Vec<Vec<u8>> = mine.iter().filter_map(|k| k.bytes().map(<[u8]>::to_vec)).collect();
        if let Some(found) = contents(pair, db, &keys)? {
            return Ok(Some(found));
        }
        if thorough
            && let Some(found) = scans(pair, db, &keys)?.or(dumps(pair, db, &keys)?).or(passing(pair, db, &keys)?)
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn differs(db: usize, what: &str, sut: &str, oracle: &str) -> Option<Mismatch> {
    Some(Mismatch {
        at: usize::MAX - 1,
        what: format!("state of database {db}: {what}"),
        is_state: true,
        sut: sut.to_owned(),
        oracle: oracle.to_owned(),
    })
}

fn sorted(value: &Value) -> Vec<Value> {
    let mut items = value.items().map(<[Value]>::to_vec).unwrap_or_default();
    items.sort();
    items
}

/// How to read a key of a type whole.
fn reader(kind: &Value, key: &[u8]) -> Command {
    let mut words = command(&[match kind.bytes() {
        Some(b"string") => "GET",
        Some(b"list") => "LRANGE",
        Some(b"hash") => "HGETALL",
        Some(b"set") => "SMEMBERS",
        _ => "ZRANGE",
    }]);
    words.push(key.to_vec());
    match kind.bytes() {
        Some(b"list") => words.extend(command(&["0", "-1"])),
        Some(b"zset") => words.extend(command(&["0", "-1", "WITHSCORES"])),
        _ => {}
    }
    words
}

/// A content in a form that can be compared: what has no order is sorted.
fn normal(kind: &Value, content: &Value) -> Vec<Vec<Value>> {
    let items = match content.items() {
        Some(items) => items.to_vec(),
        None => return vec![vec![content.clone()]],
    };
    let mut parts: Vec<Vec<Value>> = match kind.bytes() {
        Some(b"hash") => items.chunks(2).map(<[Value]>::to_vec).collect(),
        _ => items.into_iter().map(|v| vec![v]).collect(),
    };
    if matches!(kind.bytes(), Some(b"hash" | b"set")) {
        parts.sort();
    }
    parts
}

fn contents(pair: &mut Pair, db: usize, keys: &[Vec<u8>]) -> Result<Option<Mismatch>> {
    let types: Vec<Command> = keys.iter().map(|k| vec![b"TYPE".to_vec(), k.clone()]).collect();
    let (sut, oracle) = pair.ask(0, &types)?;
    for ((key, a), b) in keys.iter().zip(&sut).zip(&oracle) {
        if a != b {
            return Ok(differs(db, &format!("TYPE {}", crate::resp::escape(key)), &a.to_string(), &b.to_string()));
        }
    }
    let mut questions = Vec::new();
    for (key, kind) in keys.iter().zip(&oracle) {
        questions.push(reader(kind, key));
        questions.push(vec![b"PTTL".to_vec(), key.clone()]);
    }
    let (mine, theirs) = pair.ask(0, &questions)?;
    for (i, (key, kind)) in keys.iter().zip(&oracle).enumerate() {
        let (a, b) = (&mine[2 * i], &theirs[2 * i]);
        let (a, b) = if kind.bytes() == Some(b"zset") { (&plain_doubles(a), &plain_doubles(b)) } else { (a, b) };
        if normal(kind, a) != normal(kind, b) {
            return Ok(differs(
                db,
                &format!("content of {}", crate::resp::escape(key)),
                &a.to_string(),
                &b.to_string(),
            ));
        }
        let (a, b) = (mine[2 * i + 1].int().unwrap_or(-9), theirs[2 * i + 1].int().unwrap_or(-9));
        if a != b && (a < 0 || b < 0 || a.abs_diff(b) > CLOCK_MS) {
            return Ok(differs(db, &format!("PTTL {}", crate::resp::escape(key)), &a.to_string(), &b.to_string()));
        }
    }
    Ok(None)
}

/// A complete scan in steps of a few elements must find every key.
fn scans(pair: &mut Pair, db: usize, keys: &[Vec<u8>]) -> Result<Option<Mismatch>> {
    let mut found = Vec::new();
    let mut cursor = b"0".to_vec();
    for _ in 0..10_000 {
        let reply = pair.tell(false, &[b"SCAN".to_vec(), cursor, b"COUNT".to_vec(), b"3".to_vec()])?;
        let Some([next, items]) = reply.items() else {
            return Ok(differs(db, "SCAN", &reply.to_string(), "a cursor and keys"));
        };
        found.extend(items.items().unwrap_or_default().iter().filter_map(|v| v.bytes().map(<[u8]>::to_vec)));
        cursor = next.bytes().unwrap_or_default().to_vec();
        if cursor == b"0" {
            break;
        }
    }
    found.sort();
    found.dedup();
    let mut all = keys.to_vec();
    all.sort();
    if found == all {
        Ok(None)
    } else {
        Ok(differs(db, "a scan in small steps", &format!("{} keys", found.len()), &format!("{} keys", all.len())))
    }
}

/// Each key's own DUMP, and the oracle's, restored under another name, must give the same content.
fn dumps(pair: &mut Pair, db: usize, keys: &[Vec<u8>]) -> Result<Option<Mismatch>> {
    let name = b"restored copy".to_vec();
    for key in keys {
        let (kind, _) = pair.ask(0, &[vec![b"TYPE".to_vec(), key.clone()]])?;
        let original = pair.tell(false, &reader(&kind[0], key))?;
        for from_oracle in [false, true] {
            let dump = pair.tell(from_oracle, &[b"DUMP".to_vec(), key.clone()])?;
            let Some(payload) = dump.bytes() else { return Ok(differs(db, "DUMP", &dump.to_string(), "a payload")) };
            let words = [b"RESTORE".to_vec(), name.clone(), b"0".to_vec(), payload.to_vec(), b"REPLACE".to_vec()];
            let reply = pair.tell(false, &words)?;
            let copy = pair.tell(false, &reader(&kind[0], &name))?;
            pair.tell(false, &[b"DEL".to_vec(), name.clone()])?;
            if reply != Value::Simple(b"OK".to_vec())
                || unsigned(normal(&kind[0], &copy)) != unsigned(normal(&kind[0], &original))
            {
                let whose = if from_oracle { "the oracle's" } else { "its own" };
                let what = format!("RESTORE of {whose} DUMP of {}", crate::resp::escape(key));
                return Ok(differs(db, &what, &format!("{reply} {copy}"), &original.to_string()));
            }
        }
    }
    Ok(None)
}

/// A score of -0 may come back as 0: the compact encodings of the payload keep whole numbers as integers.
fn unsigned(mut parts: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
    for value in parts.iter_mut().flatten() {
        if matches!(value, Value::Bulk(b) if b == b"-0") {
            *value = Value::Bulk(b"0".to_vec());
        }
    }
    parts
}

/// Half of the keys get a deadline that passes before the next look; then they must be gone, on both sides.
fn passing(pair: &mut Pair, db: usize, keys: &[Vec<u8>]) -> Result<Option<Mismatch>> {
    let doomed: Vec<Command> =
        keys.iter().step_by(2).map(|k| vec![b"PEXPIRE".to_vec(), k.clone(), b"1".to_vec()]).collect();
    pair.ask(0, &doomed)?;
    // The clock has to pass the deadline: this waits for it, on both servers' own clocks.
    pair.ask(
        0,
        &[command(&["SELECT", "9"]), command(&["BLPOP", "nobody", "0.01"]), command(&["SELECT", &db.to_string()])],
    )?;
    let exists: Vec<Command> = keys.iter().map(|k| vec![b"EXISTS".to_vec(), k.clone()]).collect();
    let (sut, oracle) = pair.ask(0, &exists)?;
    for (i, (a, b)) in sut.iter().zip(&oracle).enumerate() {
        // The others may have a deadline of their own, which passes just now.
        let survived = i % 2 == 0 && *a != Value::Int(0);
        if survived || a != b {
            return Ok(differs(
                db,
                &format!("EXISTS {} after its deadline", crate::resp::escape(&keys[i])),
                &a.to_string(),
                &b.to_string(),
            ));
        }
    }
    Ok(None)
}
