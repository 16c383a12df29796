//! What a backup consists of: a small object in JSON, stored last.

use effect::HashSeed;
use engine::{Engine, OpenError};
use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::id::BackupId;

const VERSION: u32 = 1;

/// One object of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The last part of its name.
    pub name: String,
    /// Its bytes before they were sealed.
    pub plain: u64,
    /// Its bytes as they were stored.
    pub sealed: u64,
    /// Of its plain bytes.
    pub(crate) sha256: Sha256,
}

/// The rows that a backup begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// The latest timestamp in them, as a raw HLC.
    pub last: u64,
    /// Their objects, in order: together one image of `mvcc`.
    pub parts: Vec<Part>,
}

/// The backup that one goes on behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its name.
    pub backup: BackupId,
    /// Of its manifest.
    pub(crate) sha256: Sha256,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this form.
    anabranch_backup: u32,
    /// What wrote it.
    pub program: String,
    /// What the backup is called.
    pub backup: BackupId,
    /// The backup with the rows that it goes on from; itself, if it has rows.
    pub chain: BackupId,
    /// The one before it in the chain; none, if it has rows.
    pub previous: Option<Previous>,
    /// The node: 12 hexadecimal digits.
    pub node: String,
    /// Its log: 16 hexadecimal digits.
    pub log_id: String,
    /// How its keys are hashed: 32 hexadecimal digits.
    seed: String,
    /// The position of the log at which it begins.
    pub from: u64,
    /// The position at which it ends.
    pub end: u64,
    /// No batch up to its end is later than this HLC, none behind it is as early.
    pub last: u64,
    /// The rows.
    pub rows: Option<Rows>,
    /// The log, in order.
    pub log: Vec<Part>,
    /// What the node must know as one of several replicas, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

/// A node as a member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The life that wrote the end of the log.
    pub incarnation: u16,
    /// What it has noted of the group, in hexadecimal digits.
    membership: String,
}

impl Group {
    /// That of a node that runs.
    pub(crate) fn of(engine: &Engine) -> Result<Option<Self>, OpenError> {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect();
        let incarnation = engine.origin().incarnation();
        Ok(engine.membership()?.map(|bytes| Self { incarnation, membership: hex(bytes) }))
    }

    pub(crate) fn membership(&self) -> Option<Vec<u8>> {
        let digits = self.membership.as_bytes();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        digits.len().is_multiple_of(2).then(|| digits.chunks(2).map(pair).collect())?
    }
}

/// What is not known before everything else is stored.
pub(crate) struct Head {
    pub(crate) backup: BackupId,
    pub(crate) chain: BackupId,
    pub(crate) previous: Option<Previous>,
    pub(crate) node: u64,
    pub(crate) log_id: u64,
    pub(crate) seed: HashSeed,
    pub(crate) from: u64,
    pub(crate) group: Option<Group>,
}

impl Manifest {
    pub(crate) fn new(head: Head, rows: Option<Rows>, log: Vec<Part>, end: u64, last: u64) -> Self {
        let Head { backup, chain, previous, node, log_id, seed, from, group } = head;
        Self {
            anabranch_backup: VERSION,
            program: format!("anabranch {}", env!("CARGO_PKG_VERSION")),
            backup,
            chain,
            previous,
            node: node_name(node),
            log_id: log_name(log_id),
            seed: seed.0.iter().map(|b| format!("{b:02x}")).collect(),
            from,
            end,
            last,
            rows,
            log,
            group,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("it has only text, numbers and lists")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            anabranch_backup: u32,
        }
        let Version { anabranch_backup } = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if anabranch_backup != VERSION {
            return Err(format!("it has version {anabranch_backup}, known is {VERSION}; use a newer anabranch"));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        manifest.seed().ok_or("its seed is no number")?;
        Ok(manifest)
    }

    pub(crate) fn seed(&self) -> Option<HashSeed> {
        let is_hex = self.seed.len() == 32 && self.seed.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then(|| u128::from_str_radix(&self.seed, 16).ok())?.map(|seed| HashSeed(seed.to_be_bytes()))
    }

    /// Whether it may go on behind another, which its own digest names.
    pub(crate) fn follows(&self, other: &Self, digest: Sha256) -> bool {
        self.previous.as_ref().is_some_and(|p| p.backup == other.backup && p.sha256 == digest)
            && self.rows.is_none()
            && (&self.chain, &self.node, &self.log_id, &self.seed)
                == (&other.chain, &other.node, &other.log_id, &other.seed)
            && self.from == other.end
            && self.last >= other.last
    }

    /// All of its objects but itself.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.rows.iter().flat_map(|rows| &rows.parts).chain(&self.log)
    }

    /// Plain bytes of all of its objects.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.parts().map(|part| part.plain).sum()
    }
}

pub(crate) fn node_name(node: u64) -> String {
    format!("{node:012x}")
}

pub(crate) fn log_name(log_id: u64) -> String {
    format!("{log_id:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let id = |text| BackupId::parse(text).unwrap();
        let (first, second) = (id("20261122T100000.000Z-00000001"), id("20261122T110000.000Z-00000002"));
        let head = Head {
            backup: second,
            chain: first.clone(),
            previous: Some(Previous { backup: first, sha256: Sha256::of(b"") }),
            node: 0x3f2a,
            log_id: u64::MAX,
            seed: HashSeed([7; 16]),
            from: 40,
            group: None,
        };
        let part = Part { name: "log-000000".into(), plain: 9, sealed: 99, sha256: Sha256::of(b"x") };
        Manifest { program: "anabranch test".into(), ..Manifest::new(head, None, vec![part], u64::MAX, u64::MAX - 1) }
    }

    #[test]
    fn the_format_is_this() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/manifest.json");
        if std::env::var_os("BACKUP_WRITE_GOLDEN").is_some() {
            std::fs::write(path, sample().encode()).unwrap();
        }
        let golden = std::fs::read_to_string(path).unwrap();
        assert_eq!(String::from_utf8(sample().encode()).unwrap(), golden, "it must not change without another version");
        assert_eq!(Manifest::decode(golden.as_bytes()), Ok(sample()));
    }

    #[test]
    fn what_a_member_must_know_is_these_bytes_again() {
        let group = Group { incarnation: 3, membership: "01ff00".into() };
        assert_eq!(group.membership(), Some(vec![1, 255, 0]));
        let manifest = Manifest { group: Some(group.clone()), ..sample() };
        let text = String::from_utf8(manifest.encode()).unwrap();
        assert!(text.contains("\"membership\": \"01ff00\""), "{text}");
        assert_eq!(Manifest::decode(text.as_bytes()).unwrap().group, Some(group.clone()));
        for bad in ["0", "0g", "é0"] {
            assert_eq!(Group { membership: bad.into(), ..group.clone() }.membership(), None, "{bad}");
        }
    }

    #[test]
    fn other_versions_and_what_is_not_known_are_refused() {
        let text = String::from_utf8(sample().encode()).unwrap();
        let changed = |from, to| Manifest::decode(text.replace(from, to).as_bytes()).unwrap_err();
        assert!(changed("\"anabranch_backup\": 1", "\"anabranch_backup\": 2").contains("newer anabranch"));
        assert!(changed("\"rows\": null", "\"rows\": null, \"more\": 1").contains("more"));
        assert!(changed("0707", "07").contains("seed"));
        assert!(Manifest::decode(b"{}").is_err() && Manifest::decode(&text.as_bytes()[..100]).is_err());
    }
}
