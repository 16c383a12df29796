//! Who this data directory is: node id, incarnation, hash seed and the clock's durable ceiling, in one small file.
//!
//! ```text
//! anabranch-identity 1
//! node 3f2a…            48 bits, hex
//! incarnation 3
//! seed 0011…            128 bits, hex
//! ceiling 1122334455    highest timestamp that may have been given, as a raw HLC
//! durable 4000          position up to which the log was durable when this was written; absent if at its start
//! clean 4711            position at which a clean stop ended the log; absent while the node runs
//! crc32c 89abcdef       of all lines above, hex
//! ```
//! It is replaced whole: written aside, synced, renamed, and the directory synced.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use effect::{HashSeed, Hlc, Origin};
use wal::Position;

use crate::error::OpenError;

/// The name of the file in the data directory.
pub const FILE: &str = "identity";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The origin under which the node writes, or wrote last.
    pub origin: Origin,
    /// The secret for hashing keys.
    pub seed: HashSeed,
    /// No timestamp above this has been given.
    pub ceiling: Hlc,
    /// Up to where the log was durable when this was written.
    pub durable: u64,
    /// Where the log ended at a clean stop.
    pub clean: Option<u64>,
}

impl Identity {
    /// A new database: `random` are 22 bytes of entropy.
    pub fn mint(random: [u8; 22]) -> Self {
        let mut node = [0u8; 8];
        node[..6].copy_from_slice(&random[..6]);
        let mut seed = [0u8; 16];
        seed.copy_from_slice(&random[6..]);
        let node = (u64::from_le_bytes(node) & Origin::MAX_NODE).max(1);
        Self { origin: Origin::new(node, 1), seed: HashSeed(seed), ceiling: Hlc(0), durable: 0, clean: None }
    }

    /// The position that the log must reach: if it ends before, something durable has been lost.
    pub fn reaches(&self) -> Position {
        Position(self.durable.max(self.clean.unwrap_or(0)))
    }

    /// Reads the file in `dir`; `None` if there is none.
    pub fn load(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenError::Io { path, source }),
        };
        Self::parse(&text).map(Some).map_err(|reason| OpenError::Damaged { path, reason })
    }

    /// Makes this durable in `dir`.
    pub fn save(&self, dir: &Path) -> std::io::Result<()> {
        replace(dir, FILE, self.print().as_bytes())
    }

    fn print(&self) -> String {
        let seed: String = self.seed.0.iter().map(|b| format!("{b:02x}")).collect();
        let mut text = format!(
            "anabranch-identity 1\nnode {:012x}\nincarnation {}\nseed {seed}\nceiling {}\n",
            self.origin.node(),
            self.origin.incarnation(),
            self.ceiling.0
        );
        if self.durable > 0 {
            text += &format!("durable {}\n", self.durable);
        }
        if let Some(end) = self.clean {
            text += &format!("clean {end}\n");
        }
        let crc = crc(text.as_bytes());
        text + &format!("crc32c {crc:08x}\n")
    }

    fn parse(text: &str) -> Result<Self, String> {
        let body = text.rfind("crc32c ").ok_or("the checksum is missing")?;
        let (lines, check) = text.split_at(body);
        if check != format!("crc32c {:08x}\n", crc(lines.as_bytes())) {
            return Err("the checksum does not match".into());
        }
        let field = |name: &str| lines.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
        let need = |name: &str| field(name).ok_or_else(|| format!("{name} is missing"));
        let bad = |name: &'static str| move |_| format!("{name} is no number");
        if need("anabranch-identity")? != "1" {
            return Err("it has another format version".into());
        }
        let node = u64::from_str_radix(need("node")?, 16).map_err(bad("node"))?;
        let incarnation = need("incarnation")?.parse().map_err(bad("incarnation"))?;
        let seed = u128::from_str_radix(need("seed")?, 16).map_err(bad("seed"))?.to_be_bytes();
        let ceiling = Hlc(need("ceiling")?.parse().map_err(bad("ceiling"))?);
        let durable = field("durable").map_or(Ok(0), str::parse).map_err(bad("durable"))?;
        let clean = field("clean").map(str::parse).transpose().map_err(bad("clean"))?;
        if node > Origin::MAX_NODE {
            return Err("node is out of range".into());
        }
        Ok(Self { origin: Origin::new(node, incarnation), seed: HashSeed(seed), ceiling, durable, clean })
    }

    /// Where the file of `dir` is.
    pub fn path(dir: &Path) -> PathBuf {
        dir.join(FILE)
    }
}

/// Replaces the small file `name` in `dir` as a whole, durably.
pub(crate) fn replace(dir: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let aside = dir.join(format!("{name}.new"));
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, dir.join(name))?;
    File::open(dir)?.sync_all()
}

/// CRC-32C: what such a file ends with.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Identity {
        let mut identity = Identity::mint(std::array::from_fn(|i| i as u8 + 1));
        identity.ceiling = Hlc(99);
        identity.durable = 4000;
        identity.clean = Some(4711);
        identity
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap(), None);
        sample().save(dir.path()).unwrap();
        assert_eq!(Identity::load(dir.path()).unwrap(), Some(sample()));
    }

    #[test]
    fn a_file_that_does_not_say_what_is_durable_is_read() {
        let old = Identity { durable: 0, clean: None, ..sample() };
        assert!(!old.print().contains("durable"));
        assert_eq!(Identity::parse(&old.print()), Ok(old));
    }

    #[test]
    fn the_log_must_reach_what_was_durable_and_where_it_ended_cleanly() {
        let reaches = |durable, clean| Identity { durable, clean, ..sample() }.reaches().get();
        assert_eq!([reaches(0, None), reaches(7, None), reaches(7, Some(9)), reaches(9, Some(7))], [0, 7, 9, 9]);
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let text = sample().print();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                assert!(Identity::parse(text).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn the_format_is_this() {
        let text = sample().print();
        assert_eq!(
            text,
            "anabranch-identity 1\nnode 060504030201\nincarnation 1\nseed 0708090a0b0c0d0e0f10111213141516\n\
             ceiling 99\ndurable 4000\nclean 4711\ncrc32c b40f54b4\n"
        );
    }
}
