//! Unfolds LZF (Lehmann): literal runs and copies of what was written within the last 8 KiB.
//!
//! A control byte below 32 announces that many literal bytes plus one. Any other holds a length in its upper 3 bits
//! (7: another byte is added) and the upper 5 bits of a distance, whose lower 8 bits follow.

use crate::bytes::Bytes;
use crate::error::Corrupt;

const WRONG: Corrupt = Corrupt("a compressed string does not unfold to what it should");

/// Puts the `len` bytes that `packed` unfolds to into `out`. Memory grows as they are written, not as they are announced.
pub(crate) fn unfold(packed: &[u8], len: usize, out: &mut Vec<u8>) -> Result<(), Corrupt> {
    out.clear();
    out.reserve(len.min(packed.len().saturating_mul(4)));
    let mut from = Bytes::new(packed);
    while from.left() > 0 {
        let control = from.byte()?;
        if control < 32 {
            out.extend_from_slice(from.take(usize::from(control) + 1)?);
        } else {
            let mut run = usize::from(control >> 5) + 2;
            if control >> 5 == 7 {
                run += usize::from(from.byte()?);
            }
            let distance = (usize::from(control & 31) << 8 | usize::from(from.byte()?)) + 1;
            let start = out.len().checked_sub(distance).ok_or(WRONG)?;
            // The copy may reach into what it writes itself: what has been written repeats.
            while run > 0 {
                let step = run.min(out.len() - start);
                out.extend_from_within(start..start + step);
                run -= step;
            }
        }
        if out.len() > len {
            return Err(WRONG);
        }
    }
    if out.len() == len { Ok(()) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unfolded(packed: &[u8], len: usize) -> Option<Vec<u8>> {
        let mut out = b"from before".to_vec();
        unfold(packed, len, &mut out).ok().map(|()| out)
    }

    #[test]
    fn literals_and_copies_are_unfolded() {
        assert_eq!(unfolded(&[2, b'a', b'b', b'c'], 3), Some(b"abc".to_vec()));
        // One literal, then a copy of 9 + 2 bytes at distance 1.
        assert_eq!(unfolded(&[0, b'a', 0xe0, 2, 0], 12), Some(vec![b'a'; 12]));
        assert_eq!(unfolded(&[1, b'a', b'b', 0x40, 1], 6), Some(b"ababab".to_vec()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(unfolded(&[2, b'a', b'b'], 3), None, "a literal run is cut");
        assert_eq!(unfolded(&[0, b'a', 0x20, 1], 4), None, "a copy from before the beginning");
        assert_eq!(unfolded(&[0, b'a', 0xe0], 12), None, "a length is cut");
        assert_eq!(unfolded(&[2, b'a', b'b', b'c'], 4), None, "too short");
        assert_eq!(unfolded(&[2, b'a', b'b', b'c'], 2), None, "too long");
        assert_eq!(unfolded(&[], 1 << 60), None, "an announced length is not memory");
    }
}
