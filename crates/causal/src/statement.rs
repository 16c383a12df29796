//! What a replica tells its peers of itself, again and again: the only thing that stability is made of.

use effect::wire::{Reader, put_varint, put_zigzag};
use effect::{Hlc, Origin, Vector, WireError};

/// A replica's statement. It counts for a receiver once it has applied all of the sender's effects up to `seq`: what the sender wrote
/// before it said this cannot arrive any more, and whatever it writes later has observed `durable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The sender's last effect.
    pub seq: u64,
    /// No effect of the sender behind `seq` has this timestamp or a lower one.
    pub hlc: Hlc,
    /// What it has fsynced, of every origin.
    pub durable: Vector,
    /// Of each node the incarnation of which it knows: it takes nothing any more from earlier ones themselves, and what it has of those is in
    /// `durable`. The greatest number says so of a node that is no member.
    pub lives: Vec<(u64, u16)>,
    /// The number of the epoch that it is in.
    pub epoch: u64,
    /// The sender's clock, unix ms.
    pub sent_ms: i64,
    /// What the receiver's last statement gave as `sent_ms`, and how many ms ago it arrived: so that the receiver measures the way.
    pub echo: Option<(i64, i64)>,
}

impl Statement {
    /// The incarnation of `node` below which it is done with it; 0 if it says nothing of the node.
    pub fn life(&self, node: u64) -> u16 {
        self.lives.binary_search_by_key(&node, |(node, _)| *node).map_or(0, |at| self.lives[at].1)
    }

    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.seq);
        out.extend_from_slice(&self.hlc.0.to_le_bytes());
        self.durable.encode(out);
        encode_lives(&self.lives, out);
        put_varint(out, self.epoch);
        put_zigzag(out, self.sent_ms);
        out.push(u8::from(self.echo.is_some()));
        if let Some((ms, ago)) = self.echo {
            put_zigzag(out, ms);
            put_zigzag(out, ago);
        }
    }

    /// Reads what [`Statement::encode`] wrote.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let (seq, hlc) = (from.varint()?, Hlc(from.u64()?));
        let durable = Vector::decode(from)?;
        let lives = decode_lives(from)?;
        let (epoch, sent_ms) = (from.varint()?, from.zigzag()?);
        let at = from.offset();
        let echo = match from.u8()? {
            0 => None,
            1 => Some((from.zigzag()?, from.zigzag()?)),
            _ => return Err(WireError::Invalid { what: "statement", at }),
        };
        Ok(Self { seq, hlc, durable, lives, epoch, sent_ms, echo })
    }
}

/// Appends `n varint ‖ (node varint ‖ incarnation varint)*`, by node.
pub fn encode_lives(lives: &[(u64, u16)], out: &mut Vec<u8>) {
    put_varint(out, lives.len() as u64);
    for (node, life) in lives {
        put_varint(out, *node);
        put_varint(out, u64::from(*life));
    }
}

/// Reads what [`encode_lives`] wrote.
pub fn decode_lives(from: &mut Reader<'_>) -> Result<Vec<(u64, u16)>, WireError> {
    let mut lives: Vec<(u64, u16)> = Vec::new();
    for _ in 0..from.varint()? {
        let at = from.offset();
        let (node, life) = (from.varint()?, from.varint()?);
        let life = u16::try_from(life).map_err(|_| WireError::Invalid { what: "incarnation", at })?;
        if node > Origin::MAX_NODE || lives.last().is_some_and(|(last, _)| *last >= node) {
            return Err(WireError::Invalid { what: "node", at });
        }
        lives.push((node, life));
    }
    Ok(lives)
}
