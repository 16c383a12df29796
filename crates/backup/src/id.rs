//! What a backup is called: when it began, and a random number, so that no two are called the same.

use std::fmt;

use archive::seal::{Entropy, OsEntropy};

use crate::time::{format_ms, parse_time};

/// `20261122T100000.123Z-ab12cd34`: sorted as text they are sorted by time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BackupId(String);

impl BackupId {
    /// That of a backup that begins at `ms`, unix time.
    pub(crate) fn new(ms: i64) -> Result<Self, archive::seal::Error> {
        let mut random = [0; 4];
        OsEntropy.fill(&mut random)?;
        let moment = format_ms(ms).replace(['-', ':'], "");
        Ok(Self(format!("{moment}-{:08x}", u32::from_be_bytes(random))))
    }

    /// Reads one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (moment, random) = text.split_once('-')?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_id = moment.len() == 20 && random.len() == 8 && random.bytes().all(is_hex) && moment.is_ascii();
        is_id.then(|| Self(text.into())).filter(|id| id.parsed_ms().is_some())
    }

    /// When it began, unix ms.
    #[must_use]
    pub fn began_ms(&self) -> i64 {
        self.parsed_ms().expect("it was looked at when it was read, or printed from a number")
    }

    fn parsed_ms(&self) -> Option<i64> {
        let m = &self.0;
        parse_time(&format!("{}-{}-{}T{}:{}:{}", &m[..4], &m[4..6], &m[6..8], &m[9..11], &m[11..13], &m[13..20]))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BackupId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("\"{text}\" is no name of a backup"))
    }
}

impl From<BackupId> for String {
    fn from(id: BackupId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_moment_and_are_told_from_other_text() {
        let id = BackupId::new(1_763_805_600_123).unwrap();
        assert!(id.as_str().starts_with("20251122T100000.123Z-"), "{id}");
        assert_eq!(BackupId::parse(id.as_str()).unwrap().began_ms(), 1_763_805_600_123);
        assert_ne!(BackupId::new(0).unwrap(), BackupId::new(0).unwrap());
        for bad in
            ["", "x-y", "20251122T100000.123Z-AB12cd34", "20251322T100000.123Z-ab12cd34", "20251122T100000.123Z-"]
        {
            assert_eq!(BackupId::parse(bad), None, "{bad}");
        }
    }
}
