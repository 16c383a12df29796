//! Replies, written for the protocol version that the client speaks.

use crate::number::{write_double, write_i64, write_u64};

/// The version of the protocol that a client speaks. A connection begins with RESP2; `HELLO` changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Five types; everything else is said with them.
    #[default]
    Resp2,
    /// Adds maps, sets, doubles, booleans, nulls, pushes and more.
    Resp3,
}

/// Appends replies to a client's output.
///
/// Aggregates are written as a header that says how many elements follow, then the elements. Where the count is known
/// only afterwards, begin with [`Reply::deferred_array`] or its sisters and finish with [`Reply::close`].
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

/// A place in the output to come back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(usize);

/// An aggregate whose count is not known yet. Nested ones are closed from the inside out.
#[derive(Debug)]
#[must_use = "close it, or the reply has no valid header"]
pub struct Deferred {
    /// Offset of the header.
    at: usize,
    /// How many elements stand for one counted.
    per_count: usize,
}

impl<'a> Reply<'a> {
    /// Writes behind what is in `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The same writer for a shorter time.
    #[inline]
    pub fn reborrow(&mut self) -> Reply<'_> {
        Reply { out: self.out, protocol: self.protocol }
    }

    /// The protocol version in use.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the version for what is written from here on.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Whether the client speaks RESP3.
    #[inline]
    pub fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// A simple string. Line ends in it become blanks.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// An error: its text begins with the upper-case prefix and has no `-`. Line ends behind it go, those in it become
    /// blanks.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        let mut text = text.as_ref();
        while let [rest @ .., b'\r' | b'\n'] = text {
            text = rest;
        }
        self.line(b'-', text);
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) {
        self.number_line(b':', value);
    }

    /// A binary-safe string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 16);
        self.header(b'$', bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A double as a bulk string, in both protocols.
    pub fn bulk_double(&mut self, value: f64) {
        let at = self.out.len();
        // The digits come first and make room for their header afterwards: they are few.
        write_double(self.out, value);
        let len = self.out.len() - at;
        self.out.extend_from_slice(b"\r\n");
        let mut header = [b'$', b'0', b'0', b'\r', b'\n'];
        if len < 10 {
            header[1] = b'0' + len as u8;
            self.out.splice(at..at, [header[0], header[1], b'\r', b'\n']);
        } else {
            header[1] = b'0' + (len / 10) as u8;
            header[2] = b'0' + (len % 10) as u8;
            self.out.splice(at..at, header);
        }
    }

    /// Nothing there.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Nothing where an array was expected.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// Begins an array of `len` elements.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len);
    }

    /// Begins a map of `len` pairs. In RESP2, an array of keys and values in turn.
    pub fn map(&mut self, len: usize) {
        if self.is_resp3() { self.header(b'%', len) } else { self.header(b'*', len * 2) }
    }

    /// Begins a set of `len` members. In RESP2, an array.
    pub fn set(&mut self, len: usize) {
        self.header(if self.is_resp3() { b'~' } else { b'*' }, len);
    }

    /// Begins an out-of-band message of `len` elements. In RESP2, an array.
    pub fn push(&mut self, len: usize) {
        self.header(if self.is_resp3() { b'>' } else { b'*' }, len);
    }

    /// A double. In RESP2, a bulk string.
    pub fn double(&mut self, value: f64) {
        if !self.is_resp3() {
            return self.bulk_double(value);
        }
        self.out.push(b',');
        write_double(self.out, value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A boolean. In RESP2, the integer 1 or 0.
    pub fn bool(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
        });
    }

    /// An integer of any size, given as its digits. In RESP2, a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        if self.is_resp3() { self.line(b'(', digits.as_bytes()) } else { self.bulk(digits.as_bytes()) }
    }

    /// A text with its format in three bytes (`txt`, `mkd`). In RESP2, a bulk string.
    pub fn verbatim(&mut self, format: [u8; 3], text: &[u8]) {
        if !self.is_resp3() {
            return self.bulk(text);
        }
        self.out.reserve(text.len() + 20);
        self.header(b'=', text.len() + 4);
        self.out.extend_from_slice(&format);
        self.out.push(b':');
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Bytes that are already in the protocol's form.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Begins an array whose length is given to [`Reply::close`].
    pub fn deferred_array(&mut self) -> Deferred {
        self.deferred(b'*', 1)
    }

    /// Begins a map; its pairs are counted at [`Reply::close`].
    pub fn deferred_map(&mut self) -> Deferred {
        if self.is_resp3() { self.deferred(b'%', 1) } else { self.deferred(b'*', 2) }
    }

    /// Begins a set; its members are counted at [`Reply::close`].
    pub fn deferred_set(&mut self) -> Deferred {
        self.deferred(if self.is_resp3() { b'~' } else { b'*' }, 1)
    }

    /// Writes the header of a deferred aggregate: `len` elements, pairs or members have been written since.
    pub fn close(&mut self, deferred: Deferred, len: usize) {
        let Deferred { at, per_count } = deferred;
        debug_assert!(self.out.len() >= at + 4, "a rewind went behind an open aggregate");
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(len * per_count).as_bytes();
        // The header was written with room for one digit; more of them move what follows, once.
        if let [digit] = digits {
            self.out[at + 1] = *digit;
        } else {
            self.out.splice(at + 1..at + 2, digits.iter().copied());
        }
    }

    /// The place that has been reached.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark(self.out.len())
    }

    /// Drops everything written since `mark`: the command runs again.
    #[inline]
    pub fn rewind(&mut self, mark: Mark) {
        self.out.truncate(mark.0);
    }

    /// Whether what was written since `mark` is an error.
    pub fn is_error_since(&self, mark: Mark) -> bool {
        self.out.get(mark.0) == Some(&b'-')
    }

    /// What was written since `mark`.
    pub fn written_since(&self, mark: Mark) -> &[u8] {
        self.out.get(mark.0..).unwrap_or_default()
    }

    fn deferred(&mut self, kind: u8, per_count: usize) -> Deferred {
        let at = self.out.len();
        self.out.extend_from_slice(&[kind, b'0', b'\r', b'\n']);
        Deferred { at, per_count }
    }

    #[inline]
    fn header(&mut self, kind: u8, len: usize) {
        if len < 10 {
            self.out.extend_from_slice(&[kind, b'0' + len as u8, b'\r', b'\n']);
        } else {
            self.long_header(kind, len);
        }
    }

    fn long_header(&mut self, kind: u8, len: usize) {
        self.out.push(kind);
        write_u64(self.out, len as u64);
        self.out.extend_from_slice(b"\r\n");
    }

    fn number_line(&mut self, kind: u8, value: i64) {
        if (0..10).contains(&value) {
            self.out.extend_from_slice(&[kind, b'0' + value as u8, b'\r', b'\n']);
            return;
        }
        self.out.push(kind);
        write_i64(self.out, value);
        self.out.extend_from_slice(b"\r\n");
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(kind);
        let start = self.out.len();
        self.out.extend_from_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }
}

/// Appends a command as a client sends it.
pub fn write_command<A: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    args: impl IntoIterator<Item = A, IntoIter: ExactSizeIterator>,
) {
    let args = args.into_iter();
    let mut writer = Reply::new(out, Protocol::Resp2);
    writer.array(args.len());
    for arg in args {
        writer.bulk(arg.as_ref());
    }
}
