//! "Did you mean": the directive whose name is nearest to what was typed.

use super::table::table;

/// The nearest name, if it is near enough to be a slip of the finger.
pub(super) fn closest(typed: &[u8]) -> Option<&'static str> {
    let typed = typed.to_ascii_lowercase();
    let allowed = (typed.len() / 4).clamp(1, 3);
    table()
        .names()
        .map(|(name, _)| (distance(&typed, name.as_bytes()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// How many bytes must be put in, taken out, replaced or swapped with their neighbour (Damerau and Levenshtein,
/// optimal string alignment).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_find_their_directive_and_other_words_none() {
        assert_eq!(closest(b"maxmemroy"), Some("maxmemory"));
        assert_eq!(closest(b"Apendfsync"), Some("appendfsync"));
        assert_eq!(closest(b"requirepas"), Some("requirepass"));
        assert_eq!(closest(b"banana-split"), None);
        assert_eq!(closest(b""), None);
    }

    #[test]
    fn a_swap_counts_once() {
        assert_eq!(distance(b"prot", b"port"), 1);
        assert_eq!(distance(b"", b"abc"), 3);
        assert_eq!(distance(b"kitten", b"sitting"), 3);
    }
}
