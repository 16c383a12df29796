//! A batch as replication sees it: where it belongs, when it was written, what its writer had newly observed, and bytes.

use std::sync::Arc;

use effect::wire::{Reader, put_bytes, put_varint};
use effect::{Dot, Hlc, Origin, Vector, WireError};

/// One batch. What its bytes mean to keys is not this crate's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The dot of its first effect; the others follow it.
    pub first: Dot,
    /// How many effects, at least one.
    pub count: u64,
    /// The timestamp of its first effect.
    pub hlc: Hlc,
    /// How many ticks the last effect comes behind it: at least one for each between them.
    pub ticks: u64,
    /// What the writer's context grew by since the batch before it: of other origins only. Whoever has applied that one needs
    /// no more to know whether it may apply this one.
    pub grown: Vector,
    /// The effects.
    pub bytes: Arc<[u8]>,
}

impl Entry {
    /// The dot of its last effect.
    pub fn last(&self) -> Dot {
        Dot { seq: self.first.seq + self.count - 1, ..self.first }
    }

    /// The timestamp of its last effect.
    pub fn last_hlc(&self) -> Hlc {
        self.hlc.plus(self.ticks)
    }

    /// What it counts against windows, in bytes: what it takes on the wire, or a little more.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64 + 16 + 18 * self.grown.len() as u64
    }
}

/// Appends entries of one origin, of which each follows the one before it:
/// `origin u64 LE ‖ seq varint ‖ hlc u64 LE ‖ n varint ‖ (count varint ‖ skipped varint ‖ gap varint ‖ grown vector ‖ bytes)*`, where `skipped` is
/// how many ticks between its first and its last effect nothing has, and `gap` how many come between the entry and the one before it.
pub fn encode(entries: &[Entry], out: &mut Vec<u8>) {
    let (origin, seq, hlc) = entries.first().map_or((Origin(0), 0, Hlc(0)), |e| (e.first.origin, e.first.seq, e.hlc));
    out.extend_from_slice(&origin.0.to_le_bytes());
    put_varint(out, seq);
    out.extend_from_slice(&hlc.0.to_le_bytes());
    put_varint(out, entries.len() as u64);
    let mut next = hlc;
    for entry in entries {
        put_varint(out, entry.count);
        put_varint(out, (entry.ticks + 1).saturating_sub(entry.count));
        put_varint(out, entry.hlc.0.saturating_sub(next.0));
        entry.grown.encode(out);
        put_bytes(out, &entry.bytes);
        next = entry.last_hlc().plus(1);
    }
}

/// Reads what [`encode`] wrote.
pub fn decode(from: &mut Reader<'_>) -> Result<Vec<Entry>, WireError> {
    let mut first = Dot { origin: Origin(from.u64()?), seq: from.varint()? };
    let mut hlc = Hlc(from.u64()?);
    let n = from.varint()?;
    let mut entries = Vec::new();
    for _ in 0..n {
        let at = from.offset();
        let invalid = WireError::Invalid { what: "entry", at };
        let (count, skipped, gap) = (from.varint()?, from.varint()?, from.varint()?);
        hlc = Hlc(hlc.0.checked_add(gap).ok_or(invalid)?);
        let next_seq = first.seq.checked_add(count).ok_or(invalid)?;
        let ticks = count.checked_add(skipped).and_then(|ticks| ticks.checked_sub(1)).ok_or(invalid)?;
        let next_hlc = Hlc(hlc.0.checked_add(ticks).and_then(|last| last.checked_add(1)).ok_or(invalid)?);
        let grown = Vector::decode(from)?;
        if count == 0 || first.seq == 0 || grown.get(first.origin) != 0 {
            return Err(invalid);
        }
        entries.push(Entry { first, count, hlc, ticks, grown, bytes: from.bytes()?.into() });
        (first.seq, hlc) = (next_seq, next_hlc);
    }
    Ok(entries)
}
