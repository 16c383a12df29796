//! Names of objects: what every place below can hold as it is, without escaping and in the same order.

use std::fmt;
use std::str::FromStr;

use crate::limits::{MOST_DEPTH, MOST_NAME_BYTES, MOST_PART_BYTES};

/// The name of an object: parts of letters, digits and `- _ . = +`, separated by single slashes; no part begins with a
/// dot. At most 512 bytes, 200 in a part, 32 parts. Names are ordered by their bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is empty, or a part of it is.
    #[error("it, or a part between slashes, is empty")]
    Empty,
    /// It is too long, or a part of it is, or there are too many.
    #[error("it may have {MOST_NAME_BYTES} bytes, {MOST_PART_BYTES} in a part, in {MOST_DEPTH} parts")]
    Long,
    /// A part begins with a dot.
    #[error("a part begins with a dot; that is kept for files that are not objects")]
    Dot,
    /// It has other bytes than those allowed.
    #[error("it has other characters than letters, digits and - _ . = + /")]
    Byte,
}

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn new(name: impl Into<String>) -> Result<Self, BadName> {
        let name = name.into();
        if name.len() > MOST_NAME_BYTES || name.split('/').count() > MOST_DEPTH {
            return Err(BadName::Long);
        }
        name.split('/').try_for_each(part)?;
        Ok(Self(name))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn part(part: &str) -> Result<(), BadName> {
    match part.as_bytes() {
        [] => Err(BadName::Empty),
        [b'.', ..] => Err(BadName::Dot),
        bytes if bytes.len() > MOST_PART_BYTES => Err(BadName::Long),
        bytes if bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.=+".contains(b)) => Ok(()),
        _ => Err(BadName::Byte),
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(name: &str) -> Result<Self, BadName> {
        Self::new(name)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_checked_part_by_part() {
        let long = "x".repeat(MOST_PART_BYTES);
        for good in ["a", "a/b/c", "2026-11-21_0.seg", "a=b+c", long.as_str()] {
            assert_eq!(Name::new(good).as_ref().map(Name::as_str), Ok(good));
        }
        let deep = vec!["d"; MOST_DEPTH + 1].join("/");
        let much = format!("{long}/{long}/{long}");
        let cases = [
            ("", BadName::Empty),
            ("/a", BadName::Empty),
            ("a/", BadName::Empty),
            ("a//b", BadName::Empty),
            (".", BadName::Dot),
            ("a/../b", BadName::Dot),
            ("a/.tmp", BadName::Dot),
            ("a b", BadName::Byte),
            ("a\\b", BadName::Byte),
            ("a%2f", BadName::Byte),
            ("ä", BadName::Byte),
            ("a\0", BadName::Byte),
            (&deep, BadName::Long),
            (&much, BadName::Long),
            (&format!("{long}x"), BadName::Long),
        ];
        for (bad, why) in cases {
            assert_eq!(Name::new(bad), Err(why), "{bad}");
        }
    }
}
