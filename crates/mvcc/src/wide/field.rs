//! Values of a hash's fields.
//!
//! ```text
//!   flags u8: bit 0 a deadline follows; the rest zero
//!   deadline i64, Unix milliseconds, big-endian          (bit 0 only)
//!   the value
//! ```

use super::error::WideError;
use super::fields::{Fields, encode_deadline};

/// What the row of a hash's field says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldValue<'a> {
    /// When the field expires, in Unix milliseconds. Any number: the store's own deadline, which helps to collect the
    /// row, is a timestamp and cannot say all of them.
    pub deadline: Option<i64>,
    /// The value.
    pub value: &'a [u8],
}

impl<'a> FieldValue<'a> {
    /// Appends what stands in front of the value, which is answered: what follows need not be copied.
    pub fn encode_head(&self, out: &mut Vec<u8>) -> &'a [u8] {
        encode_deadline(self.deadline, out);
        self.value
    }

    /// What the content of a field's row says; see [`Element::parse`](super::Element::parse).
    pub fn decode(content: &'a [u8]) -> Result<Self, WideError> {
        let mut fields = Fields::new("the value of a field", content);
        Ok(Self { deadline: fields.deadline()?, value: fields.rest() })
    }
}
