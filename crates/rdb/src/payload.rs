//! One value with a footer: what DUMP answers and RESTORE takes.
//!
//! ```text
//!   ┌─────────┬──────┬──────────────┬─────────────────────────────────┐
//!   │ type u8 │ body │ version u16  │ CRC-64 (Jones) of all before it │     both numbers little-endian
//!   └─────────┴──────┴──────────────┴─────────────────────────────────┘
//! ```

use crate::crc64::checksum;
use crate::error::Error;
use crate::input::{Input, Slice};
use crate::kinds::Dialect;
use crate::object::kind_of;
use crate::source::Source;
use crate::value::Value;

/// Bytes of the footer: version and checksum.
const FOOTER: usize = 2 + 8;

/// Why a payload is refused.
#[derive(Debug)]
pub enum Refused {
    /// It is cut short, changed on its way, or of a version that is not known.
    Footer,
    /// Its body is not what its type asks for.
    Body(Error),
}

/// The value in a payload with its footer, which may take about `budget` bytes.
pub fn payload(bytes: &[u8], budget: usize) -> Result<Value, Refused> {
    let (rest, footer) = bytes.split_at_checked(bytes.len().wrapping_sub(FOOTER)).ok_or(Refused::Footer)?;
    let (version, sum) = footer.split_at(2);
    let dialect = Dialect::of_version(u16::from_le_bytes([version[0], version[1]])).ok_or(Refused::Footer)?;
    if checksum(&bytes[..bytes.len() - sum.len()]).to_le_bytes() != sum {
        return Err(Refused::Footer);
    }
    body(rest, dialect, budget).map_err(Refused::Body)
}

/// The value in a payload without its footer. Bytes behind it are left alone, as Redis does.
pub fn body(bytes: &[u8], dialect: Dialect, budget: usize) -> Result<Value, Error> {
    let mut source = Source::new(Slice::new(bytes));
    let number = source.input.byte()?;
    let kind = kind_of(number, dialect).ok_or_else(|| source.damaged("the value is of no known type"))?;
    let mut value = Value::new(kind, budget);
    source.object(number, dialect, &mut value)?;
    Ok(value.checked()?)
}
