//! The first frame of each side: who talks, and where it can be dialed.
//!
//! ```text
//! version u8 │ node u64 │ life u64 │ port u16 │ host: len u8, bytes │ region: len u8, bytes │ whatever comes later
//! ```

use crate::error::Why;
use crate::limits::HOST_BYTES;
use crate::node::{NodeId, Region};

/// The version of everything behind the handshake.
pub(crate) const VERSION: u8 = 1;

/// Who talks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub node: NodeId,
    /// Random for each start: another life of a node is another peer.
    pub life: u64,
    /// Where it listens; 0 if nowhere.
    pub port: u16,
    /// Where it is; empty: where it was seen.
    pub host: String,
    pub region: Region,
}

impl Hello {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.node.get().to_le_bytes());
        out.extend_from_slice(&self.life.to_le_bytes());
        out.extend_from_slice(&self.port.to_le_bytes());
        for text in [self.host.as_str(), self.region.label()] {
            out.push(u8::try_from(text.len()).expect("hosts and regions are short"));
            out.extend_from_slice(text.as_bytes());
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Why> {
        let version = *bytes.first().ok_or_else(cut)?;
        if version != VERSION {
            return Err(Why::Version(version));
        }
        let mut rest = &bytes[1..];
        let mut take = |n: usize| rest.split_off(..n).ok_or_else(cut);
        let node = u64::from_le_bytes(array(take(8)?));
        let node = NodeId::new(node).ok_or_else(|| bad("its id is none"))?;
        let life = u64::from_le_bytes(array(take(8)?));
        let port = u16::from_le_bytes(array(take(2)?));
        let mut text = || {
            let len = usize::from(take(1)?[0]);
            std::str::from_utf8(take(len)?).map_err(|_| bad("its text is none"))
        };
        let (host, region) = (text()?.to_owned(), text()?);
        if host.len() > HOST_BYTES || host.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(bad("its host is none"));
        }
        let region = Region::new(region).map_err(|error| Why::Protocol(error.to_string()))?;
        Ok(Self { node, life, port, host, region })
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("so many were taken")
}

fn cut() -> Why {
    bad("it is cut off")
}

fn bad(what: &str) -> Why {
    Why::Protocol(format!("a greeting, but {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Hello {
        let node = NodeId::new(0x0102_0304).unwrap();
        Hello { node, life: 9, port: 0x4321, host: "db1".into(), region: Region::new("eu").unwrap() }
    }

    #[test]
    fn the_bytes_are_these_and_more_may_follow() {
        let mut bytes = sample().encode();
        assert_eq!(bytes, b"\x01\x04\x03\x02\x01\0\0\0\0\x09\0\0\0\0\0\0\0\x21\x43\x03db1\x02eu");
        bytes.push(99);
        assert_eq!(Hello::decode(&bytes), Ok(sample()));
    }

    #[test]
    fn what_is_no_greeting_is_refused() {
        let good = sample().encode();
        assert!((0..good.len()).all(|n| Hello::decode(&good[..n]).is_err()));
        let with = |at: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[at] = byte;
            Hello::decode(&bytes)
        };
        assert_eq!(with(0, 2), Err(Why::Version(2)));
        assert!(matches!(with(8, 1), Err(Why::Protocol(why)) if why.contains("id")));
        assert!(matches!(with(20, b'\n'), Err(Why::Protocol(why)) if why.contains("host")));
        assert!(matches!(with(24, b'/'), Err(Why::Protocol(why)) if why.contains("region")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_greeting_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..80), known in any::<bool>()) {
            if let (true, Some(first)) = (known, bytes.first_mut()) {
                *first = VERSION;
            }
            if let Ok(hello) = Hello::decode(&bytes) {
                prop_assert!(bytes.starts_with(&hello.encode()));
            }
        }
    }
}
