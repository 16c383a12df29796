//! How a line of redis.conf splits into arguments, and how an argument is quoted so that it splits back.
//!
//! Arguments are separated by white space. In double quotes `\n \r \t \b \a`, `\xHH` and `\` before any other byte
//! are escapes; in single quotes only `\'` is. A closing quote must end its argument.

/// The arguments of a line, or `None` if its quotes do not balance.
pub(super) fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|b| !is_space(*b))?;
        let (word, after) = word(&rest[start..])?;
        words.push(word);
        rest = after;
        if rest.iter().all(|b| is_space(*b)) {
            return Some(words);
        }
    }
}

/// As [`split`], with an empty or blank line giving no arguments.
pub(super) fn split_line(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    if line.iter().all(|b| is_space(*b)) { Some(Vec::new()) } else { split(line) }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn word(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] => return Some((word, &[])),
            [b, after @ ..] if is_space(*b) => return Some((word, after)),
            [b'"', after @ ..] => return finish(word, double_quoted(after)?),
            [b'\'', after @ ..] => return finish(word, single_quoted(after)?),
            [b, after @ ..] => {
                word.push(*b);
                rest = after;
            }
        }
    }
}

/// What came before the quote, joined with what was in it; after it nothing but white space may follow.
fn finish(mut word: Vec<u8>, (quoted, rest): (Vec<u8>, &[u8])) -> Option<(Vec<u8>, &[u8])> {
    if rest.first().is_some_and(|b| !is_space(*b)) {
        return None;
    }
    word.extend(quoted);
    Some((word, rest))
}

fn double_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return None,
            [b'"', after @ ..] => return Some((word, after)),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = after;
            }
            [b, after @ ..] => {
                word.push(*b);
                rest = after;
            }
        }
    }
}

fn single_quoted(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut word = Vec::new();
    loop {
        match rest {
            [] => return None,
            [b'\'', after @ ..] => return Some((word, after)),
            [b'\\', b'\'', after @ ..] => {
                word.push(b'\'');
                rest = after;
            }
            [b, after @ ..] => {
                word.push(*b);
                rest = after;
            }
        }
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

/// The argument as it stands in a file: bare where that is safe, else in double quotes.
pub(super) fn quote_if_needed(word: &[u8]) -> Vec<u8> {
    let bare = !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\'' | b'#'));
    if bare { word.to_vec() } else { quote(word) }
}

/// The argument in double quotes.
pub(super) fn quote(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for byte in word {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            b' ' => out.push(b' '),
            b if b.is_ascii_graphic() => out.push(*b),
            b => out.extend(format!("\\x{b:02x}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split_line(line.as_bytes())?;
        Some(words.into_iter().map(|w| String::from_utf8_lossy(&w).into_owned()).collect())
    }

    #[test]
    fn quotes_and_escapes_follow_redis() {
        for (line, expected) in [
            ("a b  c\t", Some(vec!["a", "b", "c"])),
            ("  ", Some(vec![])),
            ("a \"\" b", Some(vec!["a", "", "b"])),
            (r#"a "x y\n\x41\"\q""#, Some(vec!["a", "x y\nA\"q"])),
            (r"a 'x\n\'y'", Some(vec!["a", r"x\n'y"])),
            (r#"a pre"post""#, Some(vec!["a", "prepost"])),
            (r#"a "\x4""#, Some(vec!["a", "x4"])),
            (r#"a "b"#, None),
            (r#"a "b"c"#, None),
            ("a 'b'c", None),
            ("a 'b", None),
            (r#"a "b\"#, None),
        ] {
            assert_eq!(words(line), expected.map(|w| w.into_iter().map(str::to_owned).collect()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_splits_back(args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..12), 1..5)) {
            let line: Vec<u8> = args.iter().map(|a| quote_if_needed(a)).collect::<Vec<_>>().join(&b' ');
            prop_assert_eq!(split_line(&line), Some(args.clone()));
            let line: Vec<u8> = args.iter().map(|a| quote(a)).collect::<Vec<_>>().join(&b' ');
            prop_assert_eq!(split_line(&line), Some(args));
        }

        #[test]
        fn no_line_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            split_line(&line);
        }
    }
}
