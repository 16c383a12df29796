//! Replies out of a server's byte stream, incrementally. For tests, benches and tools.

use crate::error::ReplyError;
use crate::limits::{MAX_REPLY_BULK_LEN, MAX_REPLY_DEPTH, MAX_RESERVED_ELEMENTS};
use crate::number::parse_i64;
use crate::value::Value;

/// Longest line of a reply (a simple string, an error, a number), in bytes.
const MAX_LINE: usize = 1024 * 1024;

/// Bytes go in with [`ReplyDecoder::feed`], values come out of [`ReplyDecoder::next_value`].
///
/// Attributes (`|`) are read and dropped. Streamed types (`$?`, `*?`), which no Redis sends, are refused.
#[derive(Debug, Default)]
pub struct ReplyDecoder {
    buf: Vec<u8>,
    /// The first byte that has not been understood.
    pos: usize,
    /// The line at `pos` does not end before this offset.
    scanned: usize,
    /// Aggregates that are open, the outermost first.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    kind: u8,
    missing: u64,
    items: Vec<Value>,
}

/// What stands at the read position.
enum Token {
    Value(Value),
    /// An aggregate of so many values.
    Open(u8, u64),
}

impl ReplyDecoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes that arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        // What was understood is dropped when it is most of the buffer, so that each byte moves a bounded number of times.
        if self.pos > 0 && self.pos >= self.buf.len() / 2 {
            self.buf.drain(..self.pos);
            self.scanned = self.scanned.saturating_sub(self.pos);
            self.pos = 0;
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Bytes that arrived and are not part of a value that was handed out or begun.
    pub fn buffered(&self) -> usize {
        self.buf.len() - self.pos
    }

    /// The next whole reply, or `None` until more bytes arrive.
    pub fn next_value(&mut self) -> Result<Option<Value>, ReplyError> {
        loop {
            let Some(token) = self.token()? else { return Ok(None) };
            let mut done = match token {
                Token::Open(kind, missing) if missing > 0 => {
                    self.push_open(kind, missing)?;
                    continue;
                }
                Token::Open(kind, _) => finish(kind, Vec::new()),
                Token::Value(value) => Some(value),
            };
            loop {
                let Some(top) = self.open.last_mut() else {
                    match done {
                        Some(value) => return Ok(Some(value)),
                        None => break,
                    }
                };
                if let Some(value) = done {
                    top.items.push(value);
                    top.missing -= 1;
                }
                if top.missing > 0 {
                    break;
                }
                let closed = self.open.pop().expect("it was just looked at");
                done = finish(closed.kind, closed.items);
            }
        }
    }

    fn push_open(&mut self, kind: u8, missing: u64) -> Result<(), ReplyError> {
        if self.open.len() >= MAX_REPLY_DEPTH {
            return Err(ReplyError::TooDeep(MAX_REPLY_DEPTH));
        }
        let reserve = usize::try_from(missing).unwrap_or(usize::MAX).min(MAX_RESERVED_ELEMENTS);
        self.open.push(Open { kind, missing, items: Vec::with_capacity(reserve) });
        Ok(())
    }

    /// Takes one token off the buffer if it is all there.
    fn token(&mut self) -> Result<Option<Token>, ReplyError> {
        let Some((line_start, line_end)) = self.line()? else { return Ok(None) };
        let kind = self.buf[line_start];
        let line = &self.buf[line_start + 1..line_end];
        let next = line_end + 2;
        let bad = || bad_line(kind, line);
        let token = match kind {
            b'+' => Token::Value(Value::Simple(line.to_vec())),
            b'-' => Token::Value(Value::Error(line.to_vec())),
            b':' => Token::Value(Value::Int(parse_i64(line).ok_or_else(bad)?)),
            b'_' if line.is_empty() => Token::Value(Value::Null),
            b'#' if line == b"t" => Token::Value(Value::Bool(true)),
            b'#' if line == b"f" => Token::Value(Value::Bool(false)),
            b',' => Token::Value(Value::Double(parse_double(line).ok_or_else(bad)?)),
            b'(' if is_integer(line) => Token::Value(Value::BigNumber(line.to_vec())),
            b'$' if line == b"-1" => Token::Value(Value::Null),
            b'*' if line == b"-1" => Token::Value(Value::NullArray),
            b'$' | b'!' | b'=' => {
                let len = length(kind, line)?;
                return self.string(kind, next, len);
            }
            b'*' | b'~' | b'>' => Token::Open(kind, length(kind, line)?),
            b'%' | b'|' => Token::Open(kind, length(kind, line)? * 2),
            b'_' | b'#' | b'(' => return Err(bad()),
            other => return Err(ReplyError::UnknownType(other)),
        };
        (self.pos, self.scanned) = (next, next);
        Ok(Some(token))
    }

    /// Start and end (without CR LF) of the line at the read position.
    fn line(&mut self) -> Result<Option<(usize, usize)>, ReplyError> {
        let from = self.scanned.max(self.pos);
        let found = memchr::memchr(b'\n', &self.buf[from..]).map(|offset| from + offset);
        let end = found.unwrap_or(self.buf.len());
        if end - self.pos > MAX_LINE {
            return Err(ReplyError::TooLong((end - self.pos) as u64));
        }
        self.scanned = end;
        if found.is_none() {
            return Ok(None);
        }
        match self.buf[self.pos..end] {
            [_, .., b'\r'] => Ok(Some((self.pos, end - 1))),
            [first, ..] => Err(bad_line(first, &self.buf[self.pos + 1..end])),
            [] => Err(ReplyError::UnknownType(b'\n')),
        }
    }

    /// The string of `len` bytes at `start`, if it is all there. Its line is read again when it is not: one line of at
    /// most twenty bytes.
    fn string(&mut self, kind: u8, start: usize, len: u64) -> Result<Option<Token>, ReplyError> {
        if len > MAX_REPLY_BULK_LEN {
            return Err(ReplyError::TooLong(len));
        }
        let len = len as usize;
        let end = start + len;
        if self.buf.len() < end + 2 {
            return Ok(None);
        }
        if &self.buf[end..end + 2] != b"\r\n" {
            return Err(ReplyError::MissingTerminator(len));
        }
        let bytes = &self.buf[start..end];
        let value = match (kind, bytes) {
            (b'$', _) => Value::Bulk(bytes.to_vec()),
            (b'!', _) => Value::Error(bytes.to_vec()),
            (_, [a, b, c, b':', text @ ..]) => Value::Verbatim { format: [*a, *b, *c], text: text.to_vec() },
            _ => return Err(bad_line(kind, bytes)),
        };
        (self.pos, self.scanned) = (end + 2, end + 2);
        Ok(Some(Token::Value(value)))
    }
}

/// The aggregate's value; `None` for an attribute, which is dropped.
fn finish(kind: u8, items: Vec<Value>) -> Option<Value> {
    match kind {
        b'~' => Some(Value::Set(items)),
        b'>' => Some(Value::Push(items)),
        b'*' => Some(Value::Array(items)),
        b'%' => {
            let mut items = items.into_iter();
            let mut pairs = Vec::with_capacity(items.len() / 2);
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                pairs.push((key, value));
            }
            Some(Value::Map(pairs))
        }
        _ => None,
    }
}

fn length(kind: u8, line: &[u8]) -> Result<u64, ReplyError> {
    parse_i64(line)
        .and_then(|len| u64::try_from(len).ok())
        .filter(|len| *len <= u64::from(u32::MAX) * 2)
        .ok_or_else(|| bad_line(kind, line))
}

fn bad_line(kind: u8, line: &[u8]) -> ReplyError {
    ReplyError::BadLine { kind, line: line[..line.len().min(64)].escape_ascii().to_string() }
}

fn is_integer(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+")).unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn parse_double(line: &[u8]) -> Option<f64> {
    // Rust reads all that Redis prints; it also reads words such as "infinity", which does no harm.
    std::str::from_utf8(line).ok()?.parse().ok()
}
