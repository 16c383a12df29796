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
    let value = strtod(text)?;
    let lost = value.is_infinite() || (value == 0.0 && has_digit_but_zero(text));
    // What is too large or too small for a double is refused; the words for the infinities have no digit.
    if lost && text.iter().any(u8::is_ascii_digit) { None } else { Some(value) }
}

/// Whether a number's digits before its exponent say that it is not zero.
fn has_digit_but_zero(text: &[u8]) -> bool {
    let hex = text.iter().any(|b| matches!(b, b'x' | b'X'));
    let digits = text.iter().take_while(|b| !matches!((hex, b), (false, b'e' | b'E') | (true, b'p' | b'P')));
    digits.copied().any(|b| matches!((hex, b), (_, b'1'..=b'9') | (true, b'a'..=b'f' | b'A'..=b'F')))
}

/// A float as C's strtod reads it, all of the text and without blanks before it. What is too large is infinite, what is
/// too small zero; never NaN.
pub fn strtod(text: &[u8]) -> Option<f64> {
    let (negative, body) = match text {
        [b'-', body @ ..] => (true, body),
        [b'+', body @ ..] => (false, body),
        body => (false, body),
    };
    let value = match body {
        [b'0', b'x' | b'X', hex @ ..] => hex_float(&str::from_utf8(hex).ok()?.to_ascii_lowercase())?,
        // Rust also reads words that start with a letter; Redis does not.
        [b'0'..=b'9' | b'.', ..] => str::from_utf8(body).ok()?.parse().ok()?,
        _ if is(body, "inf") || is(body, "infinity") => f64::INFINITY,
        _ => return None,
    };
    Some(if negative { -value } else { value })
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
    if value == 0.0 {
        return Some(0.0);
    }
    Some(value * 2f64.powi(exponent.saturating_sub(4 * fraction.len() as i32)))
}

/// Longest timeout, in ms: behind it the clock still fits for centuries.
const TIMEOUT_MAX_MS: f64 = (i64::MAX - (1 << 43)) as f64;

/// A timeout of a blocking command: seconds, possibly with a fraction; answers ms. What rounds up to nothing waits for
/// ever, also from below.
pub fn timeout_ms(text: &[u8]) -> Result<i64, Stop> {
    let seconds = strtod(text).ok_or(errors::TIMEOUT_NOT_A_FLOAT)?;
    let ms = (seconds * 1000.0).ceil();
    if ms > TIMEOUT_MAX_MS {
        return Err(errors::TIMEOUT_OUT_OF_RANGE);
    }
    if ms < 0.0 {
        return Err(errors::TIMEOUT_NEGATIVE);
    }
    Ok(ms as i64)
}

/// An integer that is not negative; anything else is `refused`.
pub fn not_negative(text: &[u8], refused: Stop) -> Result<usize, Stop> {
    resp::parse_i64(text).and_then(|n| usize::try_from(n).ok()).ok_or(refused)
}

/// An integer from 1 on; anything else is `refused`.
pub fn positive(text: &[u8], refused: Stop) -> Result<usize, Stop> {
    match not_negative(text, refused.clone())? {
        0 => Err(refused),
        n => Ok(n),
    }
}

/// An integer whose negative is one too.
pub fn negatable(text: &[u8]) -> Result<i64, Stop> {
    match int(text)? {
        i64::MIN => Err(errors::NOT_NEGATABLE),
        n => Ok(n),
    }
}

/// Members that may be asked for with repetition.
///
/// DIFFERENCE: Redis takes any count and fills its memory with the reply; so many members are far beyond use and at
/// a few dozen bytes each within what a reply may hold.
const REPEATED_MAX: i64 = 1 << 24;

/// How many members to reply, with repetition, for a negative count.
pub fn repetitions(count: i64) -> Result<usize, Stop> {
    if count < -REPEATED_MAX { Err(errors::OUT_OF_RANGE) } else { Ok(count.unsigned_abs() as usize) }
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
        for text in ["", " 1", "1 ", "nan", "abc", "1e", "--1", "0x", "+-1", "infx", "1_0", "."] {
            assert_eq!(float_opt(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn floats_that_do_not_fit_a_double_are_refused_where_redis_does() {
        for (text, value) in
            [("1e400", f64::INFINITY), ("-1e400", f64::NEG_INFINITY), ("1e-400", 0.0), ("0x1p-2000", 0.0)]
        {
            assert_eq!(strtod(text.as_bytes()), Some(value), "{text}");
            assert_eq!(float_opt(text.as_bytes()), None, "{text}");
        }
        for text in ["inf", "-Infinity", "0", "-0.0", "0e5", "0x0p9", "5e-324", "0xE", "INF"] {
            assert_eq!(float_opt(text.as_bytes()), strtod(text.as_bytes()), "{text}");
            assert!(float_opt(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn timeouts_are_rounded_up_and_bounded() {
        for (text, ms) in [
            ("0", 0),
            ("1", 1000),
            ("0.0001", 1),
            ("-0.0001", 0),
            ("0x10", 16_000),
            ("9e15", 9_000_000_000_000_000_000),
        ] {
            assert_eq!(timeout_ms(text.as_bytes()), Ok(ms), "{text}");
        }
        for text in ["-1", "-0.001", "-inf", "-1e30"] {
            assert_eq!(timeout_ms(text.as_bytes()), Err(errors::TIMEOUT_NEGATIVE), "{text}");
        }
        for text in ["inf", "1e17", "9223372036854775"] {
            assert_eq!(timeout_ms(text.as_bytes()), Err(errors::TIMEOUT_OUT_OF_RANGE), "{text}");
        }
        for text in ["", "1 ", "nan", "abc"] {
            assert_eq!(timeout_ms(text.as_bytes()), Err(errors::TIMEOUT_NOT_A_FLOAT), "{text}");
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
