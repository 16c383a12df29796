//! Lengths and strings, as they stand everywhere in the format.

use crate::error::{Corrupt, Error};
use crate::input::Input;
use crate::limits::STRING_BYTES_MAX;
use crate::lzf;

/// What stands where a length is expected.
pub(crate) enum Length {
    Plain(u64),
    /// A string in the special form with this number.
    Special(u8),
}

/// An input with memory for what does not lie in it as it is.
#[derive(Debug)]
pub(crate) struct Source<I> {
    pub(crate) input: I,
    /// The string that was read last, if it was packed.
    text: Vec<u8>,
    /// A string that is kept while another is read.
    pub(crate) held: Vec<u8>,
    /// Where the string that was read last begins.
    pub(crate) start: u64,
}

impl<I: Input> Source<I> {
    pub(crate) fn new(input: I) -> Self {
        Self { input, text: Vec::new(), held: Vec::new(), start: 0 }
    }

    /// What is wrong just before here.
    pub(crate) fn damaged(&self, what: &'static str) -> Error {
        Error::Damaged { offset: self.input.offset(), what }
    }

    /// A length: the upper two bits of the first byte say how it goes on.
    #[inline]
    pub(crate) fn length(&mut self) -> Result<Length, Error> {
        let first = self.input.byte()?;
        let low = first & 0x3f;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(low)),
            1 => Length::Plain(u64::from(low) << 8 | u64::from(self.input.byte()?)),
            2 if first == 0x80 => Length::Plain(u64::from(u32::from_be_bytes(self.input.array()?))),
            2 if first == 0x81 => Length::Plain(u64::from_be_bytes(self.input.array()?)),
            2 => return Err(self.damaged("a length is of no known form")),
            _ => Length::Special(low),
        })
    }

    /// A number in the form of a length.
    #[inline]
    pub(crate) fn count(&mut self) -> Result<u64, Error> {
        match self.length()? {
            Length::Plain(count) => Ok(count),
            Length::Special(_) => Err(self.damaged("a string stands where a number should")),
        }
    }

    /// The size of something that is about to be read.
    fn size(&mut self, bytes: u64) -> Result<usize, Error> {
        let too_large = Error::TooLarge { offset: self.start, what: "a string", bytes, limit: STRING_BYTES_MAX };
        if bytes > STRING_BYTES_MAX {
            return Err(too_large);
        }
        usize::try_from(bytes).map_err(|_| too_large)
    }

    /// A string, whatever its form.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<&[u8], Error> {
        self.start = self.input.offset();
        match self.length()? {
            Length::Plain(len) => {
                let len = self.size(len)?;
                self.input.take(len)
            }
            Length::Special(form) => self.special(form),
        }
    }

    fn special(&mut self, form: u8) -> Result<&[u8], Error> {
        let number = match form {
            0 => i64::from(i8::from_le_bytes(self.input.array()?)),
            1 => i64::from(i16::from_le_bytes(self.input.array()?)),
            2 => i64::from(i32::from_le_bytes(self.input.array()?)),
            3 => return self.unfold(),
            _ => return Err(self.damaged("a string is of no known form")),
        };
        self.text.clear();
        resp::write_i64(&mut self.text, number);
        Ok(&self.text)
    }

    fn unfold(&mut self) -> Result<&[u8], Error> {
        let (packed, len) = (self.count()?, self.count()?);
        let (packed, len) = (self.size(packed)?, self.size(len)?);
        let start = self.start;
        let packed = self.input.take(packed)?;
        if self.text.capacity() > KEPT && len <= KEPT {
            self.text = Vec::new();
        }
        lzf::unfold(packed, len, &mut self.text).map_err(|corrupt| Error::from(corrupt).within(start))?;
        Ok(&self.text)
    }

    /// Reads a string and keeps it in `held`.
    #[inline]
    pub(crate) fn hold(&mut self) -> Result<(), Error> {
        let mut held = std::mem::take(&mut self.held);
        held.clear();
        if held.capacity() > KEPT {
            held = Vec::new();
        }
        held.extend_from_slice(self.string()?);
        self.held = held;
        Ok(())
    }

    /// Passes over a string without unfolding it.
    pub(crate) fn skip_string(&mut self) -> Result<(), Error> {
        match self.length()? {
            Length::Plain(len) => self.input.skip(len),
            Length::Special(form @ 0..=2) => self.input.skip(1 << form),
            Length::Special(3) => {
                let packed = self.count()?;
                self.count()?;
                self.input.skip(packed)
            }
            Length::Special(_) => Err(self.damaged("a string is of no known form")),
        }
    }

    /// Passes over so many numbers.
    pub(crate) fn skip_counts(&mut self, counts: usize) -> Result<(), Error> {
        (0..counts).try_for_each(|_| self.count().map(drop))
    }
}

/// Memory in bytes that is kept for the next string.
const KEPT: usize = 1 << 20;

/// A score as text; what is too large for a double is none, nor is what is not a number.
pub(crate) fn score(text: &[u8]) -> Result<f64, Corrupt> {
    const WRONG: Corrupt = Corrupt("a score is no number");
    let body = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    let value = match body {
        [b'0'..=b'9' | b'.', ..] => str::from_utf8(body).ok().and_then(|body| body.parse().ok()).ok_or(WRONG)?,
        _ if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") => f64::INFINITY,
        _ => return Err(WRONG),
    };
    if value.is_infinite() && body.iter().any(u8::is_ascii_digit) {
        return Err(WRONG);
    }
    Ok(if text.first() == Some(&b'-') { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::input::Slice;
    use crate::testing;

    proptest! {
        #[test]
        fn strings_and_scores_come_back(text in prop::collection::vec(any::<u8>(), 0..70_000), n in any::<i32>(), s in any::<f64>()) {
            let bytes = [testing::string(&text), testing::integer(n), testing::string(b"end")].concat();
            let mut source = Source::new(Slice::new(&bytes));
            prop_assert_eq!(source.string().unwrap(), &text[..]);
            let digits = n.to_string();
            prop_assert_eq!(source.string().unwrap(), digits.as_bytes());
            source.hold().unwrap();
            prop_assert_eq!(&source.held[..], b"end");
            let mut source = Source::new(Slice::new(&bytes));
            (0..3).for_each(|_| source.skip_string().unwrap());
            prop_assert_eq!(source.input.offset(), bytes.len() as u64);
            if !s.is_nan() {
                prop_assert_eq!(score(format!("{s:?}").as_bytes()).unwrap(), s);
            }
        }
    }

    #[test]
    fn what_is_no_score_is_refused() {
        for text in ["", "-", "nan", "-nan", "1e400", "0x10", " 1", "1 ", "--1", "infin", "e5"] {
            assert!(score(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(score(b"-inf"), Ok(f64::NEG_INFINITY));
        assert_eq!(score(b"1.7976931348623157e+308"), Ok(f64::MAX));
    }
}
