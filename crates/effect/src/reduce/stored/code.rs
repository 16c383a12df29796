//! How names, values and parts stand in the bytes of a state.
//!
//! ```text
//! bytes       := length varint ‖ bytes           score, both scores of a delta: f64 LE
//! moment      := 0 (never) | 1 ‖ unix ms zigzag  statement := type of the value that it came with u8, 0 for none ‖ moment
//! edit        := 0 ‖ zigzag (add)  | 1 ‖ bytes (add decimal) | 2 ‖ bytes (maximum) | 3 ‖ bytes (append)
//!              | 4 ‖ offset varint ‖ bytes | 5 ‖ offset varint ‖ width u8 ‖ value varint
//!              | 6 ‖ zigzag (maximum) | 7 ‖ bytes (if there is none)
//! content     := bytes ‖ count varint ‖ (origin u64 LE ‖ seq varint)*      the elements that it is of; 0 and 0 is the base
//! ```

use std::convert::Infallible;

use crate::codec::{dot, put_dot};
use crate::id::{Dot, Origin};
use crate::items::{get_deadline, put_deadline, score};
use crate::limits::MAX_STRING_BYTES;
use crate::op::Kind;
use crate::pos::ListPos;
use crate::reduce::deadlines::{Moment, Statement};
use crate::reduce::edit::{Content, Edit, ScoreDelta};
use crate::wire::{Reader, WireError, put_bytes, put_varint, put_zigzag};

/// What stands for the base among effects.
const BASE: Dot = Dot { origin: Origin(0), seq: 0 };

/// What has a form in bytes.
pub(super) trait Code: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError>;
}

impl Code for Vec<u8> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(from.bytes()?.to_vec())
    }
}

impl Code for Box<[u8]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(from.bytes()?.into())
    }
}

impl Code for Content {
    fn put(&self, out: &mut Vec<u8>) {
        self.value.put(out);
        put_varint(out, self.on.len() as u64);
        for on in &self.on {
            put_dot(out, on.unwrap_or(BASE));
        }
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let value = Code::get(from)?;
        let at = from.offset();
        let mut on: Vec<Option<Dot>> = Vec::new();
        for _ in 0..from.varint()? {
            let dot: Option<Dot> = Some(dot(from)?).filter(|dot| *dot != BASE);
            if on.last().is_some_and(|last| *last >= dot) || dot.is_some_and(|dot| dot.seq == 0) {
                return Err(WireError::Invalid { what: "order of elements", at });
            }
            on.push(dot);
        }
        if on.is_empty() { Err(WireError::Invalid { what: "number of parts", at }) } else { Ok(Self { value, on }) }
    }
}

impl Code for () {
    fn put(&self, _: &mut Vec<u8>) {}
    fn get(_: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(())
    }
}

impl Code for Infallible {
    fn put(&self, _: &mut Vec<u8>) {}
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Err(WireError::Invalid { what: "change of a member", at: from.offset() })
    }
}

impl Code for f64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bits().to_le_bytes());
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        score(from)
    }
}

impl Code for ScoreDelta {
    fn put(&self, out: &mut Vec<u8>) {
        self.from.put(out);
        self.to.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { from: score(from)?, to: score(from)? })
    }
}

impl Code for ListPos {
    fn put(&self, out: &mut Vec<u8>) {
        self.encode(0, out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        ListPos::decode(0, from)
    }
}

impl Code for Moment {
    fn put(&self, out: &mut Vec<u8>) {
        put_deadline(out, self.ms());
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        get_deadline(from).map(Moment::of)
    }
}

impl Code for Statement {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(self.of.map_or(0, |kind| kind as u8));
        self.moment.put(out);
    }
    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        let of = match from.u8()? {
            0 => None,
            kind => Some(Kind::from_u8(kind).ok_or(WireError::Invalid { what: "kind of value", at })?),
        };
        Ok(Self { of, moment: Code::get(from)? })
    }
}

impl Code for Edit {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self {
            Edit::AddInt(_) => 0,
            Edit::AddDecimal(_) => 1,
            Edit::MaxBytes(_) => 2,
            Edit::Append(_) => 3,
            Edit::Write { .. } => 4,
            Edit::Bits { .. } => 5,
            Edit::MaxInt(_) => 6,
            Edit::First(_) => 7,
        });
        match self {
            Edit::AddInt(n) | Edit::MaxInt(n) => put_zigzag(out, *n),
            Edit::AddDecimal(bytes) | Edit::MaxBytes(bytes) | Edit::Append(bytes) | Edit::First(bytes) => {
                bytes.put(out)
            }
            Edit::Write { offset, bytes } => {
                put_varint(out, *offset);
                bytes.put(out);
            }
            Edit::Bits { offset, width, value } => {
                put_varint(out, *offset);
                out.push(*width);
                put_varint(out, *value);
            }
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let at = from.offset();
        let edit = match from.u8()? {
            0 => Edit::AddInt(from.zigzag()?),
            1 => Edit::AddDecimal(Code::get(from)?),
            2 => Edit::MaxBytes(Code::get(from)?),
            3 => Edit::Append(Code::get(from)?),
            4 => Edit::Write { offset: from.varint()?, bytes: Code::get(from)? },
            5 => Edit::Bits { offset: from.varint()?, width: from.u8()?, value: from.varint()? },
            6 => Edit::MaxInt(from.zigzag()?),
            7 => Edit::First(Code::get(from)?),
            _ => return Err(WireError::Invalid { what: "edit", at }),
        };
        let is_sound = match &edit {
            Edit::Write { offset, bytes } => offset.saturating_add(bytes.len() as u64) <= MAX_STRING_BYTES,
            Edit::Bits { offset, width, .. } => offset / 8 < MAX_STRING_BYTES && (1..=64).contains(width),
            _ => true,
        };
        if is_sound { Ok(edit) } else { Err(WireError::Invalid { what: "edit", at }) }
    }
}
