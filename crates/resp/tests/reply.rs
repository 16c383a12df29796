//! What the writer writes, a client reads back; what depends on the version is said in the version's words.
#![allow(clippy::unwrap_used)]

use proptest::collection::vec;
use proptest::prelude::*;
use resp::{Protocol, Reply, ReplyDecoder, ReplyError, Value, parse_i64, write_double, write_double_17, write_i64};

fn text() -> impl Strategy<Value = Vec<u8>> {
    "[a-zA-Z0-9 ]{0,20}".prop_map(String::into_bytes)
}

/// Any reply. Doubles are never NaN, so that values can be compared.
fn value() -> impl Strategy<Value = Value> {
    let bytes = || vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        text().prop_map(Value::Simple),
        text().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Int),
        (-20i64..120).prop_map(Value::Int),
        bytes().prop_map(Value::Bulk),
        Just(Value::Null),
        any::<f64>().prop_filter("not NaN", |value| !value.is_nan()).prop_map(Value::Double),
        any::<bool>().prop_map(Value::Bool),
        "-?[1-9][0-9]{0,40}".prop_map(|digits| Value::BigNumber(digits.into_bytes())),
        bytes().prop_map(|text| Value::Verbatim { format: *b"txt", text }),
    ];
    leaf.prop_recursive(4, 40, 12, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..12).prop_map(Value::Array),
            vec(inner.clone(), 0..6).prop_map(Value::Set),
            vec(inner.clone(), 0..6).prop_map(Value::Push),
            vec((inner.clone(), inner), 0..6).prop_map(Value::Map),
        ]
    })
}

/// The same reply as a RESP2 client sees it.
fn in_resp2(value: Value) -> Value {
    let all = |items: Vec<Value>| Value::Array(items.into_iter().map(in_resp2).collect());
    match value {
        Value::Array(items) | Value::Set(items) | Value::Push(items) => all(items),
        Value::Map(pairs) => all(pairs.into_iter().flat_map(|(key, value)| [key, value]).collect()),
        Value::Bool(value) => Value::Int(value.into()),
        Value::BigNumber(text) | Value::Verbatim { text, .. } => Value::Bulk(text),
        Value::Double(value) => {
            let mut text = Vec::new();
            write_double(&mut text, value);
            Value::Bulk(text)
        }
        other => other,
    }
}

fn read(bytes: &[u8], step: usize) -> Result<Vec<Value>, ReplyError> {
    let (mut decoder, mut found) = (ReplyDecoder::new(), Vec::new());
    for piece in bytes.chunks(step.max(1)) {
        decoder.feed(piece);
        while let Some(value) = decoder.next_value()? {
            found.push(value);
        }
    }
    Ok(found)
}

proptest! {
    #[test]
    fn a_client_reads_back_what_was_written(values in vec(value(), 1..4), step in 1usize..30) {
        let resp3: Vec<u8> = values.iter().flat_map(|value| value.to_bytes(Protocol::Resp3)).collect();
        prop_assert_eq!(read(&resp3, step).unwrap(), values.clone());
        let resp2: Vec<u8> = values.iter().flat_map(|value| value.to_bytes(Protocol::Resp2)).collect();
        prop_assert_eq!(read(&resp2, step).unwrap(), values.into_iter().map(in_resp2).collect::<Vec<_>>());
    }

    #[test]
    fn a_deferred_aggregate_reads_like_one_counted_before(outer in 0usize..120, inner in 0usize..120, resp3 in any::<bool>()) {
        let protocol = if resp3 { Protocol::Resp3 } else { Protocol::Resp2 };
        let (mut counted, mut deferred) = (Vec::new(), b"+before\r\n".to_vec());
        let mut reply = Reply::new(&mut counted, protocol);
        reply.simple("before");
        reply.array(outer + 1);
        reply.map(inner);
        for i in 0..inner * 2 { reply.int(i as i64); }
        for i in 0..outer { reply.bulk_int(i as i64); }
        let mut reply = Reply::new(&mut deferred, protocol);
        let all = reply.deferred_array();
        let map = reply.deferred_map();
        for i in 0..inner * 2 { reply.int(i as i64); }
        reply.close(map, inner);
        for i in 0..outer { reply.bulk_int(i as i64); }
        reply.close(all, outer + 1);
        prop_assert_eq!(counted, deferred);
    }

    #[test]
    fn a_printed_double_reads_back_to_the_same_bits(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        for write in [write_double, write_double_17] {
            let mut text = Vec::new();
            write(&mut text, value);
            let read: f64 = std::str::from_utf8(&text).unwrap().parse().unwrap();
            prop_assert!(read.to_bits() == bits || (read.is_nan() && value.is_nan()), "{}", text.escape_ascii());
            prop_assert!(text.len() <= 25);
        }
    }

    #[test]
    fn an_integer_is_read_iff_it_is_written_the_one_way(value in any::<i64>(), noise in "[-+0-9 ]{0,21}") {
        let mut text = Vec::new();
        write_i64(&mut text, value);
        prop_assert_eq!(parse_i64(&text), Some(value));
        // The model: it parses, and it prints back to the same text.
        let model = noise.parse::<i64>().ok().filter(|number| number.to_string() == noise);
        prop_assert_eq!(parse_i64(noise.as_bytes()), model);
    }
}

#[test]
fn integers_at_the_ends_of_the_range_are_read_and_one_beyond_is_not() {
    for (text, value) in [
        ("9223372036854775807", Some(i64::MAX)),
        ("9223372036854775808", None),
        ("-9223372036854775808", Some(i64::MIN)),
        ("-9223372036854775809", None),
        ("0", Some(0)),
        ("-0", None),
        ("00", None),
        ("+1", None),
        ("", None),
        ("-", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(parse_i64(text.as_bytes()), value, "{text}");
    }
}

#[test]
fn doubles_print_in_the_layout_of_redis() {
    let shortest = |value: f64| {
        let mut out = Vec::new();
        write_double(&mut out, value);
        String::from_utf8(out).unwrap()
    };
    for (value, text) in [
        (0.1, "0.1"),
        (3.0, "3"),
        (-3.0, "-3"),
        (1.5e300, "1.5e+300"),
        (1e20, "1e+20"),
        (1e-7, "1e-7"),
        (1e-6, "0.000001"),
        (0.00012345678, "1.2345678e-4"),
        (123456789.125, "123456789.125"),
        (2251799813685249.5, "2251799813685249.5"),
        (4503599627370498.0, "4503599627370498"),
        (1e16, "1e+16"),
        (-0.0, "-0"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN, "nan"),
    ] {
        assert_eq!(shortest(value), text);
    }
    let mut out = Vec::new();
    write_double_17(&mut out, 0.1);
    assert_eq!(out, b"0.10000000000000001");
}

#[test]
fn each_version_has_its_own_words() {
    let both = |write: &dyn Fn(&mut Reply<'_>)| {
        [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
            let mut out = Vec::new();
            write(&mut Reply::new(&mut out, protocol));
            out.escape_ascii().to_string()
        })
    };
    assert_eq!(both(&|reply| reply.null()), [r"$-1\r\n", r"_\r\n"]);
    assert_eq!(both(&|reply| reply.null_array()), [r"*-1\r\n", r"_\r\n"]);
    assert_eq!(both(&|reply| reply.map(6)), [r"*12\r\n", r"%6\r\n"]);
    assert_eq!(both(&|reply| reply.set(2)), [r"*2\r\n", r"~2\r\n"]);
    assert_eq!(both(&|reply| reply.push(3)), [r"*3\r\n", r">3\r\n"]);
    assert_eq!(both(&|reply| reply.double(0.5)), [r"$3\r\n0.5\r\n", r",0.5\r\n"]);
    assert_eq!(both(&|reply| reply.bool(true)), [r":1\r\n", r"#t\r\n"]);
    assert_eq!(both(&|reply| reply.big_number("12")), [r"$2\r\n12\r\n", r"(12\r\n"]);
    assert_eq!(both(&|reply| reply.verbatim(*b"txt", b"hi")), [r"$2\r\nhi\r\n", r"=6\r\ntxt:hi\r\n"]);
    assert_eq!(
        both(&|reply| reply.bulk_double(1e-300 / 3.0)),
        [r"$23\r\n3.333333333333333e-301\r\n"; 2].map(|_| {
            let mut text = Vec::new();
            write_double(&mut text, 1e-300 / 3.0);
            format!("${}\\r\\n{}\\r\\n", text.len(), text.escape_ascii())
        })
    );
}

#[test]
fn line_ends_in_errors_and_simple_strings_become_blanks() {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    reply.error("ERR bad\r\n+OK");
    reply.simple("a\nb");
    assert_eq!(out, b"-ERR bad  +OK\r\n+a b\r\n");
}

#[test]
fn rewinding_drops_what_was_written_since_the_mark() {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    reply.ok();
    let mark = reply.mark();
    reply.error("ERR first try");
    assert!(reply.is_error_since(mark));
    assert_eq!(reply.written_since(mark), b"-ERR first try\r\n");
    reply.rewind(mark);
    reply.int(7);
    assert!(!reply.is_error_since(mark));
    assert_eq!(out, b"+OK\r\n:7\r\n");
}

#[test]
fn nesting_beyond_the_limit_and_malformed_replies_are_refused() {
    let deep = |levels: usize| read(&[b"*1\r\n".repeat(levels), b":1\r\n".to_vec()].concat(), 1000);
    assert!(deep(resp::MAX_REPLY_DEPTH).is_ok());
    assert_eq!(deep(resp::MAX_REPLY_DEPTH + 1), Err(ReplyError::TooDeep(resp::MAX_REPLY_DEPTH)));
    for broken in [
        &b"?\r\n"[..],
        b":x\r\n",
        b"$3\r\nabcd\r\n",
        b"$?\r\n",
        b"#x\r\n",
        b"=2\r\nab\r\n",
        b"+no return\n",
        b"\n",
        b",1,5\r\n",
        b"*-2\r\n",
        b"$99999999999999\r\n",
    ] {
        assert!(read(broken, 100).is_err(), "{}", broken.escape_ascii());
    }
    assert_eq!(
        read(b"|1\r\n+a\r\n+b\r\n:1\r\n!3\r\nERR\r\n*0\r\n", 100).unwrap(),
        [Value::Int(1), Value::Error(b"ERR".to_vec()), Value::Array(vec![]),]
    );
}

#[test]
fn an_announced_count_reserves_little() {
    let mut decoder = ReplyDecoder::new();
    for _ in 0..resp::MAX_REPLY_DEPTH {
        decoder.feed(b"*4294967295\r\n");
    }
    assert_eq!(decoder.next_value(), Ok(None));
}
