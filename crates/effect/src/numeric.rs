//! The arithmetic of effects on text: integers, exact decimals, scores, bits.
//!
//! ```text
//! text ── parse_int, parse_decimal ──▶ number ── + delta ──▶ text        score + (to - from) ──▶ score
//! ```
//! What ends in `add_…` is total: text that is no number counts as zero there, because commands refuse such text before they
//! emit anything. Whoever merges must not rely on that, and asks the parsers.
//!
//! *Invariant:* a sum of decimals is exact, and a score is rounded once, to the nearest double.

use bigdecimal::BigDecimal;
use bigdecimal::num_bigint::BigInt;
use smallvec::SmallVec;

use crate::op::Patch;

/// Exponents beyond this are no numbers: no command makes them, and they would ask for unbounded memory.
const EXPONENT_MAX: i64 = 5_000;

/// The integer that canonical text stands for.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [] => return None,
        [b'0', ..] if text.len() > 1 => return None,
        _ if digits.len() > 19 => return None,
        _ => {}
    }
    let mut value: i64 = 0;
    for &byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if !(0..=9).contains(&digit) {
            return None;
        }
        value = value.checked_mul(10)?;
        value = if negative { value.checked_sub(digit)? } else { value.checked_add(digit)? };
    }
    Some(value)
}

/// Bytes that are mostly few: a number's text needs no allocation.
pub type Text = SmallVec<[u8; 24]>;

/// The text of the sum; wraps around where it overflows, which no command lets happen.
pub fn add_int(old: &[u8], delta: i64) -> Text {
    let sum = parse_int(old).unwrap_or(0).wrapping_add(delta);
    Text::from_slice(itoa::Buffer::new().format(sum).as_bytes())
}

/// The decimal that text stands for: digits with an optional point and exponent.
pub fn parse_decimal(text: &[u8]) -> Option<BigDecimal> {
    let text = std::str::from_utf8(text).ok()?;
    let exponent = text.find(['e', 'E']).map_or(Some(0), |at| text[at + 1..].parse::<i64>().ok())?;
    if exponent.abs() > EXPONENT_MAX {
        return None;
    }
    text.parse().ok()
}

/// A decimal as Redis prints it: no exponent, no zeros at the end. (That Redis has 17 digits behind the point at most is seen to by
/// whoever makes the summands.)
pub fn print_decimal(value: &BigDecimal) -> String {
    let value = value.normalized();
    if *value.as_bigint_and_scale().0 == BigInt::from(0) {
        return "0".to_owned();
    }
    value.to_plain_string()
}

/// The text of the exact sum.
pub fn add_decimal(old: &[u8], delta: &[u8]) -> Text {
    let old = parse_decimal(old).unwrap_or_default();
    let delta = parse_decimal(delta).unwrap_or_default();
    print_decimal(&(old + delta)).into_bytes().into()
}

/// The score after an increment that turned `from` into `to`: the exact difference is added, and the sum rounded once. Where the
/// increment left an infinity, that. None of the three is NaN.
pub fn add_score(old: f64, from: f64, to: f64) -> f64 {
    if old == from || to.is_infinite() {
        return to;
    }
    if !old.is_finite() || !from.is_finite() {
        return old;
    }
    let sum = sum_of_three(old, to, -from);
    let sum = if sum.is_finite() { sum } else { far_sum(old, from, to) };
    if sum == 0.0 { 0.0 } else { sum }
}

/// The sum of three doubles, rounded once; no number where a sum of two of them is beyond all doubles.
///
/// Source: Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using rounding to odd" (2008).
fn sum_of_three(a: f64, b: f64, c: f64) -> f64 {
    let (high, low) = two_sum(b, c);
    let (top, middle) = two_sum(a, high);
    top + odd_sum(middle, low)
}

/// A sum, and exactly what its rounding took away.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

/// A sum rounded so that no digit of it can make a second rounding go wrong: to the neighbour with the odd mantissa.
fn odd_sum(a: f64, b: f64) -> f64 {
    let (sum, rest) = two_sum(a, b);
    if rest == 0.0 || sum.to_bits() & 1 == 1 {
        return sum;
    }
    if (rest > 0.0) == (sum > 0.0) { f64::from_bits(sum.to_bits() + 1) } else { f64::from_bits(sum.to_bits() - 1) }
}

/// The same as exact decimals.
#[cold]
fn far_sum(old: f64, from: f64, to: f64) -> f64 {
    match (BigDecimal::try_from(old), BigDecimal::try_from(from), BigDecimal::try_from(to)) {
        (Ok(old), Ok(from), Ok(to)) => (old + (to - from)).to_string().parse().unwrap_or(0.0),
        _ => to,
    }
}

/// The bytewise maximum, as long as the longer one.
pub fn max_bytes(old: &[u8], new: &[u8]) -> Text {
    let len = old.len().max(new.len());
    (0..len).map(|i| old.get(i).max(new.get(i)).copied().unwrap_or(0)).collect()
}

/// Writes the bytes of `whole` that an integer of `width` bits at bit `offset` touches, with the integer in them,
/// to `out`; answers how many they are. The first of them is byte `offset / 8`.
pub fn spliced_bits(whole: &[u8], offset: u64, width: u8, value: u64, out: &mut [u8; 9]) -> usize {
    let first = (offset / 8) as usize;
    let lead = (offset % 8) as u32;
    let used = (lead as usize + usize::from(width)).div_ceil(8);
    for (i, byte) in out.iter_mut().enumerate().take(used) {
        *byte = whole.get(first + i).copied().unwrap_or(0);
    }
    for bit in 0..u32::from(width) {
        let at = lead + bit;
        let mask = 0x80 >> (at % 8);
        let byte = &mut out[(at / 8) as usize];
        *byte = if value >> (u32::from(width) - 1 - bit) & 1 == 1 { *byte | mask } else { *byte & !mask };
    }
    used
}

/// The bytes that a patch puts into a string, and the offset that they stand at afterwards. What lies between the string's end
/// and them is zero.
pub fn patched<'b>(whole: &[u8], patch: &Patch<'b>, bits: &'b mut [u8; 9]) -> (usize, &'b [u8]) {
    match *patch {
        Patch::Append(bytes) => (whole.len(), bytes),
        Patch::Write { offset, bytes } => (offset as usize, bytes),
        Patch::Bits { offset, width, value } => {
            let used = spliced_bits(whole, offset, width, value, bits);
            ((offset / 8) as usize, &bits[..used])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_add_exactly_and_print_like_redis() {
        for (a, b, sum) in [
            ("0.1", "0.2", "0.3"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "200", "5200"),
            ("1", "-1", "0"),
            ("-0.5", "0", "-0.5"),
            ("", "3", "3"),
            ("1e17", "0.5", "100000000000000000.5"),
        ] {
            assert_eq!(add_decimal(a.as_bytes(), b.as_bytes()).as_slice(), sum.as_bytes(), "{a} + {b}");
        }
        assert!(parse_decimal(b"1e999999999").is_none());
    }

    #[test]
    fn only_canonical_integers_are_integers() {
        for text in ["", "-", "01", "-0", "+1", " 1", "1 ", "9223372036854775808", "1.0", "0x1"] {
            assert_eq!(parse_int(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse_int(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_int(b"0"), Some(0));
    }

    /// Doubles whose bits are near each other or far apart.
    fn score() -> impl Strategy<Value = f64> {
        let edges =
            vec![0.0, 0.1, 0.2, 0.3, 1.0, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, f64::EPSILON, 1e16, 1e308];
        let near = (any::<i32>(), -60i32..60).prop_map(|(n, exponent)| f64::from(n) * 2f64.powi(exponent));
        prop_oneof![any::<f64>(), proptest::sample::select(edges), near.clone(), near.prop_map(|x| x + 1.0)]
            .prop_filter("finite", |score| score.is_finite())
    }

    #[test]
    fn infinities_stay() {
        let inf = f64::INFINITY;
        assert_eq!(add_score(1.0, 1.0, inf), inf);
        assert_eq!(add_score(4.0, 1.0, inf), inf);
        assert_eq!(add_score(inf, 1.0, 4.0), inf);
        assert_eq!(add_score(inf, inf, inf), inf);
        assert_eq!(add_score(inf, 1.0, -inf), -inf);
        assert_eq!(add_score(3.0, inf, inf), inf);
        assert_eq!(add_score(f64::MAX, 0.0, f64::MAX), inf);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn scores_are_exact_sums_rounded_once(old in score(), from in score(), to in score()) {
            let exact = far_sum(old, from, to);
            prop_assert_eq!(add_score(old, from, to), exact, "{:e} + ({:e} - {:e})", old, to, from);
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(n: i64) {
            prop_assert_eq!(parse_int(n.to_string().as_bytes()), Some(n));
        }

        #[test]
        fn spliced_bits_change_only_their_bits(whole in proptest::collection::vec(any::<u8>(), 0..16),
            offset in 0u64..100, width in 1u8..=64, value: u64) {
            let mut out = [0; 9];
            let used = spliced_bits(&whole, offset, width, value, &mut out);
            let bit = |bytes: &[u8], at: u64| bytes.get((at / 8) as usize).is_some_and(|b| b >> (7 - at % 8) & 1 == 1);
            let first = offset / 8 * 8;
            for at in first..first + used as u64 * 8 {
                let expected = if (offset..offset + u64::from(width)).contains(&at) {
                    value >> (u64::from(width) - 1 - (at - offset)) & 1 == 1
                } else {
                    bit(&whole, at)
                };
                prop_assert_eq!(bit(&out, at - first), expected);
            }
        }
    }
}
