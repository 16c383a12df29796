//! Writes a value as a payload, in the plain encodings.

use engine::{Entry, FieldRef};
use rdb::{kinds, put_len, put_string};

use super::{VERSION, VERSION_NEW};

/// Appends the payload of `entry`; fields that have expired at `now_ms` are left out.
pub(crate) fn dump(entry: &Entry, now_ms: i64, out: &mut Vec<u8>) {
    let start = out.len();
    let version = body(entry, now_ms, out);
    out.extend_from_slice(&version.to_le_bytes());
    let sum = rdb::checksum(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Appends type and body; answers the version that they need.
fn body(entry: &Entry, now_ms: i64, out: &mut Vec<u8>) -> u16 {
    if let Some(bytes) = entry.bytes() {
        out.push(kinds::STRING);
        put_string(out, bytes);
    } else if let Some(list) = entry.list() {
        out.push(kinds::LIST);
        put_len(out, list.len());
        list.iter().for_each(|element| put_string(out, element));
    } else if let Some(set) = entry.set() {
        out.push(kinds::SET);
        put_len(out, set.len());
        set.iter().for_each(|member| put_string(out, &member));
    } else if let Some(zset) = entry.zset() {
        out.push(kinds::ZSET_2);
        put_len(out, zset.len());
        for (member, score) in zset.iter() {
            put_string(out, member);
            out.extend_from_slice(&score.to_le_bytes());
        }
    } else if let Some(hash) = entry.hash() {
        let live = || hash.iter().filter(|f| f.deadline.is_none_or(|d| d > now_ms));
        return put_fields(out, live().count(), live);
    }
    VERSION
}

fn put_fields<'a, I: Iterator<Item = FieldRef<'a>>>(out: &mut Vec<u8>, count: usize, live: impl Fn() -> I) -> u16 {
    let earliest = live().filter_map(|f| f.deadline).min();
    out.push(if earliest.is_some() { kinds::HASH_METADATA } else { kinds::HASH });
    if let Some(ms) = earliest {
        out.extend_from_slice(&ms.to_le_bytes());
    }
    put_len(out, count);
    for f in live() {
        if let Some(first) = earliest {
            // Behind the earliest one, plus one; 0 for none.
            put_len(out, f.deadline.map_or(0, |ms| (ms - first) as usize + 1));
        }
        put_string(out, f.field);
        put_string(out, f.value);
    }
    if earliest.is_some() { VERSION_NEW } else { VERSION }
}
