//! Floats as Redis computes INCRBYFLOAT and its kin: the x87 extended format, a 64-bit significand, rounded to nearest.
//!
//! Replies must agree with Redis to the last of 17 digits behind the point, and a double does not have them. The
//! arithmetic is done exactly on big integers and rounded once, as the hardware does (Intel SDM vol. 1, ch. 8).
//!
//! *Invariant:* a finite number is `significand · 2^exponent` with the exponent not below that of the smallest
//! subnormal, and the significand has its top bit set unless the exponent is at that end.

use std::cmp::Ordering;

use bigdecimal::num_bigint::{BigInt, BigUint};
use engine::numeric;

/// The exponent of the lowest bit of subnormal numbers.
const EXPONENT_MIN: i64 = -16_445;
/// The largest exponent of the lowest bit.
const EXPONENT_MAX: i64 = 16_320;
/// Digits behind the point that are printed.
const FRACTION_DIGITS: usize = 17;
/// The longest text that is taken for a number, in bytes.
const TEXT_MAX: usize = 5 * 1024 - 1;
/// Decimal exponents beyond this are infinite or zero whatever the digits are, as those are bounded by [`TEXT_MAX`].
const DECIMAL_EXPONENT_MAX: i64 = 20_000;

/// An 80-bit float that is not NaN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LongDouble {
    /// Infinity, negative or not.
    Infinite {
        /// Below zero.
        negative: bool,
    },
    /// A number.
    Finite {
        /// Below zero, or minus zero.
        negative: bool,
        /// 64 bits.
        significand: u64,
        /// The power of two of the significand's lowest bit.
        exponent: i64,
    },
}

impl LongDouble {
    /// Zero.
    pub(crate) const ZERO: Self = Self::Finite { negative: false, significand: 0, exponent: EXPONENT_MIN };
    /// The largest finite number.
    pub(crate) const MAX: Self = Self::Finite { negative: false, significand: u64::MAX, exponent: EXPONENT_MAX };
    /// The smallest finite number.
    pub(crate) const MIN: Self = Self::Finite { negative: true, significand: u64::MAX, exponent: EXPONENT_MAX };

    /// Reads what strtold reads, but no leading blanks, no NaN, and nothing that overflows or vanishes.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (negative, body) = match text {
            [b'-', body @ ..] => (true, body),
            [b'+', body @ ..] => (false, body),
            body => (false, body),
        };
        if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite { negative });
        }
        let number = match body {
            [b'0', b'x' | b'X', hex @ ..] => Number::read(hex, 16)?,
            decimal => Number::read(decimal, 10)?,
        };
        let value = number.round(negative)?;
        let vanished = matches!(value, Self::Finite { significand: 0, .. }) && number.digits != BigUint::ZERO;
        (value.is_finite() && !vanished).then_some(value)
    }

    /// The sum, rounded to nearest, ties to even; `None` for infinities that cancel each other.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Infinite { negative: a }, Self::Infinite { negative: b }) if a != b => None,
            (Self::Infinite { .. }, _) => Some(self),
            (_, Self::Infinite { .. }) => Some(other),
            _ => {
                let (a, b, exponent) = self.aligned(other);
                let sum = a + b;
                let negative = sum < BigInt::ZERO;
                Some(rounded(negative, sum.into_parts().1, exponent, false))
            }
        }
    }

    /// The difference, as [`LongDouble::plus`].
    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.negated())
    }

    /// Whether it is no infinity.
    pub(crate) fn is_finite(self) -> bool {
        matches!(self, Self::Finite { .. })
    }

    /// The order of the values; both zeros are equal.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        let rank = |infinite_negative: bool| if infinite_negative { -1 } else { 1 };
        match (self, other) {
            (Self::Infinite { negative: a }, Self::Infinite { negative: b }) => rank(a).cmp(&rank(b)),
            (Self::Infinite { negative }, _) => rank(negative).cmp(&0),
            (_, Self::Infinite { negative }) => 0.cmp(&rank(negative)),
            _ => {
                let (a, b, _) = self.aligned(other);
                a.cmp(&b)
            }
        }
    }

    /// With at most 17 digits behind the point, no exponent, no zeros at the end, and no minus before a zero.
    pub(crate) fn print(self) -> String {
        let (negative, significand, exponent) = match self {
            Self::Infinite { negative } => return if negative { "-inf" } else { "inf" }.to_owned(),
            Self::Finite { negative, significand, exponent } => (negative, BigUint::from(significand), exponent),
        };
        let scaled = significand * BigUint::from(10u8).pow(FRACTION_DIGITS as u32);
        let scaled = match u64::try_from(exponent) {
            Ok(left) => scaled << left,
            Err(_) => shifted_right(&scaled, exponent.unsigned_abs(), false),
        };
        let mut digits = scaled.to_string();
        if digits.len() <= FRACTION_DIGITS {
            digits.insert_str(0, &"0".repeat(FRACTION_DIGITS + 1 - digits.len()));
        }
        digits.insert(digits.len() - FRACTION_DIGITS, '.');
        let shown = digits.trim_end_matches('0').trim_end_matches('.');
        if negative && shown != "0" { format!("-{shown}") } else { shown.to_owned() }
    }

    fn negated(self) -> Self {
        match self {
            Self::Infinite { negative } => Self::Infinite { negative: !negative },
            Self::Finite { negative, significand, exponent } => {
                Self::Finite { negative: !negative, significand, exponent }
            }
        }
    }

    /// Two finite numbers as integers of one exponent.
    fn aligned(self, other: Self) -> (BigInt, BigInt, i64) {
        let parts = |value| match value {
            Self::Finite { negative, significand, exponent } => (negative, significand, exponent),
            Self::Infinite { negative } => (negative, 0, 0),
        };
        let (a, b) = (parts(self), parts(other));
        let low = a.2.min(b.2);
        let whole = |(negative, significand, exponent): (bool, u64, i64)| {
            let magnitude = BigInt::from(significand) << (exponent - low).unsigned_abs();
            if negative { -magnitude } else { magnitude }
        };
        (whole(a), whole(b), low)
    }
}

/// A number as it is written: `digits · base^power`, for base 10, or `digits · 2^power` for base 16.
struct Number {
    digits: BigUint,
    decimal: bool,
    power: i64,
}

impl Number {
    fn read(text: &[u8], base: u32) -> Option<Self> {
        let exponent_at = text.iter().position(|c| matches!((base, c), (10, b'e' | b'E') | (16, b'p' | b'P')));
        let (mantissa, exponent) = match exponent_at {
            Some(at) => (&text[..at], exponent_of(&text[at + 1..])?),
            None => (text, 0),
        };
        let mut digits = Vec::with_capacity(mantissa.len());
        let mut behind_point = None;
        for &c in mantissa {
            match (c, behind_point.as_mut()) {
                (b'.', None) => behind_point = Some(0i64),
                (c, count) => {
                    digits.push(char::from(c).to_digit(base)? as u8);
                    if let Some(count) = count {
                        *count += 1;
                    }
                }
            }
        }
        if digits.is_empty() {
            return None;
        }
        let decimal = base == 10;
        let fraction = behind_point.unwrap_or(0) * if decimal { 1 } else { 4 };
        let digits = BigUint::from_radix_be(&digits, base)?;
        Some(Self { digits, decimal, power: exponent - fraction })
    }

    fn round(&self, negative: bool) -> Option<LongDouble> {
        if self.digits == BigUint::ZERO {
            return Some(LongDouble::Finite { negative, significand: 0, exponent: EXPONENT_MIN });
        }
        if self.power.abs() > if self.decimal { DECIMAL_EXPONENT_MAX } else { 4 * DECIMAL_EXPONENT_MAX } {
            return None;
        }
        if !self.decimal {
            return Some(rounded(negative, self.digits.clone(), self.power, false));
        }
        let ten = BigUint::from(10u8).pow(self.power.unsigned_abs() as u32);
        if self.power >= 0 {
            return Some(rounded(negative, &self.digits * ten, 0, false));
        }
        // Enough bits that the quotient has more than 64, whatever the divisor is; the rest counts as a sticky bit.
        let spare = ten.bits() + 66;
        let numerator = &self.digits << spare;
        let quotient = &numerator / &ten;
        let exact = &quotient * &ten == numerator;
        Some(rounded(negative, quotient, -(spare as i64), !exact))
    }
}

/// A decimal exponent with its sign. What is beyond any float is cut.
fn exponent_of(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, c| (value * 10 + i64::from(c - b'0')).min(1 << 40));
    Some(if negative { -value } else { value })
}

/// `magnitude · 2^exponent` to the nearest representable number, ties to even. `sticky`: a little more than that.
fn rounded(negative: bool, magnitude: BigUint, exponent: i64, sticky: bool) -> LongDouble {
    if magnitude == BigUint::ZERO {
        return LongDouble::Finite { negative, significand: 0, exponent: EXPONENT_MIN };
    }
    let drop = (magnitude.bits() as i64 - 64).max(EXPONENT_MIN - exponent);
    let mut exponent = exponent + drop;
    let mut whole = match u64::try_from(drop) {
        Ok(right) => shifted_right(&magnitude, right, sticky),
        Err(_) => magnitude << drop.unsigned_abs(),
    };
    if whole.bits() > 64 {
        whole >>= 1u8;
        exponent += 1;
    }
    if exponent > EXPONENT_MAX {
        return LongDouble::Infinite { negative };
    }
    let significand = u64::try_from(whole).expect("it was cut to 64 bits");
    LongDouble::Finite { negative, significand, exponent }
}

/// `value / 2^bits`, rounded to nearest, ties to even; `sticky` counts as a further bit behind the last.
fn shifted_right(value: &BigUint, bits: u64, sticky: bool) -> BigUint {
    let whole = value >> bits;
    if bits == 0 {
        return whole;
    }
    let half = value.bit(bits - 1);
    let below = sticky || value.trailing_zeros().is_some_and(|zeros| zeros < bits - 1);
    if half && (below || whole.bit(0)) { whole + 1u8 } else { whole }
}

/// The exact decimal that turns the text `old` into the text `new` when it is added; `None` if the string is `new`
/// already.
pub(crate) fn decimal_delta(old: Option<&[u8]>, new: &str) -> Option<String> {
    if old == Some(new.as_bytes()) {
        return None;
    }
    let before = old.and_then(numeric::parse_decimal).unwrap_or_default();
    let after = numeric::parse_decimal(new.as_bytes()).unwrap_or_default();
    Some((after - before).normalized().to_plain_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(a: &str, b: &str) -> Option<String> {
        let sum = LongDouble::parse(a.as_bytes())?.plus(LongDouble::parse(b.as_bytes())?)?;
        Some(sum.print())
    }

    #[test]
    fn sums_are_those_of_the_x87() {
        for (a, b, expected) in [
            ("0", "0.1", "0.1"),
            ("0.1", "0.2", "0.3"),
            ("1e17", "0.1", "100000000000000000.1015625"),
            ("3.14159265358979323846264338", "1", "4.14159265358979324"),
            ("0.00000000000000000001", "0", "0"),
            ("0x10", "0x1p-3", "16.125"),
            ("-0", "0", "0"),
            ("-0.000000000000000001", "0", "0"),
            ("123456789012345678901234567890.5", "1.1", "123456789012345678899921813504"),
            ("1e18", "0.3", "1000000000000000000.3125"),
            ("5e16", "0.123456789", "50000000000000000.125"),
            ("999999999999999999", "0.999", "1000000000000000000"),
            ("1", "0.00000000000000001", "1.00000000000000001"),
            ("1e-4950", "1", "1"),
            ("inf", "1", "inf"),
            ("5.", ".5", "5.5"),
        ] {
            assert_eq!(sum(a, b).as_deref(), Some(expected), "{a} + {b}");
        }
    }

    #[test]
    fn what_strtold_refuses_or_redis_does_is_no_number() {
        for text in ["", " 1", "1 ", "nan", "1e", "e5", ".", "0x", "1e5000", "1e-5000", "1,5", "--1", "1e99999999999"] {
            assert_eq!(LongDouble::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(sum("inf", "-inf"), None);
        assert_eq!(sum("1.18973149535723176502e4932", "1e4932").as_deref(), Some("inf"));
        assert_eq!(LongDouble::parse(b"1.18973149535723176502e4932"), Some(LongDouble::MAX));
    }

    #[test]
    fn order_follows_the_values() {
        let values = ["-inf", "-1e4932", "-1", "-1e-4950", "0", "1e-4950", "0.1", "1", "1e4932", "inf"];
        let values = values.map(|text| LongDouble::parse(text.as_bytes()).expect("a number"));
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(a.compare(*b), i.cmp(&j));
            }
        }
    }
}
