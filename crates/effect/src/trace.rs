//! The trace that a batch belongs to, as the header `traceparent` of the W3C says it.
//!
//! ```text
//! 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01      version, trace id, span id, flags
//! ```
//! *Invariant:* a context that was read is written as the same ids. The flags are not kept: what is carried was wanted.

use std::fmt::Write;

/// Trace id (16 bytes) and span id (8 bytes).
pub type TraceContext = [u8; 24];

/// Reads the text of a `traceparent`; none: it is none.
pub fn parse_traceparent(text: &[u8]) -> Option<TraceContext> {
    let (head, rest) = text.split_at_checked(55)?;
    let parts: Vec<&[u8]> = head.split(|byte| *byte == b'-').collect();
    let [version, trace, span, flags] = parts[..] else { return None };
    let version = *bytes::<1>(version)?.first()?;
    bytes::<1>(flags)?;
    // Versions to come may say more.
    if version == 0xFF || (version == 0 && !rest.is_empty()) || !matches!(rest, [] | [b'-', ..]) {
        return None;
    }
    let (trace, span) = (bytes::<16>(trace)?, bytes::<8>(span)?);
    if trace == [0; 16] || span == [0; 8] {
        return None;
    }
    let mut context = [0; 24];
    context[..16].copy_from_slice(&trace);
    context[16..].copy_from_slice(&span);
    Some(context)
}

/// The text of it.
pub fn traceparent(context: &TraceContext) -> String {
    let mut text = String::from("00-");
    for (at, byte) in context.iter().enumerate() {
        if at == 16 {
            text.push('-');
        }
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
    }
    text.push_str("-01");
    text
}

/// So many bytes in small hexadecimal digits, as the standard has them.
fn bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut all = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in all.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_was_read_is_written() {
        let context = parse_traceparent(TEXT.as_bytes()).expect("it is one");
        assert_eq!((context[0], context[15], context[16], context[23]), (0x4b, 0x36, 0x00, 0xb7));
        assert_eq!(traceparent(&context), TEXT);
        let later = format!("01{}-more", &TEXT[2..]);
        assert_eq!(parse_traceparent(later.as_bytes()), Some(context));
    }

    #[test]
    fn what_is_none_is_refused() {
        let changed = |at: usize, with: &str| format!("{}{with}{}", &TEXT[..at], &TEXT[at + with.len()..]);
        let long = format!("{TEXT}-more");
        let zero_trace = changed(3, &"0".repeat(32));
        let zero_span = changed(36, &"0".repeat(16));
        let wrong = [
            "",
            "00",
            &TEXT[..54],
            &long,
            &zero_trace,
            &zero_span,
            &changed(0, "ff"),
            &changed(3, "4B"),
            &changed(2, "_"),
        ];
        wrong.iter().for_each(|text| assert_eq!(parse_traceparent(text.as_bytes()), None, "{text}"));
        assert_eq!(
            parse_traceparent(format!("01{}x", &TEXT[2..]).as_bytes()),
            None,
            "nothing is behind the flags but a dash"
        );
    }
}
