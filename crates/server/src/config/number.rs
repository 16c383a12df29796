//! Numbers as Redis reads and prints them: plain, in bytes with units, as a share of memory, octal.

/// Beyond this a count cannot be a signed 64 bit number.
pub(super) const MAX_I64: i128 = i64::MAX as i128;
/// The largest 32 bit signed number.
pub(super) const MAX_I32: i128 = i32::MAX as i128;
/// The largest 32 bit unsigned number.
pub(super) const MAX_U32: i128 = u32::MAX as i128;
/// The largest 64 bit unsigned number.
pub(super) const MAX_U64: i128 = u64::MAX as i128;

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Digits.
    Plain,
    /// Digits; a number that is out of bounds, and not negative, becomes the nearest bound.
    Clamped,
    /// Digits, then nothing, `b`, `k` (1000), `kb` (1024), `m`, `mb`, `g` or `gb`, in any case.
    Bytes,
    /// As bytes, or `5%`, kept as −5.
    BytesOrPercent,
    /// Octal digits.
    Octal,
}

/// A number between two bounds. 128 bits hold every signed and unsigned range that Redis has.
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// How it is written.
    pub unit: Unit,
    /// The smallest it may be.
    pub min: i128,
    /// The largest it may be.
    pub max: i128,
}

impl Number {
    /// A plain number.
    pub(super) const fn plain(min: i128, max: i128) -> Self {
        Self { unit: Unit::Plain, min, max }
    }

    /// A number of bytes.
    pub(super) const fn bytes(min: i128, max: i128) -> Self {
        Self { unit: Unit::Bytes, min, max }
    }

    /// Reads and bounds it; the error is the text that Redis gives.
    pub(super) fn parse(self, text: &[u8]) -> Result<i128, String> {
        let value = match self.unit {
            Unit::Plain | Unit::Clamped => plain(text).ok_or("argument couldn't be parsed into an integer")?,
            Unit::Bytes => bytes(text).ok_or("argument must be a memory value")?,
            Unit::Octal => octal(text).ok_or("argument couldn't be parsed as an octal number")?,
            Unit::BytesOrPercent => {
                bytes(text).or_else(|| percent(text)).ok_or("argument must be a memory or percent value")?
            }
        };
        self.bound(value)
    }

    fn bound(self, value: i128) -> Result<i128, String> {
        if self.unit == Unit::BytesOrPercent && value < self.min {
            return Err(format!("percentage argument must be less or equal to {}", -self.min));
        }
        if self.unit == Unit::Clamped {
            let near = (0..=MAX_I32).contains(&value).then(|| value.clamp(self.min, self.max));
            return near.ok_or_else(|| format!("argument must be between 0 and {MAX_I32} inclusive"));
        }
        if (self.min..=self.max).contains(&value) {
            return Ok(value);
        }
        Err(match self.unit {
            Unit::Octal => format!("argument must be between {:o} and {:o} inclusive", self.min, self.max),
            _ => format!("argument must be between {} and {} inclusive", self.min, self.max),
        })
    }

    /// As CONFIG GET prints it.
    pub(super) fn print(self, value: i128) -> String {
        match self.unit {
            Unit::Octal => format!("{value:o}"),
            Unit::BytesOrPercent if value < 0 => format!("{}%", -value),
            _ => value.to_string(),
        }
    }

    /// As a configuration file says it: bytes in the largest unit that divides them.
    pub(super) fn print_for_file(self, value: i128) -> String {
        match self.unit {
            Unit::Bytes | Unit::BytesOrPercent if value > 0 => in_units(value),
            _ => self.print(value),
        }
    }

    pub(super) fn describe(self) -> String {
        let range = |what: &str| match (self.min, self.max) {
            (i128::MIN..=-2_147_483_648, _) => what.to_owned(),
            (min, MAX_I32 | MAX_U32 | MAX_I64 | MAX_U64) => format!("{what}, at least {min}"),
            (min, max) => format!("{what} from {min} to {max}"),
        };
        match self.unit {
            Unit::Plain | Unit::Clamped => range("number"),
            Unit::Bytes if self.min == 0 => "bytes (1k, 1kb, 1mb, 1gb)".into(),
            Unit::Bytes if self.max >= MAX_I64 => {
                format!("bytes (1k, 1kb, 1mb, 1gb), at least {}", in_units(self.min))
            }
            Unit::Bytes => format!("bytes (1k, 1kb, 1mb, 1gb) from {} to {}", in_units(self.min), in_units(self.max)),
            Unit::BytesOrPercent => "bytes, or a percentage of maxmemory".into(),
            Unit::Octal => format!("octal number up to {:o}", self.max),
        }
    }
}

/// A number as RESP writes it: no sign but `-`, no leading zero, no space.
pub(super) fn plain(text: &[u8]) -> Option<i128> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let value: i64 = std::str::from_utf8(text).ok().filter(|_| canonical)?.parse().ok()?;
    Some(i128::from(value))
}

/// A number of bytes.
///
/// No digits at all are zero, as in Redis. DIFFERENCE: what does not fit 64 bits is refused; Redis takes the rest
/// that is left after it overflowed.
pub(super) fn bytes(text: &[u8]) -> Option<i128> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (number, unit) = text.split_at(digits);
    let factor: i128 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number = std::str::from_utf8(number).ok()?;
    let count: u64 = if number.is_empty() { 0 } else { number.parse().ok()? };
    let value = i128::from(count) * factor;
    (value <= MAX_U64).then_some(value)
}

/// A number of bytes with its unit, as every directive takes it: `256mb`.
#[must_use]
pub fn parse_bytes(text: &[u8]) -> Option<u64> {
    // Without a digit it would read as 0.
    let value = bytes(text).filter(|_| text.first().is_some_and(u8::is_ascii_digit))?;
    u64::try_from(value).ok()
}

fn percent(text: &[u8]) -> Option<i128> {
    let value = plain(text.strip_suffix(b"%")?)?;
    (value >= 0).then_some(-value)
}

fn octal(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    if text.starts_with('+') {
        return None;
    }
    i64::from_str_radix(text, 8).ok().map(i128::from)
}

fn in_units(value: i128) -> String {
    for (factor, unit) in [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")] {
        if value % factor == 0 {
            return format!("{}{unit}", value / factor);
        }
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_decimal_without_b_and_binary_with_it() {
        for (text, value) in [
            ("1", 1),
            ("1b", 1),
            ("1k", 1000),
            ("1KB", 1024),
            ("2m", 2_000_000),
            ("2Mb", 2 << 20),
            ("3g", 3_000_000_000),
            ("3gB", 3 << 30),
            ("", 0),
            ("kb", 0),
        ] {
            assert_eq!(bytes(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["-1", "1t", "1 kb", "1.5gb", "99999999999999999999", "18446744073709551615k"] {
            assert_eq!(bytes(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn plain_numbers_have_one_spelling() {
        for text in ["01", "+1", " 1", "1 ", "-0", "", "-", "0x1", "9223372036854775808"] {
            assert_eq!(plain(text.as_bytes()), None, "{text}");
        }
        assert_eq!(plain(b"-9223372036854775808"), Some(i128::from(i64::MIN)));
    }

    proptest! {
        #[test]
        fn what_a_file_says_is_what_was_printed(value in 0..MAX_U64) {
            for unit in [Unit::Bytes, Unit::BytesOrPercent, Unit::Octal] {
                let number = Number { unit, min: 0, max: MAX_I64 };
                if value <= MAX_I64 {
                    prop_assert_eq!(number.parse(number.print_for_file(value).as_bytes()), Ok(value));
                    prop_assert_eq!(number.parse(number.print(value).as_bytes()), Ok(value));
                }
            }
        }

        #[test]
        fn whole_gigabytes_are_written_as_such(count in 1i128..1000) {
            prop_assert_eq!(in_units(count << 30), format!("{count}gb"));
        }
    }
}
