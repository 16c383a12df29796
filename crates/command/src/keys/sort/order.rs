//! Elements of a collection, and the order that SORT brings them into.

use std::borrow::Cow;
use std::cmp::Ordering;

use effect::Kind;
use engine::{Member, State, Stop};

use super::ask::{Ask, By, FEW};
use crate::errors;
use crate::parse;

/// The elements of a collection as they are stored: a list from its head, a sorted set by rank.
pub(super) struct Elements<'s> {
    kind: Kind,
    members: Vec<Member<'s>>,
}

/// An element with what it is ordered by.
struct Weighed<'s> {
    member: Member<'s>,
    score: f64,
    text: Option<Cow<'s, [u8]>>,
}

impl<'s> Elements<'s> {
    /// The elements of the collection at `key`; none if there is no such key.
    pub(super) fn load(state: &'s State<'_>, key: &'s [u8], ask: &Ask<'_>) -> Result<Self, Stop> {
        let kind = match state.kind(key)? {
            None => return Ok(Self { kind: Kind::List, members: Vec::new() }),
            Some(kind) => kind,
        };
        let unordered = matches!(ask.by, By::Nothing);
        let mut members = Vec::new();
        match kind {
            Kind::List => {
                if let Some(list) = state.list(key)? {
                    let range = window(ask, unordered, list.len()?);
                    members.extend(list.range(range)?.map(Member::Bytes));
                }
            }
            Kind::Set => {
                if let Some(set) = state.set(key)? {
                    members.extend(set.iter()?);
                }
            }
            Kind::ZSet => {
                if let Some(zset) = state.zset(key)? {
                    let range = window(ask, unordered, zset.len()?);
                    members.extend(zset.range(range)?.map(|(member, _)| Member::Bytes(member)));
                }
            }
            Kind::String | Kind::Hash => return Err(Stop::WrongType),
        }
        Ok(Self { kind, members })
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The elements in the order asked for, without those that LIMIT leaves out.
    pub(super) fn ordered(self, state: &'s State<'_>, ask: &Ask<'_>) -> Result<Vec<Member<'s>>, Stop> {
        let Self { kind, mut members } = self;
        if matches!(ask.by, By::Nothing) {
            if kind != Kind::Set {
                // Only the window was loaded; it is turned round where the direction is.
                if ask.desc {
                    members.reverse();
                }
                return Ok(members);
            }
            // A set has no order of its own: what is stored must not depend on how it lies in memory.
            if ask.store.is_none() {
                return Ok(cut(members, ask));
            }
            members.sort_by(|a, b| directed(a[..].cmp(b), ask.desc));
            return Ok(cut(members, ask));
        }
        let mut weighed = weigh(members, state, ask)?;
        weighed.sort_by(|a, b| directed(compare(a, b, ask), ask.desc));
        Ok(cut(weighed.into_iter().map(|w| w.member).collect(), ask))
    }
}

/// The indexes, from the head, of the elements that are needed of a list or sorted set of `len`.
fn window(ask: &Ask<'_>, unordered: bool, len: usize) -> std::ops::Range<usize> {
    if !unordered {
        return 0..len;
    }
    let range = ask.range(len);
    if ask.desc { len - range.end..len - range.start } else { range }
}

fn cut<'s>(mut members: Vec<Member<'s>>, ask: &Ask<'_>) -> Vec<Member<'s>> {
    let range = ask.range(members.len());
    members.truncate(range.end);
    members.drain(..range.start);
    members
}

fn weigh<'s>(members: Vec<Member<'s>>, state: &'s State<'_>, ask: &Ask<'_>) -> Result<Vec<Weighed<'s>>, Stop> {
    let many = members.len() > FEW;
    if let By::Keys(pattern) = &ask.by {
        pattern.gather(state, &members)?;
    }
    let mut refused = false;
    let mut weighed = Vec::with_capacity(members.len());
    for member in members {
        let text = match &ask.by {
            By::Keys(pattern) => pattern.look_up(state, &member, many)?,
            By::Themselves | By::Nothing => None,
        };
        let by_itself = matches!(ask.by, By::Themselves);
        let number = if by_itself { Some(&*member) } else { text.as_deref() };
        // An element for which nothing is found weighs nothing.
        let score = match number {
            Some(number) if !ask.alpha => score(number),
            _ => Some(0.0),
        };
        refused |= score.is_none();
        weighed.push(Weighed { member, score: score.unwrap_or(0.0), text });
    }
    if refused { Err(errors::SCORES_NOT_FLOATS) } else { Ok(weighed) }
}

/// A number as strtod reads it: blanks before it are skipped, nothing is 0, a NUL ends it. What has no exact place
/// among the doubles, because it is too large or too small, is refused.
fn score(text: &[u8]) -> Option<f64> {
    let text = text.split(|b| *b == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t'..=b'\r')).count();
    let text = &text[blanks..];
    let value = parse::float_opt(text)?;
    let infinite = text.iter().any(|b| matches!(b, b'i' | b'I'));
    let in_range = value == 0.0 && !has_digits(text) || value.is_normal() || value.is_infinite() && infinite;
    in_range.then_some(value)
}

/// Whether the digits before an exponent are not all zero: then a result of 0 is too small a number.
fn has_digits(text: &[u8]) -> bool {
    let hex = text.iter().any(|b| matches!(b, b'x' | b'X'));
    let ends = |b: &u8| if hex { matches!(b, b'p' | b'P') } else { matches!(b, b'e' | b'E') };
    let digits = text.split(|b| ends(b)).next().unwrap_or_default();
    digits.iter().any(|b| b.is_ascii_hexdigit() && *b != b'0')
}

fn directed(order: Ordering, desc: bool) -> Ordering {
    if desc { order.reverse() } else { order }
}

/// DIFFERENCE: texts are compared by their bytes; Redis compares by the collation of its locale unless it stores.
fn compare(a: &Weighed<'_>, b: &Weighed<'_>, ask: &Ask<'_>) -> Ordering {
    match &ask.by {
        By::Keys(_) if ask.alpha => a.text.cmp(&b.text),
        _ if ask.alpha => a.member[..].cmp(&b.member),
        // Equal scores are told apart by the elements, so that the order is the same every time.
        _ => a.score.partial_cmp(&b.score).unwrap_or(Ordering::Equal).then_with(|| a.member[..].cmp(&b.member)),
    }
}

#[cfg(test)]
mod tests {
    use super::score;

    #[test]
    fn scores_are_read_like_strtod() {
        for (text, value) in [("", 0.0), (" 1", 1.0), ("1\u{0}x", 1.0), ("-inf", f64::NEG_INFINITY), ("0e999", 0.0)] {
            assert_eq!(score(text.as_bytes()), Some(value), "{text:?}");
        }
        for text in ["1 ", "abc", "nan", "1e400", "1e-400", "5e-324", " ", "1.5x"] {
            assert_eq!(score(text.as_bytes()), None, "{text:?}");
        }
    }
}
