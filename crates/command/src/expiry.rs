//! The options EX, PX, EXAT, PXAT and what they mean: a deadline in unix milliseconds.

use engine::Stop;

use crate::errors;
use crate::parse;

/// How an expiry is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// `EX`: seconds from now.
    Seconds,
    /// `PX`: milliseconds from now.
    Millis,
    /// `EXAT`: unix seconds.
    UnixSeconds,
    /// `PXAT`: unix milliseconds.
    UnixMillis,
}

impl Unit {
    /// The option of this name, in any case.
    pub(crate) fn option(word: &[u8]) -> Option<Self> {
        const OPTIONS: [(&str, Unit); 4] =
            [("ex", Unit::Seconds), ("px", Unit::Millis), ("exat", Unit::UnixSeconds), ("pxat", Unit::UnixMillis)];
        OPTIONS.iter().find(|(name, _)| parse::is(word, name)).map(|(_, unit)| *unit)
    }

    /// Whether it counts from the moment at which the command runs.
    pub(crate) fn is_relative(self) -> bool {
        matches!(self, Self::Seconds | Self::Millis)
    }

    /// The deadline in unix ms that `text` means. It must be positive and fit 64 bits; `command` is named otherwise.
    pub(crate) fn deadline(self, text: &[u8], now_ms: i64, command: &str) -> Result<i64, Stop> {
        let value = parse::int(text)?;
        let ms = match self {
            Self::Seconds | Self::UnixSeconds => value.checked_mul(1000),
            Self::Millis | Self::UnixMillis => Some(value),
        };
        let base = if self.is_relative() { now_ms } else { 0 };
        match ms.filter(|ms| *ms > 0).and_then(|ms| ms.checked_add(base)) {
            Some(deadline) => Ok(deadline),
            None => Err(errors::invalid_expire(command)),
        }
    }
}
