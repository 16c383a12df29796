//! A reply as a client sees it.

use crate::reply::{Protocol, Reply};

/// Any reply of RESP2 or RESP3.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `+`
    Simple(Vec<u8>),
    /// `-`; bulk errors (`!`) too.
    Error(Vec<u8>),
    /// `:`
    Int(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `_`, and RESP2's `$-1`.
    Null,
    /// RESP2's `*-1`.
    NullArray,
    /// `*`
    Array(Vec<Value>),
    /// `%`, in the order received.
    Map(Vec<(Value, Value)>),
    /// `~`, in the order received.
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `,`
    Double(f64),
    /// `#`
    Bool(bool),
    /// `(`, its digits.
    BigNumber(Vec<u8>),
    /// `=`
    Verbatim {
        /// Three bytes that name the format.
        format: [u8; 3],
        /// The text behind `format:`.
        text: Vec<u8>,
    },
}

impl Value {
    /// The bytes of a string of any kind.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::BigNumber(bytes) => Some(bytes),
            Self::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The integer of `:`.
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// The elements of an array, a set or a push.
    pub fn as_slice(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Writes the value as a server would.
    pub fn write(&self, reply: &mut Reply<'_>) {
        match self {
            Self::Simple(text) => reply.simple(&String::from_utf8_lossy(text)),
            Self::Error(text) => reply.error(text),
            Self::Int(value) => reply.int(*value),
            Self::Bulk(bytes) => reply.bulk(bytes),
            Self::Null => reply.null(),
            Self::NullArray => reply.null_array(),
            Self::Double(value) => reply.double(*value),
            Self::Bool(value) => reply.bool(*value),
            Self::BigNumber(digits) => reply.big_number(&String::from_utf8_lossy(digits)),
            Self::Verbatim { format, text } => reply.verbatim(*format, text),
            Self::Array(items) => {
                reply.array(items.len());
                items.iter().for_each(|item| item.write(reply));
            }
            Self::Set(items) => {
                reply.set(items.len());
                items.iter().for_each(|item| item.write(reply));
            }
            Self::Push(items) => {
                reply.push(items.len());
                items.iter().for_each(|item| item.write(reply));
            }
            Self::Map(pairs) => {
                reply.map(pairs.len());
                for (key, value) in pairs {
                    key.write(reply);
                    value.write(reply);
                }
            }
        }
    }

    /// The value's bytes in `protocol`.
    pub fn to_bytes(&self, protocol: Protocol) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut Reply::new(&mut out, protocol));
        out
    }
}
