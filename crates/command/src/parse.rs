//! Arguments as numbers and options.

use engine::Stop;

use crate::errors;

/// An integer in canonical form.
#[inline]
pub fn int(text: &[u8]) -> Result<i64, Stop> {
    resp::parse_i64(text).ok_or(errors::NOT_AN_INTEGER)
}

/// Whether an argument is this option, in any case.
#[inline]
pub fn is(text: &[u8], option: &str) -> bool {
    text.eq_ignore_ascii_case(option.as_bytes())
}

/// A float as Redis reads scores and increments: decimal or hexadecimal notation, `inf`, no blanks, never NaN.
pub fn float(text: &[u8]) -> Result<f64, Stop> {
    float_opt(text).ok_or(errors::NOT_A_FLOAT)
}

/// As [`float`], without an error text.
pub fn float_opt(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1.0, &text[1..]),
        b'+' => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let lower = body.to_ascii_lowercase();
    let value = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        _ => match lower.strip_prefix("0x") {
            Some(hex) => hex_float(hex)?,
            // Rust also reads words that start with a letter; Redis does not.
            None if !lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') => return None,
            None => lower.parse().ok()?,
        },
    };
    Some(sign * value)
}

/// Hexadecimal floats as strtod reads them: digits with an optional point and an optional power of two.
fn hex_float(text: &str) -> Option<f64> {
    let (digits, exponent) = match text.split_once('p') {
        Some((digits, power)) => (digits, power.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0.0;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    Some(value * 2f64.powi(exponent.saturating_sub(4 * fraction.len() as i32)))
}

/// A timeout of a blocking command: seconds, possibly with a fraction; answers ms.
pub fn timeout_ms(text: &[u8]) -> Result<i64, Stop> {
    let seconds = float_opt(text).ok_or(errors::TIMEOUT_NOT_A_FLOAT)?;
    if seconds < 0.0 {
        return Err(errors::TIMEOUT_NEGATIVE);
    }
    let ms = (seconds * 1000.0).ceil();
    if ms > i64::MAX as f64 / 2.0 {
        return Err(errors::TIMEOUT_OUT_OF_RANGE);
    }
    Ok(ms as i64)
}

/// Turns an index that may count from the end into one from the start, of `len` elements.
pub fn index(at: i64, len: usize) -> i64 {
    if at < 0 { at + len as i64 } else { at }
}

/// The range `[start, end)` that an inclusive pair of indexes, possibly from the end, means in `len` elements.
pub fn range(start: i64, stop: i64, len: usize) -> std::ops::Range<usize> {
    let start = index(start, len).max(0) as usize;
    let stop = index(stop, len);
    if stop < 0 || start >= len || start as i64 > stop {
        return 0..0;
    }
    start..(stop as usize).min(len - 1) + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_read_like_strtod_without_blanks() {
        for (text, value) in [
            ("1", 1.0),
            ("+1.5", 1.5),
            ("-inf", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("0x1p-1", 0.5),
        ] {
            assert_eq!(float_opt(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["", " 1", "1 ", "nan", "abc", "1e", "--1", "0x", "+-1"] {
            assert_eq!(float_opt(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn ranges_clamp_like_lrange() {
        assert_eq!(range(0, -1, 3), 0..3);
        assert_eq!(range(-2, -1, 3), 1..3);
        assert_eq!(range(-100, 100, 3), 0..3);
        assert_eq!(range(2, 1, 3), 0..0);
        assert_eq!(range(5, 9, 3), 0..0);
        assert_eq!(range(0, -5, 3), 0..0);
        assert_eq!(range(0, 0, 0), 0..0);
    }
}
