//! Values with a grammar of their own: save points, output buffer limits, OOM scores, event classes, percentiles.

use engine::EventClass;

use super::number::{MAX_U64, bytes};

/// `save`: after so many seconds, if so many keys changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SavePoint {
    /// Seconds, at least 1.
    pub seconds: i64,
    /// Changes, at least 0.
    pub changes: i64,
}

pub(super) fn save_points(args: &[Vec<u8>]) -> Result<Vec<SavePoint>, String> {
    let number = |text: &[u8], least: i64| loose(text).filter(|n| *n >= least);
    let pair = |pair: &[Vec<u8>]| match pair {
        [seconds, changes] => Some(SavePoint { seconds: number(seconds, 1)?, changes: number(changes, 0)? }),
        _ => None,
    };
    args.chunks(2).map(pair).collect::<Option<_>>().ok_or_else(|| "Invalid save parameters".to_owned())
}

/// A number as C reads it: with a `+` or leading zeros if it likes, and nothing for zero.
fn loose(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The output buffer limits of one class of clients. Zero means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// A client whose replies take more bytes than this is closed at once.
    pub hard_bytes: u64,
    /// A client whose replies take more bytes than this for `soft_seconds` is closed.
    pub soft_bytes: u64,
    /// See `soft_bytes`.
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`, by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// Ordinary clients.
    pub normal: OutputLimit,
    /// Replicas.
    pub replica: OutputLimit,
    /// Clients with at least one subscription.
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    fn default() -> Self {
        Self {
            normal: OutputLimit::default(),
            replica: OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_seconds: 60 },
            pubsub: OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_seconds: 60 },
        }
    }
}

impl OutputLimits {
    /// With the classes that `args` names replaced; nothing is if one of them is wrong.
    pub(super) fn updated(mut self, args: &[Vec<u8>]) -> Result<Self, String> {
        if !args.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        for four in args.chunks(4) {
            let class = match four[0].to_ascii_lowercase().as_slice() {
                b"normal" => &mut self.normal,
                b"replica" | b"slave" => &mut self.replica,
                b"pubsub" => &mut self.pubsub,
                _ => return Err("Invalid client class specified in buffer limit configuration.".into()),
            };
            let limit = |text: &[u8]| bytes(text).and_then(|n| u64::try_from(n).ok());
            let seconds = loose(&four[3]).and_then(|n| u64::try_from(n).ok());
            let (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) = (limit(&four[1]), limit(&four[2]), seconds)
            else {
                return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration.".into());
            };
            *class = OutputLimit { hard_bytes, soft_bytes, soft_seconds };
        }
        Ok(self)
    }

    /// CONFIG GET keeps the old name of the replicas' class, files have the new one.
    pub(super) fn print(&self) -> String {
        let class = |name: &str, l: OutputLimit| format!("{name} {} {} {}", l.hard_bytes, l.soft_bytes, l.soft_seconds);
        [class("normal", self.normal), class("slave", self.replica), class("pubsub", self.pubsub)].join(" ")
    }

    pub(super) fn file_lines(&self) -> Vec<Vec<u8>> {
        let number = super::number::Number::bytes(0, MAX_U64);
        let bytes = |n: u64| number.print_for_file(i128::from(n));
        [("normal", self.normal), ("replica", self.replica), ("pubsub", self.pubsub)]
            .map(|(name, l)| {
                format!("{name} {} {} {}", bytes(l.hard_bytes), bytes(l.soft_bytes), l.soft_seconds).into()
            })
            .to_vec()
    }
}

pub(super) fn oom_scores(args: &[Vec<u8>]) -> Result<[i32; 3], String> {
    let args: &[Vec<u8>; 3] = args.try_into().map_err(|_| "wrong number of arguments")?;
    let mut scores = [0; 3];
    for (score, arg) in scores.iter_mut().zip(args) {
        *score = loose(arg)
            .and_then(|n| i32::try_from(n).ok())
            .filter(|n| (-2000..=2000).contains(n))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
    }
    Ok(scores)
}

pub(super) fn percentiles(args: &[Vec<u8>]) -> Result<Vec<f64>, String> {
    let number = |arg: &Vec<u8>| std::str::from_utf8(arg).ok()?.parse().ok().filter(|n: &f64| !n.is_nan());
    let percentile = |arg| match number(arg) {
        None => Err("Invalid latency-tracking-info-percentiles parameters".to_owned()),
        Some(n) if (0.0..=100.0).contains(&n) => Ok(n),
        Some(_) => Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned()),
    };
    args.iter().map(percentile).collect()
}

/// At most six decimals, no zeros at the end: as CONFIG GET and INFO latencystats name a percentile.
#[must_use]
pub fn percentile_text(percentile: f64) -> String {
    let text = format!("{percentile:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `notify-keyspace-events`: the channels to publish on and the classes of events that are published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventMask(u32);

impl EventMask {
    /// `__keyspace@db__:key`.
    pub const KEYSPACE: Self = Self(1);
    /// `__keyevent@db__:event`.
    pub const KEYEVENT: Self = Self(1 << 1);
    /// DEL, EXPIRE, RENAME and the like.
    pub const GENERIC: Self = Self(EventClass::GENERIC.0);
    /// Strings.
    pub const STRING: Self = Self(EventClass::STRING.0);
    /// Lists.
    pub const LIST: Self = Self(EventClass::LIST.0);
    /// Sets.
    pub const SET: Self = Self(EventClass::SET.0);
    /// Hashes.
    pub const HASH: Self = Self(EventClass::HASH.0);
    /// Sorted sets.
    pub const ZSET: Self = Self(EventClass::ZSET.0);
    /// A key expired.
    pub const EXPIRED: Self = Self(EventClass::EXPIRED.0);
    /// A key was evicted.
    pub const EVICTED: Self = Self(EventClass::EVICTED.0);
    /// Streams.
    pub const STREAM: Self = Self(1 << 10);
    /// Module types.
    pub const MODULE: Self = Self(1 << 11);
    /// A new key was made.
    pub const NEW: Self = Self(EventClass::NEW.0);
    /// A key was looked for that does not exist.
    pub const MISS: Self = Self(EventClass::MISS.0);
    /// A key's value was replaced (Redis 8.2).
    pub const OVERWRITTEN: Self = Self(EventClass::OVERWRITTEN.0);
    /// A key's type changed (Redis 8.2).
    pub const TYPE_CHANGED: Self = Self(EventClass::TYPE_CHANGED.0);

    /// What `A` stands for: everything but new keys, misses, overwrites and changes of type.
    pub const ALL: Self = Self(0b1111_1111_1100);

    /// The letters, in the order in which they are printed.
    const LETTERS: [(u8, Self); 16] = [
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::ZSET),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b't', Self::STREAM),
        (b'd', Self::MODULE),
        (b'n', Self::NEW),
        (b'K', Self::KEYSPACE),
        (b'E', Self::KEYEVENT),
        (b'm', Self::MISS),
        (b'o', Self::OVERWRITTEN),
        (b'c', Self::TYPE_CHANGED),
    ];

    /// Whether any bit of `other` is set.
    #[must_use]
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether an event of this class goes to any channel at all.
    #[must_use]
    pub fn publishes(self, class: Self) -> bool {
        self.has(class) && (self.has(Self::KEYSPACE) || self.has(Self::KEYEVENT))
    }

    /// The classes of events that go to any channel at all.
    #[must_use]
    pub fn classes(self) -> EventClass {
        let channels = Self::KEYSPACE.0 | Self::KEYEVENT.0;
        EventClass(if self.0 & channels == 0 { 0 } else { self.0 & !channels })
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let mut mask = 0;
        for letter in text {
            mask |= match Self::LETTERS.iter().find(|(known, _)| known == letter) {
                Some((_, bits)) => bits.0,
                None if *letter == b'A' => Self::ALL.0,
                None => return Err("Invalid event class character. Use 'Ag$lshzxeKEtmdnoc'.".into()),
            };
        }
        Ok(Self(mask))
    }

    /// DIFFERENCE: `n` is printed beside `A` as well; Redis 7.0 forgets it there, and CONFIG REWRITE with it.
    pub(super) fn print(self) -> String {
        let all = self.0 & Self::ALL.0 == Self::ALL.0;
        let letters = Self::LETTERS.iter().filter(|(_, bits)| self.has(*bits) && !(all && Self::ALL.has(*bits)));
        let head = if all { "A" } else { "" };
        head.chars().chain(letters.map(|(letter, _)| char::from(*letter))).collect()
    }
}
