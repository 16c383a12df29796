//! Patterns of replies: what may stand after `<` in a transcript.

use std::fmt;

use anyhow::{Result, bail};

use crate::resp::Value;

/// What a reply must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// `*`
    Anything,
    /// A value to the letter.
    Exact(Value),
    /// `-text` with `*` standing for anything.
    Error(String),
    /// `:low..high`
    Range(i64, i64),
    /// `(nil)`
    Nil,
    /// `(nil-array)`
    NilArray,
    /// `[a, b]`
    List(Vec<Pattern>),
    /// `~[a, b]`
    AnyOrder(Vec<Pattern>),
    /// `%[k, v]`
    Map(Vec<Pattern>),
}

impl Pattern {
    /// Understands one pattern; anything after it is an error.
    pub fn parse(text: &str) -> Result<Pattern> {
        let mut rest = text.trim();
        if let Some(error) = rest.strip_prefix('-') {
            return Ok(Pattern::Error(error.to_owned()));
        }
        let pattern = item(&mut rest)?;
        if rest.is_empty() { Ok(pattern) } else { bail!("unexpected after the reply: {rest}") }
    }

    /// Whether `value` is as described.
    pub fn matches(&self, value: &Value) -> bool {
        match self {
            Pattern::Anything => true,
            Pattern::Exact(exact) => exact == value,
            Pattern::Error(glob) => matches!(value, Value::Error(e) if matches_glob(glob, &String::from_utf8_lossy(e))),
            Pattern::Range(low, high) => matches!(value, Value::Int(n) if (low..=high).contains(&n)),
            Pattern::Nil => matches!(value, Value::NullBulk | Value::Null),
            Pattern::NilArray => matches!(value, Value::NullArray | Value::Null),
            Pattern::List(items) => match value {
                Value::Array(values) | Value::Push(values) => in_order(items, values),
                _ => false,
            },
            Pattern::AnyOrder(items) => value.items().is_some_and(|values| any_order(items, values)),
            Pattern::Map(items) => match value {
                Value::Map(pairs) => pairs_match(items, pairs),
                _ => false,
            },
        }
    }
}

fn in_order(items: &[Pattern], values: &[Value]) -> bool {
    items.len() == values.len() && items.iter().zip(values).all(|(p, v)| p.matches(v))
}

fn any_order(items: &[Pattern], values: &[Value]) -> bool {
    let mut left: Vec<&Value> = values.iter().collect();
    items.len() == values.len()
        && items.iter().all(|p| match left.iter().position(|v| p.matches(v)) {
            Some(i) => {
                left.swap_remove(i);
                true
            }
            None => false,
        })
}

fn pairs_match(items: &[Pattern], pairs: &[(Value, Value)]) -> bool {
    items.len() == pairs.len() * 2
        && items.chunks(2).all(|c| pairs.iter().any(|(k, v)| c[0].matches(k) && c[1].matches(v)))
}

/// `*` in `glob` stands for any text.
fn matches_glob(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn item(rest: &mut &str) -> Result<Pattern> {
    for (open, make) in
        [("[", Pattern::List as fn(Vec<Pattern>) -> Pattern), ("~[", Pattern::AnyOrder), ("%[", Pattern::Map)]
    {
        if let Some(inner) = rest.strip_prefix(open) {
            *rest = inner;
            return Ok(make(items(rest)?));
        }
    }
    if rest.starts_with('"') {
        let (bytes, after) = string(rest)?;
        *rest = after;
        return Ok(Pattern::Exact(Value::Bulk(bytes)));
    }
    // A double begins with a comma, which would otherwise end the word.
    let skip = usize::from(rest.starts_with(','));
    let end = rest[skip..].find([',', ']']).map_or(rest.len(), |e| e + skip);
    let (word, after) = rest.split_at(end);
    *rest = after;
    self::word(word.trim())
}

fn word(word: &str) -> Result<Pattern> {
    Ok(match word.split_at_checked(1) {
        _ if word == "*" => Pattern::Anything,
        _ if word == "(nil)" => Pattern::Nil,
        _ if word == "(nil-array)" => Pattern::NilArray,
        Some(("+", text)) => Pattern::Exact(Value::Simple(text.as_bytes().to_vec())),
        Some((",", text)) => Pattern::Exact(Value::Double(text.as_bytes().to_vec())),
        Some(("#", text)) => Pattern::Exact(Value::Bool(text == "t")),
        Some((":", text)) => match text.split_once("..") {
            Some((low, high)) => Pattern::Range(low.parse()?, high.parse()?),
            None => Pattern::Exact(Value::Int(text.parse()?)),
        },
        _ => bail!("not a reply: {word:?}"),
    })
}

fn items(rest: &mut &str) -> Result<Vec<Pattern>> {
    let mut found = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(']') {
            *rest = after;
            return Ok(found);
        }
        if rest.is_empty() {
            bail!("a list without its end");
        }
        found.push(item(rest)?);
        *rest = rest.trim_start();
        *rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// Splits the words of a command; `"…"` quotes with escapes.
pub fn words(mut rest: &str) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(found);
        }
        if rest.starts_with('"') {
            let (bytes, after) = string(rest)?;
            found.push(bytes);
            rest = after;
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            found.push(rest.as_bytes()[..end].to_vec());
            rest = &rest[end..];
        }
    }
}

/// A quoted string at the start of `text`, and what follows it.
fn string(text: &str) -> Result<(Vec<u8>, &str)> {
    let mut bytes = Vec::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((bytes, &text[at + 1..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => bytes.push(b'\n'),
                Some('r') => bytes.push(b'\r'),
                Some('t') => bytes.push(b'\t'),
                Some('x') => {
                    let hex: String = chars.by_ref().take(2).map(|(_, c)| c).collect();
                    bytes.push(u8::from_str_radix(&hex, 16)?);
                }
                Some(c @ ('"' | '\\')) => bytes.push(c as u8),
                other => bail!("unknown escape {other:?}"),
            },
            c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bail!("a string without its end: {text}")
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, items: &[Pattern]| {
            let items: Vec<String> = items.iter().map(ToString::to_string).collect();
            write!(f, "{open}{}]", items.join(", "))
        };
        match self {
            Pattern::Anything => f.write_str("*"),
            Pattern::Exact(value) => write!(f, "{value}"),
            Pattern::Error(glob) => write!(f, "-{glob}"),
            Pattern::Range(low, high) => write!(f, ":{low}..{high}"),
            Pattern::Nil => f.write_str("(nil)"),
            Pattern::NilArray => f.write_str("(nil-array)"),
            Pattern::List(items) => list(f, "[", items),
            Pattern::AnyOrder(items) => list(f, "~[", items),
            Pattern::Map(items) => list(f, "%[", items),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, words};
    use crate::resp::Value;

    fn matches(pattern: &str, reply: &[u8]) -> bool {
        let pattern = Pattern::parse(pattern).unwrap();
        pattern.matches(&Value::parse(reply).unwrap().unwrap().0)
    }

    #[test]
    fn a_pattern_matches_its_reply_and_no_other() {
        for (pattern, good, bad) in [
            ("+OK", &b"+OK\r\n"[..], &b"$2\r\nOK\r\n"[..]),
            (":5", b":5\r\n", b":6\r\n"),
            (":5..7", b":7\r\n", b":8\r\n"),
            ("\"a\\x00\"", b"$2\r\na\x00\r\n", b"$2\r\na\x01\r\n"),
            ("(nil)", b"$-1\r\n", b"*-1\r\n"),
            ("(nil-array)", b"*-1\r\n", b"$-1\r\n"),
            ("-ERR a*c", b"-ERR abc\r\n", b"-ERR abcd\r\n"),
            ("-ERR *", b"-ERR x\r\n", b"-WRONGTYPE\r\n"),
            ("-ERR x", b"-ERR x\r\n", b"-ERR xy\r\n"),
            ("[:1, \"a, b\"]", b"*2\r\n:1\r\n$4\r\na, b\r\n", b"*2\r\n:2\r\n$4\r\na, b\r\n"),
            ("[:1, :2]", b"*2\r\n:1\r\n:2\r\n", b"*2\r\n:2\r\n:1\r\n"),
            ("~[:1, :2]", b"~2\r\n:2\r\n:1\r\n", b"~2\r\n:2\r\n:2\r\n"),
            ("%[+a, :1]", b"%1\r\n+a\r\n:1\r\n", b"%1\r\n+a\r\n:2\r\n"),
            ("[,1.5, []]", b"*2\r\n,1.5\r\n*0\r\n", b"*2\r\n,1.6\r\n*0\r\n"),
        ] {
            assert!(matches(pattern, good), "{pattern} should match");
            assert!(!matches(pattern, bad), "{pattern} should not match");
        }
    }

    #[test]
    fn words_are_split_and_unquoted() {
        assert_eq!(words("SET k \"a b\\x01\\n\" \"\"").unwrap(), [&b"SET"[..], b"k", b"a b\x01\n", b""]);
        assert!(words("SET \"k").is_err());
    }
}
