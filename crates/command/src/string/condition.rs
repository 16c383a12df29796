//! Conditions on a string's value (IFEQ and its kin), and the commands that delete on one.

use engine::Stop;

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// Hexadecimal digits of a digest.
const DIGEST_LEN: usize = 16;

/// A comparison of a string with an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Condition {
    /// The digests are compared, not the values.
    pub(super) digest: bool,
    /// What makes it true.
    pub(super) equal: bool,
}

impl Condition {
    /// The option of this name, in any case.
    pub(super) fn option(word: &[u8]) -> Option<Self> {
        const OPTIONS: [(&str, bool, bool); 4] =
            [("ifeq", false, true), ("ifne", false, false), ("ifdeq", true, true), ("ifdne", true, false)];
        let found = OPTIONS.iter().find(|(name, ..)| parse::is(word, name));
        found.map(|(_, digest, equal)| Self { digest: *digest, equal: *equal })
    }

    /// Whether it holds between a value and the argument given with it.
    pub(super) fn holds(self, value: &[u8], given: &[u8]) -> Result<bool, Stop> {
        let equal = if self.digest {
            if given.len() != DIGEST_LEN {
                return Err(errors::NOT_A_DIGEST);
            }
            digest_text(value).eq_ignore_ascii_case(given)
        } else {
            value == given
        };
        Ok(equal == self.equal)
    }
}

/// XXH3 with 64 bits and seed 0, in lower-case hexadecimal.
pub(super) fn digest_text(value: &[u8]) -> [u8; DIGEST_LEN] {
    let hash = xxhash_rust::xxh3::xxh3_64(value);
    std::array::from_fn(|i| b"0123456789abcdef"[(hash >> (60 - 4 * i) & 15) as usize])
}

/// DELEX: what is checked stands in the order in which Redis finds errors. An absent key meets no condition, not even
/// one that is none.
pub(super) fn delex(cx: &mut Cx<'_, '_>) -> Outcome {
    let (key, argc) = (cx.arg(1), cx.argc());
    if argc != 2 && argc != 4 {
        return Err(errors::wrong_arity("delex").into());
    }
    let holds = match cx.state.entry(key)? {
        None => false,
        Some(_) if argc == 2 => true,
        Some(entry) => {
            let value = entry.bytes().ok_or(errors::CONDITION_NEEDS_STRING)?;
            Condition::option(cx.arg(2)).ok_or(errors::INVALID_CONDITION)?.holds(value, cx.arg(3))?
        }
    };
    remove_if(cx, key, holds)
}

pub(super) fn delifeq(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let holds = cx.state.string(key)?.is_some_and(|value| value == cx.arg(2));
    remove_if(cx, key, holds)
}

fn remove_if(cx: &mut Cx<'_, '_>, key: &[u8], holds: bool) -> Outcome {
    if holds {
        cx.out.remove(key);
    }
    cx.reply.int(i64::from(holds));
    Ok(())
}
