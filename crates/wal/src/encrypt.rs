//! Encrypts the records of a buffer that is about to be written, and decrypts one that was read.
//!
//! The frames lie in the buffer as they will on disk: the length is filled in, and in front of an encrypted payload there is room
//! for what encryption adds. Checks are not, since they are over what is written.

use envelope::{Cipher, HEAD_BYTES, Purpose};

use crate::batch::Batch;
use crate::error::Reason;
use crate::format::{FRAME_HEADER_BYTES, Kind, seal_frame, u32_at};
use crate::position::Position;

/// Bytes that an encrypted payload is bound to: log, position and kind.
const BOUND_BYTES: usize = 17;

fn bound(log_id: u64, position: Position, kind: u8) -> [u8; BOUND_BYTES] {
    let mut bytes = [0; BOUND_BYTES];
    bytes[..8].copy_from_slice(&log_id.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.0.to_le_bytes());
    bytes[16] = kind;
    bytes
}

fn is_encrypted(kind: u8) -> bool {
    Kind::stored(kind).is_some_and(|(_, is_encrypted)| is_encrypted)
}

/// The frame at `at`: the whole of it.
fn frame_at(bytes: &mut [u8], at: usize) -> &mut [u8] {
    let len = FRAME_HEADER_BYTES + u32_at(bytes, at) as usize;
    &mut bytes[at..at + len]
}

/// Encrypts each record of `batch` that is marked so, and fills in the checks of all frames.
pub(crate) fn encrypt_batch(batch: &mut Batch, log_id: u64, cipher: &Cipher) -> envelope::Result<()> {
    let (mut count, mut at) = (0, 0);
    while at < batch.bytes.len() {
        let frame = frame_at(&mut batch.bytes, at);
        count += u32::from(is_encrypted(frame[8]));
        at += frame.len();
    }
    let mut sealer = cipher.prepare(Purpose::Record, count)?;
    let mut at = 0;
    while at < batch.bytes.len() {
        let position = Position(batch.start.0 + at as u64);
        let frame = frame_at(&mut batch.bytes, at);
        if is_encrypted(frame[8]) {
            let bound = bound(log_id, position, frame[8]);
            let payload = &mut frame[FRAME_HEADER_BYTES..];
            let (head, body) = payload.split_first_chunk_mut::<HEAD_BYTES>().expect("room was left for it");
            sealer.seal(&bound, head, body)?;
        }
        seal_frame(frame, log_id, position.0);
        at += frame.len();
    }
    Ok(())
}

/// Decrypts the payload of the frame at `position` into `out`.
pub(crate) fn open_payload(
    cipher: &Cipher,
    log_id: u64,
    position: Position,
    kind: u8,
    payload: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let opened = cipher.open_into(Purpose::Record, &bound(log_id, position, kind), payload, out);
    opened.map_err(|error| match error {
        envelope::Error::DataKeyUnknown(id) => Reason::DataKey(id.0),
        _ => Reason::Integrity,
    })
}
