//! What SCAN, HSCAN, SSCAN and ZSCAN share: cursors and options.

use effect::glob;
use engine::Stop;
use resp::Reply;

use crate::cx::Cx;
use crate::errors;
use crate::parse;

/// A cursor as Redis reads it: nothing is 0, a sign is allowed, and a negative number counts down from 2^64.
pub(crate) fn cursor(text: &[u8]) -> Result<u64, Stop> {
    let (negative, digits) = match text {
        [] => return Ok(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let number = digits.iter().try_fold(0u64, |number, digit| {
        let digit = Some(digit.wrapping_sub(b'0')).filter(|d| *d <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    });
    let number = number.filter(|_| !digits.is_empty()).ok_or(errors::INVALID_CURSOR)?;
    Ok(if negative { number.wrapping_neg() } else { number })
}

/// MATCH, COUNT and a flag that leaves values out (NOVALUES, NOSCORES).
pub(crate) struct ScanArgs<'c> {
    pattern: Option<&'c [u8]>,
    /// Elements to look at, at least 1.
    pub(crate) count: usize,
    /// Only names are returned.
    pub(crate) names_only: bool,
}

impl<'c> ScanArgs<'c> {
    /// Reads the options from argument `from` on.
    pub(crate) fn read(cx: &Cx<'c, '_>, from: usize) -> Result<Self, Stop> {
        Self::read_with(cx, from, None)
    }

    /// As [`ScanArgs::read`]; `flag` is the word that leaves values out.
    pub(crate) fn read_with(cx: &Cx<'c, '_>, from: usize, flag: Option<&str>) -> Result<Self, Stop> {
        let mut options = Self { pattern: None, count: 10, names_only: false };
        let mut at = from;
        while at < cx.argc() {
            let (word, more) = (cx.arg(at), at + 1 < cx.argc());
            if parse::is(word, "count") && more {
                let count = parse::int(cx.arg(at + 1))?;
                if count < 1 {
                    return Err(errors::SYNTAX);
                }
                options.count = usize::try_from(count).unwrap_or(usize::MAX);
                at += 1;
            } else if parse::is(word, "match") && more {
                options.pattern = Some(cx.arg(at + 1)).filter(|pattern| *pattern != b"*");
                at += 1;
            } else if flag.is_some_and(|flag| parse::is(word, flag)) {
                options.names_only = true;
            } else if parse::is(word, "novalues") {
                return Err(errors::NOVALUES_NEEDS_HSCAN);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    /// Whether an element is asked for.
    pub(crate) fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }
}

/// Begins the reply: the array of two, and where to go on.
pub(crate) fn reply_cursor(reply: &mut Reply<'_>, next: Option<u64>) {
    reply.array(2);
    reply.bulk(next.unwrap_or(0).to_string().as_bytes());
}

/// The reply for a key that does not exist.
pub(crate) fn reply_empty(reply: &mut Reply<'_>) {
    reply_cursor(reply, None);
    reply.array(0);
}
