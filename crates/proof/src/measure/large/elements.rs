//! Elements by number: what they are called, and what belongs to them.

use anyhow::{Context, Result};

/// The member, and the field, of an element that was loaded.
pub fn member(element: u64) -> String {
    format!("m{element:011}")
}

/// A member, and a field, that comes later, beside that of `element`.
pub fn added(element: u64) -> String {
    format!("n{element:011}")
}

/// The element that a member or field belongs to, and whether it was there from the beginning.
pub fn element(name: &[u8]) -> Result<(u64, bool)> {
    let text = std::str::from_utf8(name)?;
    let digits = text.strip_prefix(['m', 'n']).filter(|digits| digits.len() == 11);
    let number = digits.and_then(|digits| digits.parse().ok()).with_context(|| format!("{text} is no member"))?;
    Ok((number, text.starts_with('m')))
}

/// All numbers below `count` in an order that jumps about: the `turn`th, each once in `count` turns.
pub fn scattered(turn: u64, count: u64) -> u64 {
    // A prime above every count, so it has no divisor with one in common.
    const STEP: u64 = 982_451_653;
    (u128::from(turn) * u128::from(STEP) % u128::from(count)) as u64
}

#[cfg(test)]
mod tests {
    use super::{added, element, member, scattered};

    #[test]
    fn names_tell_their_elements() {
        assert_eq!(element(member(42).as_bytes()).unwrap(), (42, true));
        assert_eq!(element(added(42).as_bytes()).unwrap(), (42, false));
        for wrong in [&b"x00000000042"[..], b"m42", b"m0000000004x", b""] {
            assert!(element(wrong).is_err());
        }
    }

    #[test]
    fn scattered_numbers_come_once_each() {
        let mut numbers: Vec<u64> = (0..1000).map(|turn| scattered(turn, 1000)).collect();
        assert_ne!(numbers[1], numbers[0] + 1);
        numbers.sort_unstable();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}
