//! Keys of any type: what is done to a key whatever it holds, and to whole databases.
//!
//! ```text
//!   names   DEL EXISTS TYPE TOUCH …           one key, or each of several
//!   whole   KEYS SCAN FLUSHALL SWAPDB …       every shard locked
//!   places  RENAME COPY MOVE                  from one name to another
//!   expire  EXPIRE TTL PERSIST …              deadlines
//!   look    OBJECT, MEMORY USAGE              what a value is made of
//!   sort    SORT                              elements, ordered and looked up elsewhere
//!   dump    DUMP RESTORE                      values as Redis serialises them
//! ```
//!
//! *Invariant:* nothing here knows the elements of a type, except `sort` and the serialisation.

pub mod dump;
pub mod expire;
pub mod look;
pub mod names;
pub mod places;
pub mod sort;
pub mod whole;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use engine::{State, Stop};

use crate::cx::Cx;
use crate::errors;

/// Up to so many arguments are compared with each other; more are kept in order.
const FEW: usize = 16;

/// The keys that a command has met.
enum Seen<'a> {
    Few(Vec<&'a [u8]>),
    Many(BTreeSet<&'a [u8]>),
}

impl<'a> Seen<'a> {
    fn new(count: usize) -> Self {
        if count <= FEW { Self::Few(Vec::new()) } else { Self::Many(BTreeSet::new()) }
    }

    /// Whether the key is met for the first time.
    fn is_new(&mut self, key: &'a [u8]) -> bool {
        match self {
            Self::Few(keys) if keys.contains(&key) => false,
            Self::Few(keys) => {
                keys.push(key);
                true
            }
            Self::Many(keys) => keys.insert(key),
        }
    }
}

/// Looks something up without renewing the access times of keys.
fn untouched<'s, T>(cx: &'s Cx<'_, '_>, look: impl FnOnce(&'s State<'_>) -> Result<T, Stop>) -> Result<T, Stop> {
    let before = cx.state.set_touch(false);
    let found = look(cx.state);
    cx.state.set_touch(before);
    found
}

/// The number of a database that an argument names.
fn database(cx: &Cx<'_, '_>, text: &[u8]) -> Result<u8, Stop> {
    let number = crate::parse::int(text)?;
    if i32::try_from(number).is_err() {
        return Err(errors::OUT_OF_INT);
    }
    in_range(cx, number)
}

/// The database with this number, if there is one.
fn in_range(cx: &Cx<'_, '_>, number: i64) -> Result<u8, Stop> {
    let known = (0..i64::from(cx.env.databases)).contains(&number);
    u8::try_from(number).ok().filter(|_| known).ok_or(errors::DB_OUT_OF_RANGE)
}
