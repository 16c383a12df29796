//! An entry for fuzzers: any bytes, every way of cutting them.

use crate::args::ArgRanges;
use crate::decoder::{Decoder, Progress};
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::reply_decoder::ReplyDecoder;

/// Runs both decoders over `data`. The first byte chooses how the rest is cut. Panics where a decoder breaks its
/// promises: reading in pieces gives the same commands and the same error as reading at once, nothing is consumed that
/// is not there, and memory follows the bytes that arrived.
pub fn fuzz_decoder(data: &[u8]) {
    let Some((seed, bytes)) = data.split_first() else { return };
    for limits in [Limits::default(), Limits::unauthenticated()] {
        let whole = commands(bytes, &limits, |_| bytes.len().max(1));
        let step = usize::from(seed % 16) + 1;
        let pieces = commands(bytes, &limits, |round| if round % 3 == 0 { 1 } else { step });
        assert_eq!(whole, pieces, "the outcome depends on how the bytes were cut");
    }
    replies(bytes, usize::from(*seed) + 1);
}

type Outcome = (Vec<Vec<Vec<u8>>>, Option<ProtocolError>);

/// All commands in `bytes` when read number `n` brings `cut(n)` bytes.
fn commands(bytes: &[u8], limits: &Limits, cut: impl Fn(usize) -> usize) -> Outcome {
    let (mut decoder, mut args, mut found) = (Decoder::new(), ArgRanges::new(), Vec::new());
    let (mut start, mut end) = (0, 0);
    let mut round = 0;
    while end < bytes.len() {
        end = bytes.len().min(end + cut(round));
        round += 1;
        loop {
            match decoder.decode(&bytes[start..end], limits, &mut args) {
                Ok(Progress::Command { consumed }) => {
                    assert!(consumed > 0 && consumed <= end - start && !args.is_empty());
                    found.push(args.view(&bytes[start..end]).iter().map(<[u8]>::to_vec).collect());
                    start += consumed;
                }
                Ok(Progress::Partial { consumed, needed }) => {
                    assert!(consumed <= end - start && needed > 0);
                    start += consumed;
                    break;
                }
                Err(error) => return (found, Some(error)),
            }
            assert!(args.len() <= bytes.len(), "more arguments than bytes");
        }
        assert!(decoder.memory() <= 64 + bytes.len() * 16, "memory beyond what arrived");
    }
    (found, None)
}

fn replies(bytes: &[u8], step: usize) {
    let (mut whole, mut pieces) = (ReplyDecoder::new(), ReplyDecoder::new());
    whole.feed(bytes);
    let mut expected = Vec::new();
    let error = drain(&mut whole, &mut expected);
    let mut got = Vec::new();
    let mut got_error = None;
    for piece in bytes.chunks(step) {
        pieces.feed(piece);
        got_error = drain(&mut pieces, &mut got);
        if got_error.is_some() {
            break;
        }
    }
    assert_eq!(
        (expected, error.is_some()),
        (got, got_error.is_some()),
        "the outcome depends on how the bytes were cut"
    );
}

/// Values are compared as they print: a NaN is not equal to itself.
fn drain(decoder: &mut ReplyDecoder, into: &mut Vec<String>) -> Option<crate::error::ReplyError> {
    loop {
        match decoder.next_value() {
            Ok(Some(value)) => into.push(format!("{value:?}")),
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}
