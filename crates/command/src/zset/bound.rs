//! The ends of ranges as text.

use engine::{LexBound, ScoreBound, Stop};

use crate::errors;
use crate::parse;

/// The ends of a range of scores.
pub(super) fn scores(min: &[u8], max: &[u8]) -> Result<(ScoreBound, ScoreBound), Stop> {
    score(min).zip(score(max)).ok_or(errors::MIN_OR_MAX_NOT_A_FLOAT)
}

/// The ends of a range of members.
pub(super) fn members<'a>(min: &'a [u8], max: &'a [u8]) -> Result<(LexBound<'a>, LexBound<'a>), Stop> {
    member(min).zip(member(max)).ok_or(errors::NOT_A_LEX_RANGE)
}

/// A score, possibly behind `(`. Redis reads it as C's strtod does: up to a zero byte, blanks before it are skipped, no
/// text at all is 0, and what does not fit is infinite.
fn score(text: &[u8]) -> Option<ScoreBound> {
    let (exclusive, text) = match text {
        [b'(', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    let value = if text.is_empty() {
        0.0
    } else {
        let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t'..=b'\r')).count();
        parse::strtod(&text[blanks..])?
    };
    Some(if exclusive { ScoreBound::Exclusive(value) } else { ScoreBound::Inclusive(value) })
}

fn member(text: &[u8]) -> Option<LexBound<'_>> {
    match text {
        [b'-'] | [b'-', 0, ..] => Some(LexBound::Min),
        [b'+'] | [b'+', 0, ..] => Some(LexBound::Max),
        [b'[', member @ ..] => Some(LexBound::Inclusive(member)),
        [b'(', member @ ..] => Some(LexBound::Exclusive(member)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_read_as_generously_as_redis_reads_them() {
        use ScoreBound::{Exclusive, Inclusive};
        for (text, bound) in [
            ("5", Inclusive(5.0)),
            ("(5", Exclusive(5.0)),
            ("-inf", Inclusive(f64::NEG_INFINITY)),
            ("(+inf", Exclusive(f64::INFINITY)),
            ("", Inclusive(0.0)),
            ("(", Exclusive(0.0)),
            ("  1.5", Inclusive(1.5)),
            ("( 2", Exclusive(2.0)),
            ("1e999", Inclusive(f64::INFINITY)),
            ("7\0rest", Inclusive(7.0)),
        ] {
            assert_eq!(score(text.as_bytes()), Some(bound), "{text:?}");
        }
        for text in [" ", "( ", "nan", "1 ", "((1", "x", " (1"] {
            assert_eq!(score(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn members_need_a_mark() {
        assert_eq!(member(b"["), Some(LexBound::Inclusive(b"")));
        assert_eq!(member(b"(a"), Some(LexBound::Exclusive(b"a")));
        assert_eq!(member(b"+"), Some(LexBound::Max));
        for text in ["", "a", "++", "-a", "1"] {
            assert_eq!(member(text.as_bytes()), None, "{text:?}");
        }
    }
}
