//! The record of the log that says whether there are other replicas, and what is stable.
//!
//! ```text
//! state := on u8 ‖ hlc u64 LE ‖ vector        on: bit 0; bit 1: everything up to the hlc is stable
//! ```

use effect::wire::Reader;
use effect::{Hlc, Vector, WireError};

/// The kind of log record that holds it.
pub(crate) const RECORD_STATE: wal::Kind = wal::Kind::new(3).expect("3 is a kind of an owner");

/// What every replica has, durably.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stable {
    pub(crate) vector: Vector,
    /// Up to which timestamp nothing is missing.
    pub(crate) hlc: Option<Hlc>,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) on: bool,
    pub(crate) stable: Stable,
}

impl State {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Stable { vector, hlc } = &self.stable;
        let mut out = vec![u8::from(self.on) | u8::from(hlc.is_some()) << 1];
        out.extend_from_slice(&hlc.unwrap_or(Hlc(0)).0.to_le_bytes());
        vector.encode(&mut out);
        out
    }

    /// Reads it where it stands; something else may follow.
    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let flags = from.u8()?;
        let hlc = Hlc(from.u64()?);
        if flags > 0b11 || (flags & 0b10 == 0 && hlc != Hlc(0)) {
            return Err(WireError::Invalid { what: "state of a replica", at: 0 });
        }
        let stable = Stable { vector: Vector::decode(from)?, hlc: (flags & 0b10 != 0).then_some(hlc) };
        Ok(Self { on: flags & 1 != 0, stable })
    }

    /// Reads a whole record.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let mut from = Reader::new(bytes);
        let state = Self::read(&mut from)?;
        match from.remaining() {
            0 => Ok(state),
            _ => Err(WireError::Invalid { what: "bytes behind a state", at: from.offset() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use effect::{Dot, Origin};

    use super::*;

    #[test]
    fn the_record_is_these_bytes() {
        let vector = Vector::from_iter([Dot { origin: Origin(258), seq: 300 }]);
        let state = State { on: true, stable: Stable { vector, hlc: Some(Hlc(7)) } };
        let bytes = state.encode();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "03 0700000000000000 01 0201000000000000 ac02".replace(' ', ""));
        assert_eq!(State::decode(&bytes), Ok(state));
        assert!((0..bytes.len()).all(|len| State::decode(&bytes[..len]).is_err()), "a cut record is refused");
        let off = State::default();
        assert_eq!(State::decode(&off.encode()), Ok(off));
        assert!(State::decode(&[4; 10]).is_err() && State::decode(&[0; 11]).is_err());
    }
}
