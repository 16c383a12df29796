//! Frames of one segment, one after another, through a buffer of bounded size.

use std::io;
use std::sync::Arc;

use envelope::{Cipher, DataKeyId, HEAD_BYTES, key_of};

use crate::disk::{DiskFile, read_full};
use crate::encrypt::open_payload;
use crate::error::Reason;
use crate::format::{FRAME_HEADER_BYTES, Kind, frame_check, u32_at};
use crate::limits::{MAX_PAYLOAD_BYTES, READ_BYTES};
use crate::position::Position;
use crate::writer::file_offset;

/// What comes next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A good frame; its payload is at hand until the next call.
    Frame(Kind),
    /// The limit.
    End,
    /// No good frame; the position has not moved.
    Bad(Defect),
}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Defect {
    pub(crate) reason: Reason,
    /// It was written like this, by a program that knows more: never to be cut off.
    pub(crate) genuine: bool,
}

/// A place in one segment.
pub(crate) struct Frames {
    file: Arc<dyn DiskFile>,
    log_id: u64,
    base: Position,
    /// Where reading stops: the end of the file or of what is written.
    limit: Position,
    position: Position,
    buffer: Vec<u8>,
    at: usize,
    filled: usize,
    payload: std::ops::Range<usize>,
    /// Position and kind byte of the frame that was found last, if its payload is encrypted.
    encrypted: Option<(Position, u8)>,
    /// The payload of that frame, decrypted.
    opened: Option<Vec<u8>>,
    cipher: Option<Arc<Cipher>>,
}

impl Frames {
    pub(crate) fn new(file: Arc<dyn DiskFile>, log_id: u64, base: Position, from: Position, limit: Position) -> Self {
        let (position, buffer) = (from, Vec::new());
        Self {
            file,
            log_id,
            base,
            limit,
            position,
            buffer,
            at: 0,
            filled: 0,
            payload: 0..0,
            encrypted: None,
            opened: None,
            cipher: None,
        }
    }

    /// The same, to decrypt payloads with `cipher`.
    pub(crate) fn with_cipher(self, cipher: Option<Arc<Cipher>>) -> Self {
        Self { cipher, ..self }
    }

    /// Where the next frame begins.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    pub(crate) fn is_at_limit(&self) -> bool {
        self.position >= self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: Position) {
        self.limit = limit;
    }

    /// The payload of the frame that `next` has just found; as it is on disk, unless it was decrypted.
    pub(crate) fn payload(&self) -> &[u8] {
        match &self.opened {
            Some(opened) if self.encrypted.is_some() => opened,
            _ => &self.buffer[self.payload.clone()],
        }
    }

    /// The data key that the frame which `next` has just found names, if it is encrypted.
    pub(crate) fn data_key(&self) -> Option<DataKeyId> {
        self.encrypted.and_then(|_| key_of(&self.buffer[self.payload.clone()]).ok())
    }

    /// Decrypts the payload of the frame that `next` has just found, if it is encrypted.
    pub(crate) fn decrypt(&mut self) -> Result<(), Reason> {
        let Some((position, kind)) = self.encrypted else { return Ok(()) };
        let cipher = self.cipher.as_ref().ok_or(Reason::KeysNeeded)?;
        let mut opened = self.opened.take().unwrap_or_default();
        open_payload(cipher, self.log_id, position, kind, &self.buffer[self.payload.clone()], &mut opened)?;
        self.opened = Some(opened);
        Ok(())
    }

    /// Reads and checks the next frame.
    pub(crate) fn next(&mut self) -> io::Result<Next> {
        self.encrypted = None;
        let left = self.limit.0.saturating_sub(self.position.0);
        if left == 0 {
            return Ok(Next::End);
        }
        if left < FRAME_HEADER_BYTES as u64 || !self.fill(FRAME_HEADER_BYTES)? {
            return Ok(bad(Reason::Length));
        }
        let head = &self.buffer[self.at..self.at + FRAME_HEADER_BYTES];
        let (length, check, kind) = (u32_at(head, 0), u32_at(head, 4), head[8]);
        if kind == 0 {
            return Ok(bad(Reason::Kind(0)));
        }
        let whole = FRAME_HEADER_BYTES as u64 + u64::from(length);
        if length as usize > MAX_PAYLOAD_BYTES + HEAD_BYTES || whole > left || !self.fill(whole as usize)? {
            return Ok(bad(Reason::Length));
        }
        let frame = &self.buffer[self.at..self.at + whole as usize];
        if frame_check(&frame[8..], self.log_id, self.position.0, length) != check {
            return Ok(bad(Reason::Checksum));
        }
        let known = Kind::stored(kind).filter(|(kind, _)| !kind.is_own() || *kind == Kind::MARK);
        let Some((known, is_encrypted)) = known else {
            return Ok(Next::Bad(Defect { reason: Reason::Kind(kind), genuine: true }));
        };
        self.encrypted = is_encrypted.then_some((self.position, kind));
        self.payload = self.at + FRAME_HEADER_BYTES..self.at + whole as usize;
        self.at += whole as usize;
        self.position.0 += whole;
        Ok(Next::Frame(known))
    }

    /// Has at least `need` bytes at hand; false if the file ends before.
    fn fill(&mut self, need: usize) -> io::Result<bool> {
        if self.filled - self.at >= need {
            return Ok(true);
        }
        self.buffer.copy_within(self.at..self.filled, 0);
        self.filled -= self.at;
        self.at = 0;
        if self.buffer.len() < need.max(READ_BYTES) {
            self.buffer.resize(need.max(READ_BYTES), 0);
        }
        let left = (self.limit.0 - self.position.0) as usize;
        let to = self.buffer.len().min(left).max(self.filled);
        let offset = file_offset(self.base, self.position) + self.filled as u64;
        self.filled += read_full(&*self.file, offset, &mut self.buffer[self.filled..to])?;
        Ok(self.filled >= need)
    }
}

fn bad(reason: Reason) -> Next {
    Next::Bad(Defect { reason, genuine: false })
}
