//! Commands come out as they went in, however the bytes are cut; garbage is refused, never believed.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use resp::{ArgRanges, Decoder, Limits, OwnedArgs, Progress, ProtocolError, fuzz_decoder, split_line, write_command};

type Command = Vec<Vec<u8>>;

/// All commands of `stream`, read in pieces of the given sizes (repeated as needed), and the error that ended it.
fn decode_in_pieces(stream: &[u8], sizes: &[usize], limits: &Limits) -> (Vec<Command>, Option<ProtocolError>) {
    let (mut decoder, mut found, mut held) = (Decoder::new(), Vec::new(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at((*sizes.next().unwrap()).clamp(1, rest.len()));
        held.extend_from_slice(piece);
        rest = tail;
        loop {
            // Scratch space is shared among clients, so nothing of a partial command may be left in it.
            let mut args = ArgRanges::new();
            match decoder.decode(&held, limits, &mut args) {
                Ok(Progress::Command { consumed }) => {
                    found.push(args.view(&held).iter().map(<[u8]>::to_vec).collect());
                    held.drain(..consumed);
                }
                Ok(Progress::Partial { consumed, .. }) => {
                    held.drain(..consumed);
                    break;
                }
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

fn quoted(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in word {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'a'..=b'z' | b'0'..=b'9' | b' ' | b'\'' => out.push(*byte),
            other => out.extend(format!("\\x{other:02x}").bytes()),
        }
    }
    out.push(b'"');
    out
}

#[derive(Debug, Clone)]
enum Piece {
    Array(Command),
    Inline(Command),
    Empty(&'static [u8]),
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let word = || vec(any::<u8>(), 0..40);
    let piece = prop_oneof![
        4 => vec(word(), 1..6).prop_map(Piece::Array),
        1 => vec(word(), 1..14).prop_map(Piece::Array),
        2 => vec(word(), 1..5).prop_map(Piece::Inline),
        1 => prop::sample::select(vec![&b"\r\n"[..], b"\n", b"*0\r\n", b"*-1\r\n", b"*-7\r\n", b"  \t\r\n"]).prop_map(Piece::Empty),
    ];
    vec(piece, 1..8)
}

fn encode(pieces: &[Piece]) -> (Vec<u8>, Vec<Command>) {
    let (mut stream, mut commands) = (Vec::new(), Vec::new());
    for piece in pieces {
        match piece {
            Piece::Array(command) => {
                write_command(&mut stream, command);
                commands.push(command.clone());
            }
            Piece::Inline(command) => {
                for word in command {
                    stream.extend(quoted(word));
                    stream.push(b' ');
                }
                stream.extend(b"\r\n");
                commands.push(command.clone());
            }
            Piece::Empty(bytes) => stream.extend(*bytes),
        }
    }
    (stream, commands)
}

proptest! {
    #[test]
    fn commands_come_out_as_they_went_in_however_the_bytes_are_cut(pieces in pieces(), sizes in vec(1usize..50, 1..10)) {
        let (stream, commands) = encode(&pieces);
        prop_assert_eq!(decode_in_pieces(&stream, &[stream.len()], &Limits::default()), (commands.clone(), None));
        prop_assert_eq!(decode_in_pieces(&stream, &sizes, &Limits::default()), (commands.clone(), None));
        prop_assert_eq!(decode_in_pieces(&stream, &[1], &Limits::default()), (commands, None));
    }

    #[test]
    fn garbage_is_decoded_alike_in_pieces_and_never_panics(data in vec(any::<u8>(), 0..300)) {
        fuzz_decoder(&data);
    }

    #[test]
    fn protocol_like_garbage_is_decoded_alike_in_pieces(
        seed in any::<u8>(),
        words in vec(prop::sample::select(vec![
            &b"*"[..], b"$", b"\r\n", b"\r", b"\n", b"0", b"1", b"2", b"-1", b"3", b"12", b"9999999999", b"PING",
            b"\"", b"'", b"\\x4", b" ", b"%", b"~", b"|", b">", b"_", b",", b"#t", b"=", b"txt:", b"(", b"inf", b"!", b":",
        ]), 0..60),
    ) {
        let mut data = vec![seed];
        data.extend(words.concat());
        fuzz_decoder(&data);
    }

    #[test]
    fn a_stream_with_flipped_bytes_is_decoded_alike_in_pieces(
        pieces in pieces(), flips in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), seed in any::<u8>(),
    ) {
        let (mut stream, _) = encode(&pieces);
        for (at, byte) in flips {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream.insert(0, seed);
        fuzz_decoder(&stream);
    }

    #[test]
    fn needed_says_exactly_how_much_of_a_bulk_is_missing(len in 1usize..5000, cut in any::<prop::sample::Index>()) {
        let mut stream = Vec::new();
        write_command(&mut stream, [b"SET".to_vec(), vec![b'x'; len]]);
        let body = stream.len() - len - 2;
        let cut = body + cut.index(len + 1);
        let progress = Decoder::new().decode(&stream[..cut], &Limits::default(), &mut ArgRanges::new());
        prop_assert_eq!(progress, Ok(Progress::Partial { consumed: 0, needed: stream.len() - cut }));
    }

    #[test]
    fn an_owned_copy_has_the_same_arguments(command in vec(vec(any::<u8>(), 0..30), 1..8)) {
        let owned: OwnedArgs = command.iter().collect();
        let args = owned.as_args();
        prop_assert_eq!(args.iter().collect::<Vec<_>>(), command.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(args.to_owned_args(), owned.clone());
        prop_assert_eq!(args.tail(1).len(), command.len() - 1);
        prop_assert_eq!(args.get(command.len()), None);
        prop_assert!(args.part(1, command.len()).is_none());
        prop_assert_eq!(args.part(0, 1).map(|part| part[0].to_vec()), Some(command[0].clone()));
    }
}

#[test]
fn a_partial_bulk_costs_no_second_look_at_what_came_before() {
    // 100 MB in 64 KiB reads: reading again from the start each time would touch 80 GB.
    let len = 100 << 20;
    let mut stream = Vec::new();
    write_command(&mut stream, [b"SET".to_vec(), b"k".to_vec(), vec![b'\r'; len]]);
    let (mut decoder, mut args, limits) = (Decoder::new(), ArgRanges::new(), Limits::default());
    for end in (0..stream.len()).step_by(64 << 10).skip(1) {
        let progress = decoder.decode(&stream[..end], &limits, &mut args);
        assert_eq!(progress, Ok(Progress::Partial { consumed: 0, needed: stream.len() - end }));
    }
    assert_eq!(decoder.decode(&stream, &limits, &mut args), Ok(Progress::Command { consumed: stream.len() }));
    assert_eq!(args.view(&stream)[2].len(), len);
}

#[test]
fn an_announced_length_reserves_nothing() {
    let (mut decoder, mut args) = (Decoder::new(), ArgRanges::new());
    let stream = b"*2147483647\r\n$3\r\nSET\r\n$536870912\r\n";
    assert!(matches!(decoder.decode(stream, &Limits::default(), &mut args), Ok(Progress::Partial { .. })));
    assert!(decoder.memory() < 256, "{} bytes", decoder.memory());
}

#[test]
fn lengths_at_the_limits_pass_and_one_more_is_refused() {
    use ProtocolError as E;
    let (open, shut) = (Limits::default(), Limits::unauthenticated());
    let cases: [(&str, &Limits, Option<E>); 12] = [
        ("*01\r\n", &open, Some(E::InvalidMultibulkLength)),
        ("*1\r\n$04\r\nPING\r\n", &open, Some(E::InvalidBulkLength)),
        ("*2147483647\r\n", &open, None),
        ("*2147483648\r\n", &open, Some(E::InvalidMultibulkLength)),
        ("*10\r\n", &shut, None),
        ("*11\r\n", &shut, Some(E::UnauthenticatedMultibulkLength)),
        ("*1\r\n$536870912\r\n", &open, None),
        ("*1\r\n$536870913\r\n", &open, Some(E::InvalidBulkLength)),
        ("*1\r\n$16384\r\n", &shut, None),
        ("*1\r\n$16385\r\n", &shut, Some(E::UnauthenticatedBulkLength)),
        ("*99999999999999999999\r\n", &open, Some(E::InvalidMultibulkLength)),
        ("*1\r\n$4294967295\r\n", &Limits { max_bulk_len: u32::MAX, ..open }, Some(E::InvalidBulkLength)),
    ];
    for (stream, limits, error) in cases {
        assert_eq!(decode_in_pieces(stream.as_bytes(), &[100], limits), (vec![], error), "{stream:?}");
    }
}

#[test]
fn a_line_of_64_kib_passes_and_one_byte_more_is_refused_whether_it_ends_or_not() {
    for (head, error) in [
        ("", ProtocolError::InlineTooLong),
        ("*", ProtocolError::MultibulkLineTooLong),
        ("*1\r\n$", ProtocolError::BulkLineTooLong),
    ] {
        let kind = usize::from(!head.is_empty());
        let mut stream = head.as_bytes().to_vec();
        stream.resize(head.len() + 65536 - kind, b'1');
        assert_eq!(decode_in_pieces(&stream, &[4096], &Limits::default()), (vec![], None));
        stream.push(b'1');
        assert_eq!(decode_in_pieces(&stream, &[4096], &Limits::default()), (vec![], Some(error)));
        stream.extend(b"\r\n");
        assert_eq!(decode_in_pieces(&stream, &[100_000], &Limits::default()), (vec![], Some(error)));
    }
}

#[test]
fn words_are_split_by_the_rules_of_quotes() {
    let words = |line: &str| {
        split_line(line.as_bytes())
            .map(|args| args.as_args().iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join("|"))
    };
    assert_eq!(words(r"  set  k v ").unwrap(), "set|k|v");
    assert_eq!(words(r#""a\n\r\t\b\a\q\"\\" 'it\'s\n'"#).unwrap(), r#"a\n\r\t\x08\x07q\"\\|it\'s\\n"#);
    assert_eq!(words(r#""\x41\xfF\xzz" """#).unwrap(), r"A\xffxzz|");
    assert_eq!(words(r#"PI"NG""#).unwrap(), "PING");
    assert_eq!(words("a\rb\x0bc \x0bd").unwrap(), r"a|b\x0bc|d");
    assert_eq!(words("a\0b").unwrap(), r"a\x00b");
    for broken in [r#""open"#, "'open", r#""a"b"#, "'a'b", "\"a\\", "a\"b"] {
        assert_eq!(words(broken), Err(ProtocolError::UnbalancedQuotes), "{broken}");
    }
}
