//! Unfolds LZF (Lehmann): literal runs and copies of what was written within the last 8 KiB.
//!
//! A control byte below 32 announces that many literal bytes plus one. Any other holds a length in its upper 3 bits
//! (7: another byte is added) and the upper 5 bits of a distance, whose lower 8 bits follow.

use super::read::{Bytes, Corrupt};

/// The `len` bytes that `packed` unfolds to. Memory grows as they are written, not as they are announced.
pub(super) fn unfold(packed: &[u8], len: usize) -> Result<Vec<u8>, Corrupt> {
    let mut out: Vec<u8> = Vec::with_capacity(len.min(packed.len().saturating_mul(4)));
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
            let start = out.len().checked_sub(distance).ok_or(Corrupt)?;
            // The copy may reach into what it writes itself: byte by byte.
            for at in start..start + run {
                out.push(out[at]);
            }
        }
        if out.len() > len {
            return Err(Corrupt);
        }
    }
    if out.len() == len { Ok(out) } else { Err(Corrupt) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_copies_are_unfolded() {
        assert_eq!(unfold(&[2, b'a', b'b', b'c'], 3), Ok(b"abc".to_vec()));
        // One literal, then a copy of 9 + 2 bytes at distance 1.
        assert_eq!(unfold(&[0, b'a', 0xe0, 2, 0], 12), Ok(vec![b'a'; 12]));
        assert_eq!(unfold(&[1, b'a', b'b', 0x40, 1], 6), Ok(b"ababab".to_vec()));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(unfold(&[2, b'a', b'b'], 3), Err(Corrupt), "a literal run is cut");
        assert_eq!(unfold(&[0, b'a', 0x20, 1], 4), Err(Corrupt), "a copy from before the beginning");
        assert_eq!(unfold(&[0, b'a', 0xe0], 12), Err(Corrupt), "a length is cut");
        assert_eq!(unfold(&[2, b'a', b'b', b'c'], 4), Err(Corrupt), "too short");
        assert_eq!(unfold(&[2, b'a', b'b', b'c'], 2), Err(Corrupt), "too long");
        assert_eq!(unfold(&[], 1 << 60), Err(Corrupt), "an announced length is not memory");
    }
}
