//! What SORT is asked for: its options, and the patterns of BY and GET.

use std::borrow::Cow;

use engine::{Member, State, Stop};
use resp::Args;

use crate::errors;
use crate::parse;

/// With more elements than this, look-ups under a pattern ask for all shards at once: each further one would cost
/// another run over the elements.
pub(super) const FEW: usize = 8;

/// The options.
pub(super) struct Ask<'a> {
    pub(super) desc: bool,
    pub(super) alpha: bool,
    pub(super) offset: i64,
    /// Negative: all.
    pub(super) count: i64,
    pub(super) by: By<'a>,
    pub(super) gets: Vec<Pattern<'a>>,
    pub(super) store: Option<&'a [u8]>,
}

/// What elements are ordered by.
pub(super) enum By<'a> {
    Themselves,
    /// A pattern without `*`: they are not ordered.
    Nothing,
    Keys(Pattern<'a>),
}

impl<'a> Ask<'a> {
    pub(super) fn read(args: &Args<'a>, readonly: bool) -> Result<Self, Stop> {
        let by = By::Themselves;
        let mut ask = Self { desc: false, alpha: false, offset: 0, count: -1, by, gets: Vec::new(), store: None };
        let mut at = 2;
        while let Some(option) = args.get(at) {
            let (next, after) = (args.get(at + 1), args.get(at + 2));
            at += match (next, after) {
                _ if parse::is(option, "asc") => {
                    ask.desc = false;
                    1
                }
                _ if parse::is(option, "desc") => {
                    ask.desc = true;
                    1
                }
                _ if parse::is(option, "alpha") => {
                    ask.alpha = true;
                    1
                }
                (Some(offset), Some(count)) if parse::is(option, "limit") => {
                    (ask.offset, ask.count) = (parse::int(offset)?, parse::int(count)?);
                    3
                }
                (Some(key), _) if !readonly && parse::is(option, "store") => {
                    ask.store = Some(key);
                    2
                }
                (Some(pattern), _) if parse::is(option, "by") => {
                    // Once it is said that they are not to be ordered, no other pattern has them ordered.
                    ask.by = match ask.by {
                        By::Nothing => By::Nothing,
                        _ if pattern.contains(&b'*') => By::Keys(Pattern::new(pattern)),
                        _ => By::Nothing,
                    };
                    2
                }
                (Some(pattern), _) if parse::is(option, "get") => {
                    ask.gets.push(Pattern::new(pattern));
                    2
                }
                _ => return Err(errors::SYNTAX),
            };
        }
        Ok(ask)
    }

    /// The indexes of `len` elements that LIMIT leaves.
    pub(super) fn range(&self, len: usize) -> std::ops::Range<usize> {
        let clamp = |n: i64| usize::try_from(n).unwrap_or(0).min(len);
        let start = clamp(self.offset);
        let count = if self.count < 0 { len } else { clamp(self.count) };
        start..(start + count).min(len)
    }
}

/// The keys that can be told from the arguments: the one that is sorted, and the destination. Of several destinations
/// the last one counts.
pub(super) fn keys(args: &Args<'_>, found: &mut dyn FnMut(usize)) {
    found(1);
    let mut store = None;
    let mut at = 2;
    while let Some(option) = args.get(at) {
        at += match option {
            o if parse::is(o, "limit") => 3,
            o if parse::is(o, "get") || parse::is(o, "by") => 2,
            o if parse::is(o, "store") && at + 1 < args.len() => {
                store = Some(at + 1);
                2
            }
            _ => 1,
        };
    }
    if let Some(at) = store {
        found(at);
    }
}

/// Where something is looked up for an element.
pub(super) enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// No `*`: nothing is ever found.
    Constant,
    /// A key, or a field of the hash at a key; the element stands between `before` and `after`.
    Key { before: &'a [u8], after: &'a [u8], field: Option<&'a [u8]> },
}

impl<'a> Pattern<'a> {
    fn new(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Element;
        }
        let Some(star) = text.iter().position(|b| *b == b'*') else { return Self::Constant };
        let (before, rest) = (&text[..star], &text[star + 1..]);
        match rest.windows(2).position(|w| w == b"->") {
            // An arrow with nothing behind it is part of the key.
            Some(arrow) if arrow + 2 < rest.len() => {
                Self::Key { before, after: &rest[..arrow], field: Some(&rest[arrow + 2..]) }
            }
            _ => Self::Key { before, after: rest, field: None },
        }
    }

    /// Has what is to be looked up for all these elements brought into memory together.
    pub(super) fn gather(&self, state: &State<'_>, elements: &[Member<'_>]) -> Result<(), Stop> {
        let Self::Key { before, after, .. } = self else { return Ok(()) };
        match state.gather(elements.iter().map(|element| [*before, element, *after].concat())) {
            Err(Stop::Unlocked(_)) if elements.len() > FEW => Err(Stop::NeedsAll),
            other => other,
        }
    }

    /// What stands there for `element`: the string at the key, or the field's value. `many`: this is asked for many
    /// elements.
    pub(super) fn look_up<'s>(
        &self,
        state: &'s State<'_>,
        element: &Member<'_>,
        many: bool,
    ) -> Result<Option<Cow<'s, [u8]>>, Stop> {
        let (key, field) = match self {
            Self::Element => return Ok(Some(Cow::Owned(element.to_vec()))),
            Self::Constant => return Ok(None),
            Self::Key { before, after, field } => ([*before, element, *after].concat(), *field),
        };
        let found = match field {
            None => state.string(&key).map(|found| found.map(Cow::Borrowed)),
            Some(field) => field_of(state, &key, field),
        };
        match found {
            Err(Stop::WrongType) => Ok(None),
            Err(Stop::Unlocked(_)) if many => Err(Stop::NeedsAll),
            other => other,
        }
    }
}

fn field_of<'s>(state: &State<'_>, key: &[u8], field: &[u8]) -> Result<Option<Cow<'s, [u8]>>, Stop> {
    let Some(hash) = state.hash(key)? else { return Ok(None) };
    Ok(hash.get(field)?.map(|found| Cow::Owned(found.value.to_vec())))
}
