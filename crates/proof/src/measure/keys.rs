//! Keys and values by number: a value says which key it is of and which version, and can be made again to compare.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::poll;
use crate::conn::{Conn, encode};
use crate::resp::Value;
use crate::rng::Rng;

/// Bytes of a value.
pub const VALUE_BYTES: usize = 64;

/// Commands of one round trip while loading.
const BATCH: u64 = 500;

/// A server that answers nobody for so long counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn key(index: u64) -> String {
    format!("key:{index:012}")
}

/// `INDEX:VERSION:` and bytes that do not compress.
pub fn value(index: u64, version: u32) -> [u8; VALUE_BYTES] {
    let mut out = [0; VALUE_BYTES];
    let head = format!("{index:012}:{version:010}:");
    out[..head.len()].copy_from_slice(head.as_bytes());
    let mut rng = Rng::new(index << 32 | u64::from(version));
    for chunk in out[head.len()..].chunks_mut(8) {
        chunk.copy_from_slice(&rng.bits().to_le_bytes()[..chunk.len()]);
    }
    out
}

/// Which version of the key's value `reply` is; anything else is an error.
pub fn version(index: u64, reply: &Value) -> Result<u32> {
    let bytes = reply.bytes().unwrap_or_default();
    let text = bytes.get(13..23).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let version: u32 = text.with_context(|| format!("{} is no value of {}", reply, key(index)))?;
    ensure!(bytes == value(index, version), "{} has a value that was never written: {reply}", key(index));
    Ok(version)
}

/// Sets all keys of the range to their value of this version.
pub fn load(port: u16, range: Range<u64>, version: u32) -> Result<()> {
    each(port, range, &Value::Simple(b"OK".to_vec()), |index, out| {
        encode(&[&b"SET"[..], key(index).as_bytes(), &value(index, version)], out);
    })
}

/// The same from so many clients, each of which waits for a reply before it sends the next command.
pub fn load_waiting(port: u16, mut range: Range<u64>, version: u32, clients: usize) -> Result<()> {
    let mut conns = (0..clients).map(|_| Conn::open(port)).collect::<Result<Vec<_>>>()?;
    let sockets = conns.iter().map(Conn::writer).collect::<Result<Vec<_>>>()?;
    let set = |conn: &mut Conn, index| conn.send(&[&b"SET"[..], key(index).as_bytes(), &value(index, version)]);
    let mut waiting = 0;
    for (conn, index) in conns.iter_mut().zip(range.by_ref()) {
        set(conn, index)?;
        waiting += 1;
    }
    while waiting > 0 {
        let ready = poll::readable(sockets.iter(), PATIENCE)?;
        ensure!(ready.contains(&true), "no reply for {PATIENCE:?}");
        for (conn, _) in conns.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            let reply = conn.reply()?;
            ensure!(reply == Value::Simple(b"OK".to_vec()), "SET was answered {reply}");
            match range.next() {
                Some(index) => set(conn, index)?,
                None => waiting -= 1,
            }
        }
    }
    Ok(())
}

/// Sends one command for each number, one round trip ahead of the replies; each must be answered with `expected`.
pub fn each(port: u16, range: Range<u64>, expected: &Value, command: impl Fn(u64, &mut Vec<u8>)) -> Result<()> {
    let mut conn = Conn::open(port)?;
    let (mut answered, mut bytes) = (range.start, Vec::new());
    for first in range.clone().step_by(BATCH as usize) {
        bytes.clear();
        (first..range.end.min(first + BATCH)).for_each(|index| command(index, &mut bytes));
        conn.send_raw(&bytes)?;
        answered = expect(&mut conn, answered..first, expected)?;
    }
    expect(&mut conn, answered..range.end, expected)?;
    Ok(())
}

fn expect(conn: &mut Conn, range: Range<u64>, expected: &Value) -> Result<u64> {
    for index in range.clone() {
        let reply = conn.reply()?;
        if reply != *expected {
            bail!("command {index} was answered {reply}, not {expected}");
        }
    }
    Ok(range.end)
}

#[cfg(test)]
mod tests {
    use super::{value, version};
    use crate::resp::Value;

    #[test]
    fn a_value_tells_its_version_and_no_other_bytes_do() {
        let mut bytes = value(7, 42).to_vec();
        assert_eq!(version(7, &Value::Bulk(bytes.clone())).unwrap(), 42);
        assert!(version(8, &Value::Bulk(bytes.clone())).is_err());
        bytes[60] ^= 1;
        assert!(version(7, &Value::Bulk(bytes)).is_err());
        assert!(version(7, &Value::NullBulk).is_err());
    }
}
