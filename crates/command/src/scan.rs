//! What HSCAN, SSCAN and ZSCAN share: cursors and options.

use effect::glob;
use engine::Stop;
use resp::Reply;

use crate::cx::Cx;
use crate::errors;
use crate::parse;

/// A cursor as the client gave it.
pub(crate) fn cursor(text: &[u8]) -> Result<u64, Stop> {
    let digits = std::str::from_utf8(text).map_err(|_| errors::INVALID_CURSOR)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(errors::INVALID_CURSOR);
    }
    digits.parse().map_err(|_| errors::INVALID_CURSOR)
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
