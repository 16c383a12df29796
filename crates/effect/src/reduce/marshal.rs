//! One effect as bytes, with all that a merge must know of it.
//!
//! ```text
//! version u8 ‖ origin u64 LE ‖ seq varint ‖ hlc u64 LE ‖ context ‖ effect      context: as a version vector; effect: as in a batch
//! ```
//! Identities are bytes as they are: no text encoding is asked of keys, fields and members.
//!
//! *Invariant:* whatever is accepted would be written again as the same bytes.

use crate::codec;
use crate::hlc::Hlc;
use crate::id::Dot;
use crate::op::Effect;
use crate::reduce::event::Event;
use crate::vector::Vector;
use crate::wire::{Reader, WireError};

/// The version that this code writes.
const VERSION: u8 = 1;

/// An effect that was read, with what came with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Unmarshalled<'a> {
    /// Its identity.
    pub dot: Dot,
    /// When it was written.
    pub hlc: Hlc,
    /// What its writer had seen.
    pub context: Vector,
    /// What happens.
    pub effect: Effect<'a>,
}

impl Unmarshalled<'_> {
    /// It, to be applied.
    pub fn event(&self) -> Event<'_> {
        Event { dot: self.dot, hlc: self.hlc, context: &self.context, effect: &self.effect }
    }
}

/// The bytes of an effect.
pub fn marshal(event: &Event<'_>) -> Vec<u8> {
    let mut out = vec![VERSION];
    codec::put_dot(&mut out, event.dot);
    out.extend_from_slice(&event.hlc.0.to_le_bytes());
    event.context.encode(&mut out);
    codec::encode(event.effect, event.dot.origin.0, &mut out);
    out
}

/// The effect of these bytes; views of them as far as it can be.
pub fn unmarshal(bytes: &[u8]) -> Result<Unmarshalled<'_>, WireError> {
    let mut from = Reader::new(bytes);
    if from.u8()? != VERSION {
        return Err(WireError::Invalid { what: "version of an effect", at: 0 });
    }
    let at = from.offset();
    let dot = codec::dot(&mut from)?;
    let hlc = Hlc(from.u64()?);
    let context = Vector::decode(&mut from)?;
    if dot.seq == 0 || context.has(dot) {
        return Err(WireError::Invalid { what: "identity of an effect", at });
    }
    let effect = codec::decode(dot.origin.0, &mut from)?;
    match from.remaining() {
        0 => Ok(Unmarshalled { dot, hlc, context, effect }),
        _ => Err(WireError::Invalid { what: "bytes behind an effect", at: from.offset() }),
    }
}
