//! What a node is called: its durable id, and the region it is in.

use std::fmt;

use effect::Origin;

use crate::error::Error;
use crate::limits::REGION_BYTES;

/// What the URI in a certificate begins with; the id follows.
const URI: &str = "anabranch://node/";

/// The id of a node: 48 bits, never 0. It is minted with the data directory, and `identity` there has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u64);

impl NodeId {
    /// The node with this number, if it is one of 48 bits and not 0.
    pub fn new(id: u64) -> Option<Self> {
        (1..=Origin::MAX_NODE).contains(&id).then_some(Self(id))
    }

    /// The node that writes as `origin`.
    pub fn of(origin: Origin) -> Option<Self> {
        Self::new(origin.node())
    }

    /// Its number.
    pub fn get(self) -> u64 {
        self.0
    }

    pub(crate) fn uri(self) -> String {
        format!("{URI}{self}")
    }

    /// Back from [`Self::uri`]: exactly that text, so an id has one spelling.
    pub(crate) fn from_uri(uri: &str) -> Option<Self> {
        let id = Self::new(u64::from_str_radix(uri.strip_prefix(URI)?, 16).ok()?)?;
        (id.uri() == uri).then_some(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// Where a node is, for people and for placement: a short label such as `eu-west`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

impl Region {
    /// The region `label`: letters, digits, `-`, `_` and `.`, and first a letter or digit.
    pub fn new(label: &str) -> Result<Self, Error> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let first = label.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        if !first || label.len() > REGION_BYTES || !label.bytes().all(fits) {
            return Err(Error::Region { label: label.chars().take(REGION_BYTES).collect() });
        }
        Ok(Self(label.to_owned()))
    }

    /// The label.
    pub fn label(&self) -> &str {
        &self.0
    }
}

impl Default for Region {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_48_bits_and_one_spelling() {
        let id = NodeId::new(0x3f2a).unwrap();
        assert_eq!(id.uri(), "anabranch://node/000000003f2a");
        assert_eq!(NodeId::from_uri(&id.uri()), Some(id));
        assert_eq!(NodeId::of(Origin::new(7, 3)), NodeId::new(7));
        assert_eq!([NodeId::new(0), NodeId::new(1 << 48)], [None, None]);
        let other = [
            "3f2a",
            "anabranch://node/3f2a",
            "anabranch://node/000000003F2A",
            "anabranch://node/+00000003f2a",
            "anabranch://node/000000000000",
            "anabranch://node/1000000000000",
        ];
        assert!(other.iter().all(|uri| NodeId::from_uri(uri).is_none()));
    }

    #[test]
    fn a_region_is_a_short_label() {
        assert!(["eu", "eu-west_1.a", "7"].iter().all(|l| Region::new(l).is_ok()));
        let long = "a".repeat(REGION_BYTES + 1);
        assert!(["", "-eu", "eu west", "é", "a\n", &long].iter().all(|l| Region::new(l).is_err()));
    }
}
