//! Redis' glob, as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and keyspace definitions use it.
//!
//! `*` any run of bytes, `?` one byte, `[abc]`, `[a-z]` and `[^a]` one byte of a class, `\x` the byte `x` itself.
//! Patterns and texts are bytes, not characters. Nothing is an error: a class that is never closed ends with the
//! pattern, a lone backslash at the end stands for itself.
//!
//! Every token but `*` takes exactly one byte. So when a match fails, only the last `*` is worth growing: what an
//! earlier one could still reach, the last one reaches too. One place to come back to means no recursion, no
//! allocation and at most `pattern × text` steps.

/// Whether all of `text` matches `pattern`.
///
/// DIFFERENCE: Redis lets `*` match an empty text only where a command looks for that pattern by itself (KEYS and
/// SCAN do, PSUBSCRIBE does not); here it always does. Every other pattern made of stars fails on it, as in Redis.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, false)
}

/// As [`matches`], with ASCII letters compared without their case.
#[must_use]
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, true)
}

/// Whether `pattern` has a byte with a meaning of its own. One without can be looked up as it is.
#[must_use]
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'\\'))
}

fn run(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty() || pattern == b"*";
    }
    let (mut p, mut t) = (0, 0);
    // After the last star seen: where the pattern goes on, and how far into the text the star reached.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        if let Some(next) = token(&pattern[p..], text[t], fold) {
            p += next;
            t += 1;
            continue;
        }
        let Some((after_star, reached)) = retry.as_mut() else {
            return false;
        };
        *reached += 1;
        (p, t) = (*after_star, *reached);
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// The length of the token at the head of `pattern` if it matches `byte`.
fn token(pattern: &[u8], byte: u8, fold: bool) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (hit, used) = class_has(class, byte, fold);
            hit.then_some(1 + used)
        }
        [b'\\', escaped, ..] => same(*escaped, byte, fold).then_some(2),
        [plain, ..] => same(*plain, byte, fold).then_some(1),
    }
}

/// Whether the class whose text follows `[` takes `byte`, and how long that text is, its `]` included.
fn class_has(class: &[u8], byte: u8, fold: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut hit = false;
    loop {
        match &class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                hit |= same(*escaped, byte, fold);
                at += 2;
            }
            // A `]` right after the dash is the end of the range, not of the class.
            [low, b'-', high, ..] => {
                hit |= in_range(*low, *high, byte, fold);
                at += 3;
            }
            [plain, ..] => {
                hit |= same(*plain, byte, fold);
                at += 1;
            }
        }
    }
    (hit != negated, at)
}

fn in_range(low: u8, high: u8, byte: u8, fold: bool) -> bool {
    let (low, high) = if low > high { (high, low) } else { (low, high) };
    let (low, high, byte) = (folded(low, fold), folded(high, fold), folded(byte, fold));
    low <= byte && byte <= high
}

fn same(a: u8, b: u8, fold: bool) -> bool {
    folded(a, fold) == folded(b, fold)
}

fn folded(byte: u8, fold: bool) -> u8 {
    if fold { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, with every way to split tried. Slow, and plainly right.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| model(rest, &text[n..])),
            (_, []) => false,
            (_, [byte, rest @ ..]) => token(pattern, *byte, false).is_some_and(|n| model(&pattern[n..], rest)),
        }
    }

    #[test]
    fn documented_forms_match_what_redis_documents() {
        for (pattern, text, expected) in [
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h*llo", "heeeello", true),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("h\\[a", "h[a", true),
            ("a\\", "a\\", true),
            ("[abc", "b", true),
            ("[]", "]", false),
            ("[^]", "x", true),
            ("[\\]]", "]", true),
            ("[a-]", "Z", false),
            ("[a-]", "_", true),
            ("*", "", true),
            ("**", "", false),
            ("a**", "a", true),
            ("", "", true),
            ("", "a", false),
            ("*foo*bar*", "xfooxbarx", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} on {text}");
        }
        assert!(matches_ignoring_case(b"MAX[A-Z]*", b"maxmemory"));
        assert!(!matches(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn many_stars_on_a_long_text_stay_within_the_product_of_the_lengths() {
        // Exponential for a matcher that recurses at each star; this one is done before a test runner notices.
        let pattern = b"a*".repeat(200);
        let text = b"a".repeat(5_000);
        assert!(matches(&pattern, &text));
        let failing: Vec<u8> = [pattern.as_slice(), b"b"].concat();
        assert!(!matches(&failing, &text));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?\\[\\]^\\\\-]{0,9}", text in "[ab\\]^-]{1,9}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), model(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn every_escaped_text_matches_itself_and_nothing_longer(text in proptest::collection::vec(any::<u8>(), 0..20)) {
            let pattern: Vec<u8> = text.iter().flat_map(|b| [b'\\', *b]).collect();
            prop_assert!(matches(&pattern, &text));
            prop_assert!(!matches(&pattern, &[text.as_slice(), b"x"].concat()));
        }

        #[test]
        fn folding_case_equals_matching_lower_case_when_there_are_no_ranges(
            pattern in "[abAB*?]{0,8}", text in "[abAB]{0,8}"
        ) {
            prop_assert_eq!(
                matches_ignoring_case(pattern.as_bytes(), text.as_bytes()),
                matches(pattern.to_lowercase().as_bytes(), text.to_lowercase().as_bytes())
            );
        }

        #[test]
        fn a_literal_matches_only_itself(pattern in proptest::collection::vec(any::<u8>(), 0..6), text in proptest::collection::vec(any::<u8>(), 0..6)) {
            if is_literal(&pattern) {
                prop_assert_eq!(matches(&pattern, &text), pattern == text);
            }
        }
    }
}
