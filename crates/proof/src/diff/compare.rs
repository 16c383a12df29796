//! When two replies count as the same. Every difference that is let through has a name, and is counted.

use crate::resp::Value;

/// The differences that are allowed, by name, and why.
pub const ALLOWED: &[(&str, &str)] = &[
    ("unordered", "members of sets, fields of hashes and keys have no order"),
    ("random-choice", "random members: their number and their membership are checked instead"),
    ("scan-page", "what one page of a scan holds is each implementation's own business; complete scans are compared"),
    ("clock", "times differ by what passes between the two servers, up to 30 s"),
    ("internals", "OBJECT ENCODING, REFCOUNT and IDLETIME are each implementation's own business"),
    ("dump-bytes", "a DUMP payload is compared by restoring it, not by its bytes"),
    ("sort-ties", "SORT BY has no order among equal weights nor BY nosort, SORT ALPHA none beyond a NUL byte"),
    ("newer-syntax", "Redis 8 and Valkey 9 accept options here that 7.0 does not know; golden transcripts cover them"),
    ("arguments-first", "BITCOUNT and BITPOS look at their arguments before the key, as Redis 7.4 and later do"),
    ("shortest-doubles", "Redis 7.2 and later print the shortest digits of a double, 7.0 seventeen"),
    (
        "nul-in-errors",
        "Redis ends a cursor, and the text of an error, at a NUL byte of the argument that it quotes; ours are UTF-8",
    ),
    ("lex-of-mixed-scores", "ranges by member are unspecified where scores differ; Redis' answer depends on chance"),
    ("lowest-count", "LREM and LPOS refuse the lowest 64-bit number, which has no negative, as Redis 7.2 and later do"),
    ("huge-timeouts", "a timeout beyond 64 bits is refused by both; 7.0 calls some of them negative"),
];

/// Why the difference called `name` is allowed.
pub fn reason(name: &str) -> &'static str {
    ALLOWED.iter().find(|(n, _)| *n == name).map_or("", |(_, why)| why)
}

/// How far two clocks readings may be apart, in milliseconds.
const CLOCK_MS: i64 = 30_000;

/// The outcome of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Byte for byte.
    Same,
    /// Different in a way that has a name.
    Allowed(&'static str),
    /// Wrong.
    Different,
}

use Verdict::{Allowed, Different, Same};

/// What one session has said so far, as far as later replies depend on it.
#[derive(Clone, Debug, Default)]
pub struct Context {
    queued: Vec<Vec<Vec<u8>>>,
    listing: Option<(Value, Value)>,
    /// The command within a transaction whose replies differ, with its two replies.
    pub blame: Option<(Vec<Vec<u8>>, Value, Value)>,
}

/// Compares the replies of the server under test and of the oracle to `words`.
pub fn compare(context: &mut Context, words: &[Vec<u8>], sut: &Value, oracle: &Value) -> Verdict {
    let name = String::from_utf8_lossy(&words[0]).to_uppercase();
    if matches!(oracle, Value::Simple(s) if s == b"QUEUED") {
        context.queued.push(words.to_vec());
        return if sut == oracle { Same } else { Different };
    }
    match name.as_str() {
        "EXEC" if !oracle.is_error() || sut == oracle => {
            let queued = std::mem::take(&mut context.queued);
            exec(context, &queued, sut, oracle)
        }
        "DISCARD" | "MULTI" => {
            // A MULTI within a transaction is an error and leaves it as it is.
            if !oracle.is_error() {
                context.queued.clear();
            }
            if sut == oracle { Same } else { Different }
        }
        _ => single(context, &name, words, sut, oracle),
    }
}

fn has_word(words: &[Vec<u8>], wanted: &str) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(wanted.as_bytes()))
}

fn exec(context: &mut Context, queued: &[Vec<Vec<u8>>], sut: &Value, oracle: &Value) -> Verdict {
    let (Value::Array(a), Value::Array(b)) = (sut, oracle) else {
        return if sut == oracle { Same } else { Different };
    };
    if a.len() != b.len() || a.len() != queued.len() {
        return Different;
    }
    let mut worst = Same;
    for ((words, a), b) in queued.iter().zip(a).zip(b) {
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        match single(context, &name, words, a, b) {
            Different => {
                context.blame = Some((words.clone(), a.clone(), b.clone()));
                return Different;
            }
            Same => {}
            allowed => worst = allowed,
        }
    }
    worst
}

fn single(context: &mut Context, name: &str, words: &[Vec<u8>], sut: &Value, oracle: &Value) -> Verdict {
    let listing = context.listing.take();
    context.listing = Some((sut.clone(), oracle.clone()));
    if sut == oracle {
        return Same;
    }
    if newer_syntax(name, words, oracle) {
        return Allowed("newer-syntax");
    }
    if matches!(name, "BITCOUNT" | "BITPOS")
        && sut.is_error()
        && (matches!(oracle, Value::Int(0 | -1)) || oracle.is_error())
    {
        return Allowed("arguments-first");
    }
    let allow = |ok: bool, rule| if ok { Allowed(rule) } else { Different };
    if name.starts_with('Z') || name.starts_with("BZ") {
        let (ours, theirs) = (plain_doubles(sut), plain_doubles(oracle));
        if ours == theirs {
            return Allowed("shortest-doubles");
        }
    }
    if name.ends_with("SCAN") && sut.is_error() && words.iter().any(|word| word.contains(&0)) {
        return Allowed("nul-in-errors");
    }
    let by_member = name.contains("LEX") || has_word(words, "BYLEX");
    if by_member && name.starts_with('Z') && shape_of_ranges(sut, oracle) {
        return Allowed("lex-of-mixed-scores");
    }
    let about_timeout = |value: &Value| matches!(value, Value::Error(e) if e.starts_with(b"ERR timeout is "));
    if about_timeout(sut) && about_timeout(oracle) {
        return Allowed("huge-timeouts");
    }
    if matches!(name, "LREM" | "LPOS")
        && matches!(sut, Value::Error(e) if e.starts_with(b"ERR value is out of range, "))
    {
        return Allowed("lowest-count");
    }
    let quotes_badly = |word: &Vec<u8>| word.iter().any(|byte| *byte == 0 || !byte.is_ascii());
    if sut.is_error() && oracle.is_error() && words.iter().any(quotes_badly) {
        return allow(same_error_but_for_nul(sut, oracle), "nul-in-errors");
    }
    match name {
        "SMEMBERS" | "SUNION" | "SINTER" | "SDIFF" | "KEYS" | "HKEYS" | "HVALS" => {
            allow(sorted(sut) == sorted(oracle) && same_kind(sut, oracle), "unordered")
        }
        "HGETALL" => allow(pairs(sut).is_some() && pairs(sut) == pairs(oracle) && same_kind(sut, oracle), "unordered"),
        "SCAN" | "SSCAN" | "HSCAN" | "ZSCAN"
            if is_page(sut) && is_page(oracle) && partial(name, words, sut, oracle) =>
        {
            Allowed("scan-page")
        }
        "SCAN" | "SSCAN" => allow(scan(sut, oracle, false), "unordered"),
        "HSCAN" => allow(scan(sut, oracle, true), "unordered"),
        "ZSCAN" => allow(scan(&plain_doubles(sut), &plain_doubles(oracle), true), "unordered"),
        // A deadline is compared with one that was set on either server's own clock.
        "EXPIRE" | "PEXPIRE" if has_word(words, "GT") || has_word(words, "LT") => allow(shape(sut, oracle), "clock"),
        "TTL" | "EXPIRETIME" => allow(near(sut, oracle, CLOCK_MS / 1000), "clock"),
        "PTTL" | "PEXPIRETIME" => allow(near(sut, oracle, CLOCK_MS), "clock"),
        "SPOP" | "SRANDMEMBER" | "HRANDFIELD" | "ZRANDMEMBER" => {
            allow(random(sut, oracle, listing.as_ref()), "random-choice")
        }
        "RANDOMKEY" => allow(shape(sut, oracle), "random-choice"),
        "OBJECT" => allow(shape(sut, oracle) && !sut.is_error(), "internals"),
        "DUMP" => allow(shape(sut, oracle) && !sut.is_error(), "dump-bytes"),
        "SORT" | "SORT_RO" => allow(sort_ties(words, sut, oracle), "sort-ties"),
        _ => Different,
    }
}

/// Commands that the oracle refuses for syntax and ours may understand. They must not change anything.
fn newer_syntax(name: &str, words: &[Vec<u8>], oracle: &Value) -> bool {
    let refused = matches!(oracle, Value::Error(e) if e.starts_with(b"ERR syntax error")
        || e.starts_with(b"ERR wrong number of arguments"));
    refused && matches!((name, words.len()), ("BITCOUNT", 3) | ("ZRANK" | "ZREVRANK", 4))
}

/// The value with every text that is a double written in one way.
pub fn plain_doubles(value: &Value) -> Value {
    let plain = |text: &[u8]| {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        number.filter(|n| n.is_finite()).map(|n| (n + 0.0).to_string().into_bytes())
    };
    match value {
        Value::Double(text) => Value::Double(plain(text).unwrap_or_else(|| text.clone())),
        Value::Bulk(text) => Value::Bulk(plain(text).unwrap_or_else(|| text.clone())),
        Value::Array(items) => Value::Array(items.iter().map(plain_doubles).collect()),
        Value::Set(items) => Value::Set(items.iter().map(plain_doubles).collect()),
        Value::Map(pairs) => Value::Map(pairs.iter().map(|(k, v)| (plain_doubles(k), plain_doubles(v))).collect()),
        other => other.clone(),
    }
}

/// Two arrays or two counts.
fn shape_of_ranges(a: &Value, b: &Value) -> bool {
    matches!((a, b), (Value::Array(_), Value::Array(_)) | (Value::Int(_), Value::Int(_)))
}

/// Whether two errors are of the same kind: what they quote of an argument with a NUL byte does not count.
fn same_error_but_for_nul(sut: &Value, oracle: &Value) -> bool {
    const KIND_BYTES: usize = 12;
    let (Value::Error(ours), Value::Error(theirs)) = (sut, oracle) else { return false };
    ours.get(..KIND_BYTES).is_some_and(|kind| theirs.starts_with(kind))
}

/// True if both are the same kind of thing, whatever is in it.
fn same_kind(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// True if both are built the same way, leaves aside.
fn shape(a: &Value, b: &Value) -> bool {
    same_kind(a, b)
        && match (a, b) {
            (Value::Map(a), Value::Map(b)) => a.len() == b.len(),
            _ => match (a.items(), b.items()) {
                (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| shape(a, b)),
                _ => true,
            },
        }
}

fn sorted(value: &Value) -> Option<Vec<Value>> {
    let mut items = value.items()?.to_vec();
    items.sort();
    Some(items)
}

/// The pairs of a map or of a flat list, sorted.
fn pairs(value: &Value) -> Option<Vec<(Value, Value)>> {
    let mut pairs = match value {
        Value::Map(pairs) => pairs.clone(),
        _ => {
            let items = value.items()?;
            if items.len() % 2 != 0 {
                return None;
            }
            items.chunks(2).map(|c| (c[0].clone(), c[1].clone())).collect()
        }
    };
    pairs.sort();
    Some(pairs)
}

/// A cursor and elements.
fn is_page(value: &Value) -> bool {
    matches!(value.items(), Some([Value::Bulk(cursor), Value::Array(_)]) if cursor.iter().all(u8::is_ascii_digit))
}

/// The pages are not the whole: they do not start at the beginning, or do not end at the end.
fn partial(name: &str, words: &[Vec<u8>], sut: &Value, oracle: &Value) -> bool {
    let ends = |value: &Value| matches!(value.items(), Some([Value::Bulk(cursor), _]) if cursor == b"0");
    let cursor = if name == "SCAN" { 1 } else { 2 };
    words.get(cursor).is_some_and(|c| c != b"0") || !ends(sut) || !ends(oracle)
}

/// Both scans are complete and have the same elements; an element may come twice.
fn scan(sut: &Value, oracle: &Value, in_pairs: bool) -> bool {
    let elements = |value: &Value| -> Option<Vec<Vec<Value>>> {
        match value.items()? {
            [Value::Bulk(cursor), items] if cursor == b"0" => {
                let mut all: Vec<Vec<Value>> =
                    items.items()?.chunks(if in_pairs { 2 } else { 1 }).map(<[Value]>::to_vec).collect();
                all.sort();
                all.dedup();
                Some(all)
            }
            _ => None,
        }
    };
    elements(sut).is_some() && elements(sut) == elements(oracle)
}

/// SORT leaves the order open among equal weights, for sets BY nosort, and, with ALPHA, among elements that are alike up
/// to a NUL byte.
fn sort_ties(words: &[Vec<u8>], sut: &Value, oracle: &Value) -> bool {
    let says = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    let has_nul = |v: &Value| v.items().unwrap_or_default().iter().any(|i| i.bytes().is_some_and(|b| b.contains(&0)));
    if !says("BY") && !(says("ALPHA") && (has_nul(sut) || has_nul(oracle))) {
        return false;
    }
    let (mine, theirs) = (sorted(sut), sorted(oracle));
    mine.is_some() && (mine == theirs || (says("LIMIT") && shape(sut, oracle)))
}

fn near(sut: &Value, oracle: &Value, tolerance: i64) -> bool {
    match (sut.int(), oracle.int()) {
        (Some(a), Some(b)) => a >= 0 && b >= 0 && a.abs_diff(b) <= tolerance as u64,
        _ => false,
    }
}

fn leaves<'a>(value: &'a Value, out: &mut Vec<&'a Value>) {
    match value {
        Value::Map(pairs) => pairs.iter().for_each(|(k, v)| {
            leaves(k, out);
            leaves(v, out);
        }),
        _ => match value.items() {
            Some(items) => items.iter().for_each(|v| leaves(v, out)),
            None => out.push(value),
        },
    }
}

/// Random members: as many, built alike, and each one is in the listing that was asked for just before.
fn random(sut: &Value, oracle: &Value, listing: Option<&(Value, Value)>) -> bool {
    let Some((all, _)) = listing else { return false };
    let (mut mine, mut known) = (Vec::new(), Vec::new());
    leaves(sut, &mut mine);
    leaves(all, &mut known);
    shape(sut, oracle) && !sut.is_error() && mine.iter().all(|leaf| known.contains(leaf))
}

#[cfg(test)]
mod tests {
    use super::{Context, Verdict, compare};
    use crate::conn::command;
    use crate::resp::Value;

    fn verdict(words: &[&str], a: &str, b: &str) -> Verdict {
        let parse = |text: &str| Value::parse(text.as_bytes()).unwrap().unwrap().0;
        compare(&mut Context::default(), &command(words), &parse(a), &parse(b))
    }

    #[test]
    fn unordered_replies_are_multisets() {
        let (ab, ba, aa) = ("*2\r\n+a\r\n+b\r\n", "*2\r\n+b\r\n+a\r\n", "*2\r\n+a\r\n+a\r\n");
        assert_eq!(verdict(&["SMEMBERS", "k"], ab, ba), Verdict::Allowed("unordered"));
        assert_eq!(verdict(&["SMEMBERS", "k"], ab, aa), Verdict::Different);
        assert_eq!(verdict(&["LRANGE", "k", "0", "-1"], ab, ba), Verdict::Different);
        assert_eq!(verdict(&["HGETALL", "k"], ab, ba), Verdict::Different);
    }

    #[test]
    fn a_set_is_not_an_array() {
        assert_eq!(verdict(&["SMEMBERS", "k"], "~1\r\n+a\r\n", "*1\r\n+a\r\n"), Verdict::Different);
    }

    #[test]
    fn times_may_drift_but_not_vanish() {
        assert_eq!(verdict(&["TTL", "k"], ":99\r\n", ":100\r\n"), Verdict::Allowed("clock"));
        assert_eq!(verdict(&["TTL", "k"], ":-1\r\n", ":100\r\n"), Verdict::Different);
        assert_eq!(verdict(&["TTL", "k"], ":1000\r\n", ":5000\r\n"), Verdict::Different);
    }

    #[test]
    fn random_members_must_be_members_and_as_many() {
        let mut context = Context::default();
        let parse = |text: &str| Value::parse(text.as_bytes()).unwrap().unwrap().0;
        let (all, a, b, z) =
            (parse("*2\r\n+a\r\n+b\r\n"), parse("*1\r\n+a\r\n"), parse("*1\r\n+b\r\n"), parse("*1\r\n+z\r\n"));
        let mut ask = |sut: &Value, oracle: &Value| {
            compare(&mut context, &command(&["SMEMBERS", "k"]), &all, &all);
            compare(&mut context, &command(&["SRANDMEMBER", "k", "1"]), sut, oracle)
        };
        assert_eq!(ask(&a, &b), Verdict::Allowed("random-choice"));
        assert_eq!(ask(&z, &b), Verdict::Different);
        assert_eq!(ask(&all, &b), Verdict::Different);
    }

    #[test]
    fn the_replies_of_a_transaction_are_judged_by_their_commands() {
        let mut context = Context::default();
        let parse = |text: &str| Value::parse(text.as_bytes()).unwrap().unwrap().0;
        let queued = parse("+QUEUED\r\n");
        let mut exec = |words: &[&str], a: &str, b: &str| {
            compare(&mut context, &command(words), &queued, &queued);
            compare(&mut context, &command(&["EXEC"]), &parse(a), &parse(b))
        };
        assert_eq!(exec(&["TTL", "k"], "*1\r\n:9\r\n", "*1\r\n:10\r\n"), Verdict::Allowed("clock"));
        assert_eq!(exec(&["LLEN", "k"], "*1\r\n:9\r\n", "*1\r\n:10\r\n"), Verdict::Different);
        assert_eq!(exec(&["LLEN", "k"], "*-1\r\n", "*1\r\n:10\r\n"), Verdict::Different);
    }
}
