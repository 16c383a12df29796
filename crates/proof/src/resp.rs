//! Replies of RESP2 and RESP3 as a client sees them, parsed without any help from the server's own codec.

use std::fmt;

use anyhow::{Result, bail};

/// Nesting deeper than this is taken for garbage.
const MAX_DEPTH: usize = 32;

/// One reply. Doubles and big numbers keep their text, since it is the text that is compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// `+text`
    Simple(Vec<u8>),
    /// `-text` (and RESP3's `!` form)
    Error(Vec<u8>),
    /// `:n`
    Int(i64),
    /// `$n bytes`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// RESP3 `_`
    Null,
    /// `*n` items
    Array(Vec<Value>),
    /// RESP3 `%n` pairs
    Map(Vec<(Value, Value)>),
    /// RESP3 `~n` items
    Set(Vec<Value>),
    /// RESP3 `>n` items
    Push(Vec<Value>),
    /// RESP3 `,text`
    Double(Vec<u8>),
    /// RESP3 `#t` or `#f`
    Bool(bool),
    /// RESP3 `(digits`
    Big(Vec<u8>),
    /// RESP3 `=n txt:bytes`
    Verbatim(Vec<u8>),
}

impl Value {
    /// Parses the first reply in `bytes`: the value and its length, or nothing while it is incomplete.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Value, usize)>> {
        let mut at = 0;
        Ok(parse(bytes, &mut at, 0)?.map(|value| (value, at)))
    }

    /// True for the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::NullBulk | Value::NullArray | Value::Null)
    }

    /// The bytes of a string of any kind.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Simple(b) | Value::Bulk(b) | Value::Verbatim(b) | Value::Double(b) | Value::Big(b) => Some(b),
            _ => None,
        }
    }

    /// The text of a string of any kind, lossily.
    pub fn text(&self) -> String {
        self.bytes().map(|b| String::from_utf8_lossy(b).into_owned()).unwrap_or_default()
    }

    /// The integer, if it is one.
    pub fn int(&self) -> Option<i64> {
        if let Value::Int(n) = self { Some(*n) } else { None }
    }

    /// The items of an array, set or push.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }

    /// True for an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

fn line<'a>(bytes: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = &bytes[*at..];
    let end = rest.windows(2).position(|w| w == b"\r\n")?;
    *at += end + 2;
    Some(&rest[..end])
}

fn number(text: &[u8]) -> Result<i64> {
    match std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()) {
        Some(n) => Ok(n),
        None => bail!("not a number in a reply: {}", escape(text)),
    }
}

fn parse(bytes: &[u8], at: &mut usize, depth: usize) -> Result<Option<Value>> {
    if depth > MAX_DEPTH {
        bail!("a reply nests deeper than {MAX_DEPTH}");
    }
    let Some(&kind) = bytes.get(*at) else { return Ok(None) };
    *at += 1;
    let Some(head) = line(bytes, at) else { return Ok(None) };
    Ok(match kind {
        b'+' => Some(Value::Simple(head.to_vec())),
        b'-' => Some(Value::Error(head.to_vec())),
        b':' => Some(Value::Int(number(head)?)),
        b',' => Some(Value::Double(head.to_vec())),
        b'(' => Some(Value::Big(head.to_vec())),
        b'#' => Some(Value::Bool(head == b"t")),
        b'_' => Some(Value::Null),
        b'$' | b'=' | b'!' => blob(bytes, at, kind, number(head)?)?,
        b'*' | b'~' | b'>' => many(bytes, at, kind, number(head)?, depth)?,
        b'%' | b'|' => pairs(bytes, at, kind, number(head)?, depth)?,
        other => bail!("a reply starts with byte {other:#04x}: {}", escape(head)),
    })
}

fn blob(bytes: &[u8], at: &mut usize, kind: u8, len: i64) -> Result<Option<Value>> {
    let Ok(len) = usize::try_from(len) else { return Ok(Some(Value::NullBulk)) };
    if bytes.len() < *at + len + 2 {
        return Ok(None);
    }
    let data = bytes[*at..*at + len].to_vec();
    if &bytes[*at + len..*at + len + 2] != b"\r\n" {
        bail!("a bulk string of {len} bytes is not followed by CR LF");
    }
    *at += len + 2;
    Ok(Some(match kind {
        b'$' => Value::Bulk(data),
        b'=' => Value::Verbatim(data),
        _ => Value::Error(data),
    }))
}

fn many(bytes: &[u8], at: &mut usize, kind: u8, len: i64, depth: usize) -> Result<Option<Value>> {
    if len < 0 {
        return Ok(Some(Value::NullArray));
    }
    let mut items = Vec::new();
    for _ in 0..len {
        let Some(item) = parse(bytes, at, depth + 1)? else { return Ok(None) };
        items.push(item);
    }
    Ok(Some(match kind {
        b'*' => Value::Array(items),
        b'~' => Value::Set(items),
        _ => Value::Push(items),
    }))
}

/// A map; an attribute is read and dropped, the value after it is what counts.
fn pairs(bytes: &[u8], at: &mut usize, kind: u8, len: i64, depth: usize) -> Result<Option<Value>> {
    let mut items = Vec::new();
    for _ in 0..len {
        let Some(key) = parse(bytes, at, depth + 1)? else { return Ok(None) };
        let Some(value) = parse(bytes, at, depth + 1)? else { return Ok(None) };
        items.push((key, value));
    }
    if kind == b'|' { parse(bytes, at, depth + 1) } else { Ok(Some(Value::Map(items))) }
}

/// `bytes` as one printable word: quoted where needed, with `\xNN` for what is not text.
pub fn escape(bytes: &[u8]) -> String {
    let plain = !bytes.is_empty() && bytes.iter().all(|b| b.is_ascii_graphic() && !b"\"\\[],".contains(b));
    if plain {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    quoted(bytes)
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &b in bytes {
        match b {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' | b'\\' => out.extend(['\\', b as char]),
            0x20..=0x7e => out.push(b as char),
            _ => out.push_str(&format!("\\x{b:02x}")),
        }
    }
    out.push('"');
    out
}

fn list<'a>(f: &mut fmt::Formatter<'_>, open: &str, items: impl Iterator<Item = &'a Value>) -> fmt::Result {
    f.write_str(open)?;
    for (i, item) in items.enumerate() {
        write!(f, "{}{item}", if i > 0 { ", " } else { "" })?;
    }
    f.write_str("]")
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Simple(b) => write!(f, "+{}", String::from_utf8_lossy(b)),
            Value::Error(b) => write!(f, "-{}", String::from_utf8_lossy(b)),
            Value::Int(n) => write!(f, ":{n}"),
            Value::Bulk(b) => f.write_str(&quoted(b)),
            Value::NullBulk => f.write_str("(nil)"),
            Value::NullArray => f.write_str("(nil-array)"),
            Value::Null => f.write_str("(nil-3)"),
            Value::Array(items) => list(f, "[", items.iter()),
            Value::Set(items) => list(f, "~[", items.iter()),
            Value::Push(items) => list(f, ">[", items.iter()),
            Value::Map(items) => list(f, "%[", items.iter().flat_map(|(k, v)| [k, v])),
            Value::Double(b) => write!(f, ",{}", String::from_utf8_lossy(b)),
            Value::Bool(b) => write!(f, "#{}", if *b { 't' } else { 'f' }),
            Value::Big(b) => write!(f, "({}", String::from_utf8_lossy(b)),
            Value::Verbatim(b) => write!(f, "={}", quoted(b)),
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    const ALL: &[u8] = b"*9\r\n+OK\r\n-ERR x\r\n:-5\r\n$2\r\n\r\n\r\n$-1\r\n*-1\r\n_\r\n%1\r\n$1\r\na\r\n,1.5\r\n~2\r\n#t\r\n=5\r\ntxt:a\r\n";

    #[test]
    fn every_cut_of_a_reply_is_incomplete_and_the_whole_is_not() {
        for cut in 0..ALL.len() {
            assert_eq!(Value::parse(&ALL[..cut]).unwrap(), None, "cut at {cut}");
        }
        let (value, len) = Value::parse(ALL).unwrap().unwrap();
        assert_eq!(len, ALL.len());
        assert_eq!(
            value.to_string(),
            "[+OK, -ERR x, :-5, \"\\r\\n\", (nil), (nil-array), (nil-3), %[\"a\", ,1.5], ~[#t, =\"txt:a\"]]"
        );
    }

    #[test]
    fn an_attribute_is_skipped() {
        let (value, _) = Value::parse(b"|1\r\n+a\r\n+b\r\n:7\r\n").unwrap().unwrap();
        assert_eq!(value, Value::Int(7));
    }

    #[test]
    fn garbage_is_refused() {
        for bytes in [&b"x\r\n"[..], b":abc\r\n", b"$1\r\nabc\r\n"] {
            assert!(Value::parse(bytes).is_err());
        }
        assert!(Value::parse(&b"*1\r\n".repeat(100)).is_err());
    }
}
