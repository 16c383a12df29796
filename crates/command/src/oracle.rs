//! A real Redis beside the harness: the same random commands go to both, and their replies must agree.
//!
//! [`Oracle`] is the server, [`Gen`] makes arguments, [`compare`] runs a family's generator against both. Where no
//! redis-server is installed the comparison is skipped (unless that is forbidden), so a test that uses it starts with
//! `let Some(mut oracle) = Oracle::start() else { return };`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peer::{Listen, Redis};
use resp::{Protocol, ReplyDecoder, Value};

use crate::harness::{Harness, print};
use crate::random::Random;

/// Commands that are sent to the oracle at once.
const BATCH: usize = 64;
/// Replies that do not come within this are a failure of the test.
const PATIENCE: Duration = Duration::from_secs(30);
/// Commands that are shown when a reply differs: those before it on the same keys.
const SHOWN: usize = 25;

/// A command as words.
pub(crate) type Words = Vec<Vec<u8>>;

/// A redis-server and a connection to it; it is killed when this is dropped.
pub(crate) struct Oracle {
    stream: UnixStream,
    decoder: ReplyDecoder,
    _redis: Redis,
}

impl Oracle {
    /// Starts one. `None` if there is none installed: see [`Redis::start`].
    pub(crate) fn start() -> Option<Self> {
        let redis = Redis::start(Listen::Unix, &["--save", "", "--enable-debug-command", "yes"])?;
        let stream = UnixStream::connect(redis.socket()).expect("a server that says it is ready accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        Some(Self { stream, decoder: ReplyDecoder::new(), _redis: redis })
    }

    /// Changes the protocol of the replies.
    pub(crate) fn protocol(&mut self, protocol: Protocol) {
        let version: &[u8] = if protocol == Protocol::Resp3 { b"3" } else { b"2" };
        assert!(!self.run(&[b"HELLO", version]).is_error());
    }

    /// Runs one command.
    pub(crate) fn run(&mut self, words: &[&[u8]]) -> Value {
        self.send(words);
        self.receive()
    }

    /// Runs a command given as words; words may be quoted as in redis-cli.
    pub(crate) fn line(&mut self, line: &str) -> Value {
        let args = resp::split_line(line.as_bytes()).expect("the line can be split");
        self.run(&args.as_args().iter().collect::<Vec<_>>())
    }

    /// Sends a command without waiting for its reply: for commands that block.
    pub(crate) fn send(&mut self, words: &[&[u8]]) {
        let mut bytes = Vec::new();
        resp::write_command(&mut bytes, words);
        self.stream.write_all(&bytes).expect("redis-server takes a command");
    }

    /// The next reply.
    pub(crate) fn receive(&mut self) -> Value {
        let mut bytes = [0; 16 << 10];
        loop {
            if let Some(value) = self.decoder.next_value().expect("redis' replies are well-formed") {
                return value;
            }
            let len = self.stream.read(&mut bytes).expect("redis-server replies in time");
            assert!(len > 0, "redis-server closed the connection");
            self.decoder.feed(&bytes[..len]);
        }
    }

    /// Runs several commands, pipelined.
    fn run_all(&mut self, commands: &[Words]) -> Vec<Value> {
        let mut bytes = Vec::new();
        commands.iter().for_each(|words| resp::write_command(&mut bytes, words));
        // Written beside the reading, so that neither side waits for the other with full buffers.
        let mut writer = self.stream.try_clone().expect("a socket can be cloned");
        std::thread::scope(|scope| {
            scope.spawn(move || writer.write_all(&bytes).expect("redis-server takes commands"));
            commands.iter().map(|_| self.receive()).collect()
        })
    }
}

/// How two replies are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Equal.
    Exact,
    /// Equal as multisets: the order of the elements of the outermost array, set or map does not count.
    Unordered,
    /// Equal as multisets of pairs: a flat array whose elements belong together two by two (HGETALL in RESP2).
    UnorderedPairs,
    /// Integers, alone or in an array, at most so far apart: times to live. Negative ones must be equal.
    Near(i64),
    /// Equal but for the way in which doubles are printed: since 7.2 with the fewest digits that read back.
    Scores,
    /// A page of a scan: the same cursor, and the same elements in any order; doubles as in [`How::Scores`].
    Page,
    /// Errors alike or values of the same shape: random replies. Array lengths count, what is in them does not.
    Shape,
    /// Not at all: a difference that is known and wanted.
    Ignore,
}

/// Whether two replies are the same.
pub(crate) fn same(ours: &Value, theirs: &Value, how: How) -> bool {
    match (how, ours, theirs) {
        (How::Ignore, ..) => true,
        (How::Exact, ..) | (_, Value::Error(_), _) | (_, _, Value::Error(_)) => ours == theirs,
        (How::Near(far), Value::Int(a), Value::Int(b)) => {
            a == b || (*a >= 0 && *b >= 0 && a.abs_diff(*b) <= far as u64)
        }
        (How::Near(_), Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, how))
        }
        (How::Scores, ours, theirs) => doubles(ours) == doubles(theirs),
        (How::Page, Value::Array(a), Value::Array(b)) => match (&a[..], &b[..]) {
            ([a, Value::Array(x)], [b, Value::Array(y)]) => {
                a == b && sorted(x.iter().map(doubles)) == sorted(y.iter().map(doubles))
            }
            _ => ours == theirs,
        },
        (How::Unordered, Value::Map(a), Value::Map(b)) => sorted(a.iter()) == sorted(b.iter()),
        (How::Unordered, Value::Array(a), Value::Array(b)) | (How::Unordered, Value::Set(a), Value::Set(b)) => {
            sorted(a.iter()) == sorted(b.iter())
        }
        (How::UnorderedPairs, Value::Array(a), Value::Array(b)) => sorted(a.chunks(2)) == sorted(b.chunks(2)),
        (How::UnorderedPairs, Value::Map(_), Value::Map(_)) => same(ours, theirs, How::Unordered),
        (How::Shape, Value::Array(a), Value::Array(b)) => a.len() == b.len(),
        (How::Shape, a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        _ => ours == theirs,
    }
}

/// The value with every text that is a number with a point or an exponent turned into that number.
fn doubles(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(doubles).collect()),
        // Redis keeps the sign of zero in large sorted sets only.
        Value::Bulk(text) if text == b"-0" => Value::Bulk(b"0".to_vec()),
        Value::Bulk(text) if text.iter().any(|b| matches!(b, b'.' | b'e')) || text.len() > 15 => {
            crate::parse::float_opt(text).map_or_else(|| value.clone(), Value::Double)
        }
        other => other.clone(),
    }
}

/// Elements in an order of their own.
fn sorted<T: std::fmt::Debug>(items: impl Iterator<Item = T>) -> Vec<String> {
    let mut texts: Vec<String> = items.map(|item| format!("{item:?}")).collect();
    texts.sort_unstable();
    texts
}

/// Sends `count` commands of `make` to both and asserts that their replies agree as `how` has it for each command.
///
/// The harness' clock follows the real one, which is the oracle's. Times to live are compared with [`How::Near`] and
/// should be many seconds, or expire at once. A command that ours blocks at is not to be sent.
#[track_caller]
pub(crate) fn compare(
    ours: &mut Harness,
    oracle: &mut Oracle,
    seed: u64,
    count: usize,
    mut make: impl FnMut(&mut Gen) -> Words,
    how: impl Fn(&[Vec<u8>]) -> How,
) {
    let mut random = Gen::new(seed);
    let mut history: Vec<(Words, String)> = Vec::new();
    let mut done = 0;
    while done < count {
        let commands: Vec<Words> = (0..BATCH.min(count - done)).map(|_| make(&mut random)).collect();
        done += commands.len();
        ours.set_clock(real_now_ms());
        let replies = oracle.run_all(&commands);
        for (words, theirs) in commands.into_iter().zip(replies) {
            let reply = ours.run_words(&words);
            let agreed = same(&reply, &theirs, how(&words));
            assert!(
                agreed,
                "seed {seed}, after {} commands:{}\n{}\n  ours:  {reply:?}\n  redis: {theirs:?}",
                history.len(),
                story(&history, &words),
                show(&words),
            );
            history.push((words, print(&reply)));
        }
    }
}

/// The last commands that have a key (their first argument, or any argument) in common with `words`.
fn story(history: &[(Words, String)], words: &[Vec<u8>]) -> String {
    let related = history.iter().rev().filter(|(old, _)| old[1..].iter().any(|word| words[1..].contains(word)));
    let lines: Vec<String> = related.take(SHOWN).map(|(old, reply)| format!("\n  {} -> {reply}", show(old))).collect();
    lines.into_iter().rev().collect()
}

/// A command as it would be typed; long words are cut.
fn show(words: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| match word.len() {
        0 => "\"\"".to_owned(),
        1..=200 => word.escape_ascii().to_string(),
        len => format!("{}… ({len} bytes)", word[..50].escape_ascii()),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The clock that the oracle goes by.
pub(crate) fn real_now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    since.as_millis() as i64
}

/// Makes random arguments: mostly sensible ones, some that must be refused.
pub(crate) struct Gen {
    random: Random,
}

impl Gen {
    /// A generator whose sequence `seed` determines.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed) }
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.random.below((high - low) as u64 + 1) as i64
    }

    /// True once in `n`.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`.
    pub(crate) fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }

    /// One of `choices`, as a word.
    pub(crate) fn word(&mut self, choices: &[&str]) -> Vec<u8> {
        self.pick(choices).as_bytes().to_vec()
    }

    /// One of few keys: commands meet each other's values. One of them is binary.
    pub(crate) fn key(&mut self) -> Vec<u8> {
        self.pick::<&[u8]>(&[b"a", b"b", b"c", b"d", b"\x00k\xff\r\n"]).to_vec()
    }

    /// An option's name in some case.
    pub(crate) fn option(&mut self, name: &str) -> Vec<u8> {
        match self.below(4) {
            0 => name.to_ascii_lowercase().into_bytes(),
            1 => name
                .bytes()
                .map(|c| if self.one_in(2) { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() })
                .collect(),
            _ => name.to_ascii_uppercase().into_bytes(),
        }
    }

    /// A value: often a number, sometimes empty, binary or long.
    pub(crate) fn value(&mut self) -> Vec<u8> {
        match self.below(10) {
            0 => Vec::new(),
            1 => self.between(-5, 20).to_string().into_bytes(),
            2 => self.integer(),
            3 => self.float(),
            4 => self.bytes(16),
            5 => self.bytes(3000),
            6 => vec![b'x'; self.below(100)],
            _ => self.word(&["foo", "bar", "foobar", "ohmytext", "mynewtext", "hello world"]),
        }
    }

    /// Up to `max` random bytes.
    pub(crate) fn bytes(&mut self, max: usize) -> Vec<u8> {
        let len = self.below(max + 1);
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    /// An element of a collection: one of few.
    pub(crate) fn member(&mut self) -> Vec<u8> {
        match self.below(12) {
            0 => self.value(),
            1 => self.integer(),
            n if n < 6 => self.between(0, 12).to_string().into_bytes(),
            _ => vec![b'a' + self.below(12) as u8],
        }
    }

    /// An integer as text: mostly small, sometimes at the edges, sometimes none.
    pub(crate) fn integer(&mut self) -> Vec<u8> {
        match self.below(16) {
            0 => self.word(&["9223372036854775807", "-9223372036854775808", "9223372036854775800", "-1", "0"]),
            1 => self.word(&["9223372036854775808", "-9223372036854775809", "18446744073709551616", "1e3", "0x10"]),
            2 => self.word(&["", " 1", "1 ", "01", "+1", "-0", "abc", "1.0", "--1", "\u{e4}"]),
            3 => self.between(-1 << 40, 1 << 40).to_string().into_bytes(),
            4 => self.between(i64::from(i32::MIN) - 2, i64::from(i32::MIN) + 2).to_string().into_bytes(),
            _ => self.between(-10, 30).to_string().into_bytes(),
        }
    }

    /// An index or offset: mostly within a few dozen of either end, sometimes far away or no number.
    pub(crate) fn index(&mut self) -> Vec<u8> {
        match self.below(12) {
            0 => self.integer(),
            1 => self.between(-4000, 4000).to_string().into_bytes(),
            n if n < 8 => self.between(0, 12).to_string().into_bytes(),
            _ => self.between(-12, 0).to_string().into_bytes(),
        }
    }

    /// A count: mostly small and positive.
    pub(crate) fn count(&mut self) -> Vec<u8> {
        if self.one_in(8) { self.integer() } else { self.between(0, 8).to_string().into_bytes() }
    }

    /// A float as text: mostly short decimals, sometimes an edge or none.
    pub(crate) fn float(&mut self) -> Vec<u8> {
        match self.below(14) {
            0 => self.word(&["inf", "-inf", "+inf", "Infinity", "nan", "-nan"]),
            1 => self.word(&["1e300", "-1e300", "1e-10", "5e-324", "1.7976931348623157e308", "3.0e10", "1e17", "1E5"]),
            2 => self.word(&["", " 1.5", "1.5 ", "abc", "1.5x", "1,5", "--1", ".", "e5", "1e", "0x1p3", "0x10"]),
            3 => self.word(&[".5", "5.", "-0", "0.0", "-0.0", "+3", "007", "1.10", "0.1", "0.2", "0.3"]),
            4 => self.integer(),
            5 => format!("{}.{}", self.between(-1000, 1000), self.below(1_000_000_000)).into_bytes(),
            _ => format!("{}.{}", self.between(-20, 20), self.below(100)).into_bytes(),
        }
    }

    /// A time to live in seconds, far enough away to be compared: or one that is refused.
    pub(crate) fn seconds(&mut self) -> Vec<u8> {
        if self.one_in(8) { self.integer_not_soon(1) } else { self.between(1_000, 100_000).to_string().into_bytes() }
    }

    /// As [`Gen::seconds`], in ms.
    pub(crate) fn millis(&mut self) -> Vec<u8> {
        if self.one_in(8) {
            return self.integer_not_soon(1000);
        }
        self.between(1_000_000, 100_000_000).to_string().into_bytes()
    }

    /// A unix time in seconds: past, far away, or no number.
    pub(crate) fn unix_seconds(&mut self) -> Vec<u8> {
        match self.below(8) {
            0 => self.integer_not_soon(1),
            1 => self.between(1, 1_000_000).to_string().into_bytes(),
            _ => (real_now_ms() / 1000 + self.between(1_000, 100_000)).to_string().into_bytes(),
        }
    }

    /// As [`Gen::unix_seconds`], in ms.
    pub(crate) fn unix_millis(&mut self) -> Vec<u8> {
        match self.below(8) {
            0 => self.integer_not_soon(1000),
            1 => self.between(1, 1_000_000).to_string().into_bytes(),
            _ => (real_now_ms() + self.between(1_000_000, 100_000_000)).to_string().into_bytes(),
        }
    }

    /// An integer that, as a time to live, does not run out while a test runs.
    fn integer_not_soon(&mut self, per_second: i64) -> Vec<u8> {
        loop {
            let text = self.integer();
            let value = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<i64>().ok());
            if value.is_none_or(|value| value <= 0 || value > 1000 * per_second) {
                return text;
            }
        }
    }
}

/// A command from words of any kind.
macro_rules! words {
    ($($word:expr),* $(,)?) => { Vec::from([$(AsRef::<[u8]>::as_ref(&$word).to_vec()),*]) };
}
pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_compared_as_told() {
        let array = |items: &[i64]| Value::Array(items.iter().map(|n| Value::Int(*n)).collect());
        assert!(same(&array(&[1, 2, 2]), &array(&[2, 1, 2]), How::Unordered));
        assert!(!same(&array(&[1, 2, 2]), &array(&[2, 1, 1]), How::Unordered));
        assert!(!same(&array(&[1, 2]), &array(&[2, 1]), How::Exact));
        assert!(same(&array(&[1, 2, 3, 4]), &array(&[3, 4, 1, 2]), How::UnorderedPairs));
        assert!(!same(&array(&[1, 2, 3, 4]), &array(&[1, 4, 3, 2]), How::UnorderedPairs));
        assert!(same(&Value::Int(1000), &Value::Int(998), How::Near(5)));
        assert!(!same(&Value::Int(-1), &Value::Int(-2), How::Near(5)));
        assert!(!same(&Value::Error(b"a".to_vec()), &Value::Error(b"b".to_vec()), How::Shape));
    }

    /// Arity, flags and keys of what both know; flags and categories that came after 7.0 would be listed here by name.
    #[test]
    fn declarations_are_those_of_redis() {
        let Some(mut oracle) = Oracle::start() else { return };
        for spec in crate::table::all().filter(|spec| matches!(spec.run, crate::spec::Run::Data(_))) {
            let info = oracle.run(&[b"COMMAND", b"INFO", spec.name.as_bytes()]);
            let Some(Value::Array(info)) = info.as_slice().and_then(|infos| infos.first()) else { continue };
            let texts = |value: &Value| {
                let words = value.as_slice().unwrap_or_default().iter().filter_map(Value::as_bytes);
                let mut words: Vec<String> = words.map(|word| String::from_utf8_lossy(word).into_owned()).collect();
                words.sort_unstable();
                words
            };
            // WITHSCORE of ZRANK and ZREVRANK came with 7.2.
            if !matches!(spec.name, "zrank" | "zrevrank") {
                assert_eq!(info[1].as_int(), Some(i64::from(spec.arity)), "arity of {}", spec.name);
            }
            let mut flags: Vec<String> = spec.flags.names().into_iter().map(str::to_owned).collect();
            flags.sort_unstable();
            assert_eq!(flags, texts(&info[2]), "flags of {}", spec.name);
            if let crate::spec::Keys::Range { first, last, step } = spec.keys {
                let keys = [first as i64, last as i64, step as i64];
                let theirs = [&info[3], &info[4], &info[5]].map(|value| value.as_int().expect("a number"));
                assert_eq!(keys, theirs, "keys of {}", spec.name);
            }
            let mut categories: Vec<String> = spec.categories().into_iter().map(str::to_owned).collect();
            categories.sort_unstable();
            assert_eq!(categories, texts(&info[6]), "categories of {}", spec.name);
        }
    }

    #[test]
    fn a_difference_is_found() {
        let Some(mut oracle) = Oracle::start() else { return };
        let mut ours = Harness::new();
        oracle.run(&[b"SET", b"k", b"5"]);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            compare(&mut ours, &mut oracle, 1, 1, |_| words!["INCR", "k"], |_| How::Exact);
        }));
        assert!(caught.is_err(), "6 and 1 are not the same");
    }
}
