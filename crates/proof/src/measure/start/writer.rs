//! A connection that overwrites its own keys until the server is gone, and knows what was acknowledged.

use anyhow::{Context, Result, ensure};

use crate::conn::{Conn, encode};
use crate::measure::keys;
use crate::resp::Value;
use crate::rng::Rng;

/// Commands of one round trip.
const BATCH: usize = 64;

/// Versions of a key's value.
#[derive(Clone, Copy, Debug, Default)]
struct Versions {
    acknowledged: u32,
    sent: u32,
}

/// The writer `id` of `writers` has the keys `id`, `id + writers`, `id + 2 × writers` ….
#[derive(Debug)]
pub struct Writer {
    id: u64,
    writers: u64,
    versions: Vec<Versions>,
}

impl Writer {
    /// One of `writers`, which share `keys` keys. All have version 0.
    pub fn new(id: u64, writers: u64, keys: u64) -> Writer {
        let mine = (keys - id).div_ceil(writers) as usize;
        Writer { id, writers, versions: vec![Versions::default(); mine] }
    }

    /// How many it has.
    pub fn keys(&self) -> u64 {
        self.versions.len() as u64
    }

    /// Writes until the connection breaks; how many were acknowledged. A reply that is not OK is an error.
    pub fn write(&mut self, port: u16) -> Result<u64> {
        let mut conn = Conn::open(port)?;
        let mut rng = Rng::new(self.id);
        let (mut bytes, mut batch, mut acknowledged) = (Vec::new(), Vec::new(), 0);
        loop {
            bytes.clear();
            batch.clear();
            for _ in 0..BATCH {
                let at = rng.below(self.versions.len());
                let index = self.id + at as u64 * self.writers;
                self.versions[at].sent += 1;
                let value = keys::value(index, self.versions[at].sent);
                encode(&[&b"SET"[..], keys::key(index).as_bytes(), &value], &mut bytes);
                batch.push(at);
            }
            if conn.send_raw(&bytes).is_err() {
                return Ok(acknowledged);
            }
            for at in &batch {
                let Ok(reply) = conn.reply() else { return Ok(acknowledged) };
                ensure!(reply == Value::Simple(b"OK".to_vec()), "a SET was answered {reply}");
                self.versions[*at].acknowledged += 1;
                acknowledged += 1;
            }
        }
    }

    /// What was acknowledged may be gone.
    pub fn expect_less(&mut self) {
        self.versions.iter_mut().for_each(|versions| versions.acknowledged = 0);
    }

    /// A key was found with this version: it must have been sent, and nothing acknowledged may have come after it.
    pub fn found(&mut self, index: u64, version: u32) -> Result<()> {
        let at = ((index - self.id) / self.writers) as usize;
        let Versions { acknowledged, sent } = *self.versions.get(at).context("a key of this writer")?;
        ensure!(
            (acknowledged..=sent).contains(&version),
            "{} has version {version}; {acknowledged} was acknowledged and {sent} sent",
            keys::key(index)
        );
        // What has been seen stays.
        self.versions[at] = Versions { acknowledged: version, sent };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Versions, Writer};

    #[test]
    fn what_was_acknowledged_must_be_there_and_what_was_seen_stays() {
        let mut writer = Writer::new(1, 8, 20);
        assert_eq!(writer.keys(), 3);
        writer.versions[2] = Versions { acknowledged: 3, sent: 5 };
        assert!(writer.found(17, 2).is_err() && writer.found(17, 6).is_err());
        writer.found(17, 5).unwrap();
        assert!(writer.found(17, 4).is_err());
    }
}
