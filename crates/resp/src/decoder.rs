//! Commands out of a client's byte stream, incrementally.
//!
//! ```text
//!   *3\r\n $3\r\nSET\r\n $1\r\nk\r\n $5\r\nhel          a frame that is not all there yet
//!                                   ▲     ▲
//!                                   pos   end of what arrived: `needed` = 4
//! ```
//!
//! A partial frame is picked up where it was left: neither its lines nor its finished arguments are read again.
//!
//! *Invariant:* what is decoded, and whether it is refused, does not depend on how the bytes were cut into reads.

use crate::args::{ArgRanges, Span};
use crate::error::ProtocolError;
use crate::inline;
use crate::limits::{Limits, MAX_OFFSET, UNAUTHENTICATED_MAX_ARGS, UNAUTHENTICATED_MAX_BULK_LEN};
use crate::number::parse_i64;

/// What a call of [`Decoder::decode`] found. In both cases the first `consumed` bytes are done with: the next call is
/// given the buffer without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A command with at least one argument is in the ranges; they point into the buffer of this call.
    Command {
        /// Bytes up to the end of the command.
        consumed: usize,
    },
    /// The command is not all there.
    Partial {
        /// Bytes of empty commands before it.
        consumed: usize,
        /// How many bytes must arrive, at least, before the next call can find more.
        needed: usize,
    },
}

/// Reads commands, RESP arrays of bulk strings as well as inline ones. One per client.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The first byte that has not been understood.
    pos: usize,
    /// The line at `pos` does not end before this offset.
    scanned: usize,
    /// Arguments of the array that are still to come.
    missing: u32,
    /// Length of the argument at `pos`, once its line has been read.
    bulk_len: Option<u32>,
    /// Finished arguments of a partial command, between calls.
    parked: Vec<Span>,
}

/// Why parsing stopped early.
enum Stop {
    /// At least this many bytes more are needed.
    Need(usize),
    Broken(ProtocolError),
}

impl From<ProtocolError> for Stop {
    fn from(error: ProtocolError) -> Self {
        Self::Broken(error)
    }
}

/// What stands at the beginning of a frame.
enum Frame {
    /// An empty command that ends at the offset.
    Empty(usize),
    /// An inline command that ends at the offset; its words are in the ranges.
    Inline(usize),
    /// An array of so many arguments that begin at the offset.
    Array(u32, usize),
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for the next command in `buf`, the bytes that arrived and were not consumed.
    ///
    /// After [`Progress::Partial`] the next call must be given the same bytes (less those consumed) and more behind
    /// them; `args` may be another one. After an error the stream cannot be read any further.
    #[inline]
    pub fn decode(&mut self, buf: &[u8], limits: &Limits, args: &mut ArgRanges) -> Result<Progress, ProtocolError> {
        args.clear();
        // The common case: a whole command, nothing kept from before.
        if self.missing == 0
            && let Some(&b'*') = buf.first()
            && let Some((count @ 1.., mut pos)) = length_line(buf, 1)
            && count <= max_args(limits)
        {
            let mut left = count;
            while let Some((start, len)) = whole_bulk(buf, pos, limits) {
                args.spans.push(Span::new(start, len));
                pos = start + len + 2;
                left -= 1;
                if left == 0 {
                    self.scanned = 0;
                    return Ok(Progress::Command { consumed: pos });
                }
            }
            args.spans.clear();
        }
        self.decode_slow(buf, limits, args)
    }

    /// Forgets a partial command: the next call is given the buffer from a command's beginning.
    pub fn restart(&mut self) {
        let mut parked = std::mem::take(&mut self.parked);
        parked.clear();
        *self = Self { parked, ..Self::default() };
    }

    /// Gives back memory that is only of use to a busy client.
    pub fn shrink(&mut self) {
        if self.missing == 0 {
            self.parked = Vec::new();
        }
    }

    /// Whether a part of a command has been read, so that memory is held for it.
    pub fn is_partial(&self) -> bool {
        self.missing > 0 || self.scanned > 0
    }

    /// Memory held outside of the struct, in bytes.
    pub fn memory(&self) -> usize {
        self.parked.capacity() * size_of::<Span>()
    }

    #[inline(never)]
    fn decode_slow(&mut self, buf: &[u8], limits: &Limits, args: &mut ArgRanges) -> Result<Progress, ProtocolError> {
        if self.missing > 0 {
            std::mem::swap(&mut self.parked, &mut args.spans);
        }
        let mut skipped = 0;
        match self.run(buf, limits, args, &mut skipped) {
            Ok(consumed) => {
                debug_assert!(self.missing == 0 && self.bulk_len.is_none());
                (self.pos, self.scanned) = (0, 0);
                Ok(Progress::Command { consumed })
            }
            Err(Stop::Need(needed)) => {
                self.park(args, skipped);
                Ok(Progress::Partial { consumed: skipped, needed })
            }
            Err(Stop::Broken(error)) => {
                args.clear();
                Err(error)
            }
        }
    }

    /// Keeps what is known about a partial command, as offsets into the buffer without its first `skipped` bytes.
    fn park(&mut self, args: &mut ArgRanges, skipped: usize) {
        self.pos -= skipped;
        self.scanned = self.scanned.saturating_sub(skipped);
        if self.missing > 0 {
            std::mem::swap(&mut self.parked, &mut args.spans);
            if skipped > 0 {
                self.parked.iter_mut().for_each(|span| span.rebase(skipped));
            }
        }
        args.clear();
    }

    /// Returns the end of the command.
    fn run(&mut self, buf: &[u8], limits: &Limits, args: &mut ArgRanges, skipped: &mut usize) -> Result<usize, Stop> {
        while self.missing == 0 {
            match self.frame(buf, limits, args)? {
                Frame::Inline(end) => return Ok(end),
                Frame::Empty(end) => {
                    (*skipped, self.pos) = (end, end);
                }
                Frame::Array(count, start) => {
                    (self.missing, self.pos) = (count, start);
                }
            }
        }
        while self.missing > 0 {
            self.bulk(buf, limits, args)?;
        }
        Ok(self.pos)
    }

    fn frame(&mut self, buf: &[u8], limits: &Limits, args: &mut ArgRanges) -> Result<Frame, Stop> {
        match buf.get(self.pos) {
            None => Err(Stop::Need(1)),
            Some(b'*') => {
                let (line, next) = self.line(buf, limits, ProtocolError::MultibulkLineTooLong)?;
                let count = parse_i64(&line[1..]).ok_or(ProtocolError::InvalidMultibulkLength)?;
                if count <= 0 {
                    return Ok(Frame::Empty(next));
                }
                if count > i64::from(limits.max_args) {
                    return Err(ProtocolError::InvalidMultibulkLength.into());
                }
                if count > i64::from(max_args(limits)) {
                    return Err(ProtocolError::UnauthenticatedMultibulkLength.into());
                }
                Ok(Frame::Array(count as u32, next))
            }
            Some(_) => self.inline(buf, limits, args),
        }
    }

    fn inline(&mut self, buf: &[u8], limits: &Limits, args: &mut ArgRanges) -> Result<Frame, Stop> {
        let from = self.scanned.max(self.pos);
        let found = memchr::memchr(b'\n', &buf[from..]).map(|offset| from + offset);
        let end = found.unwrap_or(buf.len());
        if end - self.pos > limits.max_line_len as usize {
            return Err(ProtocolError::InlineTooLong.into());
        }
        if found.is_none() {
            self.scanned = end;
            return Err(Stop::Need(1));
        }
        let line = &buf[self.pos..end];
        args.inline = true;
        args.text.clear();
        inline::split_into(line.strip_suffix(b"\r").unwrap_or(line), &mut args.text, &mut args.spans)?;
        if args.spans.is_empty() {
            args.inline = false;
            return Ok(Frame::Empty(end + 1));
        }
        Ok(Frame::Inline(end + 1))
    }

    /// Reads one argument, or as much of it as there is.
    fn bulk(&mut self, buf: &[u8], limits: &Limits, args: &mut ArgRanges) -> Result<(), Stop> {
        let len = match self.bulk_len {
            Some(len) => len,
            None => self.bulk_line(buf, limits)?,
        } as usize;
        let end = self.pos + len + 2;
        if buf.len() < end {
            return Err(Stop::Need(end - buf.len()));
        }
        // What stands in the place of CR LF is not looked at; Redis does not either.
        args.spans.push(Span::new(self.pos, len));
        self.bulk_len = None;
        self.missing -= 1;
        self.pos = end;
        Ok(())
    }

    fn bulk_line(&mut self, buf: &[u8], limits: &Limits) -> Result<u32, Stop> {
        let (line, next) = self.line(buf, limits, ProtocolError::BulkLineTooLong)?;
        match line.first() {
            Some(b'$') => {}
            other => return Err(ProtocolError::ExpectedBulk(*other.unwrap_or(&b'\r')).into()),
        }
        let len = parse_i64(&line[1..])
            .filter(|len| (0..=i64::from(limits.max_bulk_len)).contains(len))
            .ok_or(ProtocolError::InvalidBulkLength)? as u32;
        if !limits.authenticated && len > UNAUTHENTICATED_MAX_BULK_LEN {
            return Err(ProtocolError::UnauthenticatedBulkLength.into());
        }
        if next + len as usize + 2 > MAX_OFFSET {
            return Err(ProtocolError::InvalidBulkLength.into());
        }
        (self.bulk_len, self.pos) = (Some(len), next);
        Ok(len)
    }

    /// The line at `pos` up to its CR, and the offset behind the byte after the CR.
    fn line<'a>(&mut self, buf: &'a [u8], limits: &Limits, too_long: ProtocolError) -> Result<(&'a [u8], usize), Stop> {
        let from = self.scanned.max(self.pos);
        let found = memchr::memchr(b'\r', &buf[from..]).map(|offset| from + offset);
        let end = found.unwrap_or(buf.len());
        if end - self.pos > limits.max_line_len as usize {
            return Err(too_long.into());
        }
        self.scanned = end;
        match found {
            None => Err(Stop::Need(2)),
            Some(_) if end + 1 >= buf.len() => Err(Stop::Need(1)),
            Some(_) => Ok((&buf[self.pos..end], end + 2)),
        }
    }
}

fn max_args(limits: &Limits) -> u32 {
    if limits.authenticated { limits.max_args } else { limits.max_args.min(UNAUTHENTICATED_MAX_ARGS) }
}

/// The place of a bulk string that is all there, within limits and written plainly.
#[inline]
fn whole_bulk(buf: &[u8], pos: usize, limits: &Limits) -> Option<(usize, usize)> {
    if *buf.get(pos)? != b'$' {
        return None;
    }
    let (len, start) = length_line(buf, pos + 1)?;
    let end = start + len as usize + 2;
    let within = end <= buf.len()
        && end <= MAX_OFFSET
        && len <= limits.max_bulk_len
        && (limits.authenticated || len <= UNAUTHENTICATED_MAX_BULK_LEN);
    within.then_some((start, len as usize))
}

/// The number at `at` and the offset behind its line, if the line is all there and is up to nine plain digits.
#[inline]
fn length_line(buf: &[u8], at: usize) -> Option<(u32, usize)> {
    let line = buf.get(at..)?;
    let mut value = u32::from(line.first()?.wrapping_sub(b'0'));
    if value > 9 {
        return None;
    }
    let mut used = 1;
    loop {
        let byte = *line.get(used)?;
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return (byte == b'\r' && used + 1 < line.len()).then_some((value, at + used + 2));
        }
        if value == 0 || used == 9 {
            return None;
        }
        value = value * 10 + digit;
        used += 1;
    }
}
