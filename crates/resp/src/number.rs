//! Numbers as Redis reads and prints them.

use std::io::Write;

/// Reads a signed 64-bit integer the strict way: an optional `-`, no `+`, no leading zeros, no `-0`, no blanks.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // 19 digits are below 10^19, and that fits 64 bits.
        magnitude = magnitude * 10 + u64::from(digit);
    }
    if negative { 0i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() }
}

/// Appends the decimal digits of `value`.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends the decimal digits of `value`.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Whole numbers of at most this magnitude print as integers.
const WHOLE: f64 = 4_503_599_627_370_496.0;

/// Appends `value` as Redis 7.2 and later print a double: the shortest digits that read back to the same number.
///
/// Whole numbers up to 2^52 print as integers. Other numbers print without an exponent when that takes at most seven zeros
/// at the end or at most six digits behind the point, or when the magnitude is from 10^-3 to 10^4; else as `d.ddde+x`.
/// The rest is `inf`, `-inf`, `nan`, and zero keeps its sign: `-0`.
pub fn write_double(out: &mut Vec<u8>, value: f64) {
    if write_special(out, value) {
        return;
    }
    if value.abs() <= WHOLE && value.trunc() == value {
        write_i64(out, value as i64);
        return;
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let (digits, exponent) = Digits::shortest(value.abs());
    write_layout(out, digits.as_slice(), exponent);
}

/// Appends `value` with up to 17 significant digits, as C's `%.17g` does and Redis up to 7.0 replies.
pub fn write_double_17(out: &mut Vec<u8>, value: f64) {
    if write_special(out, value) {
        return;
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let (digits, exponent) = Digits::seventeen(value.abs());
    let digits = digits.as_slice();
    if !(-4..17).contains(&exponent) {
        write_scientific(out, digits, exponent, 2);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + (-exponent - 1) as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        write_pointed(out, digits, exponent);
    }
}

fn write_special(out: &mut Vec<u8>, value: f64) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"nan"
    } else if value.is_infinite() {
        if value > 0.0 { b"inf" } else { b"-inf" }
    } else if value == 0.0 {
        if value.is_sign_negative() { b"-0" } else { b"0" }
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

/// Significant decimal digits, without a point and without trailing zeros.
struct Digits {
    bytes: [u8; 32],
    len: usize,
}

impl Digits {
    /// The shortest digits of a positive finite number and the power of ten of the first one.
    fn shortest(value: f64) -> (Self, i32) {
        Self::collect(format_args!("{value:e}"))
    }

    fn seventeen(value: f64) -> (Self, i32) {
        Self::collect(format_args!("{value:.16e}"))
    }

    /// Takes `d.ddde-x` apart.
    fn collect(text: std::fmt::Arguments<'_>) -> (Self, i32) {
        let mut printed = [0u8; 32];
        let mut cursor = &mut printed[..];
        cursor.write_fmt(text).expect("a double prints in at most 24 bytes");
        let used = 32 - cursor.len();
        let (mut digits, mut exponent) = (Self { bytes: [0; 32], len: 0 }, 0i32);
        let mut bytes = printed[..used].iter();
        for byte in bytes.by_ref() {
            match byte {
                b'0'..=b'9' => {
                    digits.bytes[digits.len] = *byte;
                    digits.len += 1;
                }
                b'e' => break,
                _ => {}
            }
        }
        let negative = bytes.as_slice().first() == Some(&b'-');
        for byte in bytes.filter(|byte| byte.is_ascii_digit()) {
            exponent = exponent * 10 + i32::from(byte - b'0');
        }
        while digits.len > 1 && digits.bytes[digits.len - 1] == b'0' {
            digits.len -= 1;
        }
        (digits, if negative { -exponent } else { exponent })
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn write_layout(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    let count = digits.len() as i32;
    // Power of ten of the last digit.
    let scale = exponent - (count - 1);
    if scale >= 0 && exponent < count + 7 {
        out.extend_from_slice(digits);
        out.resize(out.len() + scale as usize, b'0');
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        if exponent < 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + (-exponent - 1) as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            write_pointed(out, digits, exponent);
        }
    } else {
        write_scientific(out, digits, exponent, 1);
    }
}

/// A number of at least one, with its point after digit `exponent`.
fn write_pointed(out: &mut Vec<u8>, digits: &[u8], exponent: i32) {
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        out.extend_from_slice(digits);
        out.resize(out.len() + whole - digits.len(), b'0');
    } else {
        out.extend_from_slice(&digits[..whole]);
        out.push(b'.');
        out.extend_from_slice(&digits[whole..]);
    }
}

fn write_scientific(out: &mut Vec<u8>, digits: &[u8], exponent: i32, min_exponent_digits: usize) {
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    let magnitude = exponent.unsigned_abs();
    if min_exponent_digits == 2 && magnitude < 10 {
        out.push(b'0');
    }
    write_u64(out, u64::from(magnitude));
}
