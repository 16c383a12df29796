//! What a replica must not forget: the life that it writes as, its vote, the epoch it is in. One small file, replaced whole.
//!
//! ```text
//! anabranch-membership 1
//! restored yes          it may lack what it once had: an origin is taken once all members have told theirs
//! epoch 0103…           causal::Epoch, hex
//! vote 0000…            causal::Vote, hex
//! crc32c 89abcdef       of all lines above, hex
//! ```
//! The life itself is in `identity`: the engine writes as it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use causal::{Epoch, Vote};
use effect::wire::Reader;

use crate::error::Error;

const FILE: &str = "membership";

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Membership {
    /// The disk is an older one, a copy, or was empty when the node began to join.
    pub restored: bool,
    /// The members.
    pub epoch: Epoch,
    /// What was promised about the next ones.
    pub vote: Vote,
}

impl Membership {
    /// Reads the file in `dir`; `None` if there is none.
    pub fn load(dir: &Path) -> Result<Option<Self>, Error> {
        let path = path(dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Io { path, source }),
        };
        Self::parse(&text).map(Some).map_err(|reason| Error::Damaged { path, reason })
    }

    /// Makes this durable in `dir`.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let failed = |source| Error::Io { path: path(dir), source };
        let aside = dir.join(format!("{FILE}.new"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&aside)?;
            file.write_all(self.print().as_bytes())?;
            file.sync_all()?;
            fs::rename(&aside, path(dir))?;
            File::open(dir)?.sync_all()
        };
        write().map_err(failed)
    }

    fn print(&self) -> String {
        let (mut epoch, mut vote) = (Vec::new(), Vec::new());
        self.epoch.encode(&mut epoch);
        self.vote.encode(&mut vote);
        let restored = if self.restored { "yes" } else { "no" };
        let text = format!("anabranch-membership 1\nrestored {restored}\nepoch {}\nvote {}\n", hex(&epoch), hex(&vote));
        let crc = crc(text.as_bytes());
        text + &format!("crc32c {crc:08x}\n")
    }

    fn parse(text: &str) -> Result<Self, String> {
        let body = text.rfind("crc32c ").ok_or("the checksum is missing")?;
        let (lines, check) = text.split_at(body);
        if check != format!("crc32c {:08x}\n", crc(lines.as_bytes())) {
            return Err("the checksum does not match".into());
        }
        let field = |name: &str| {
            let found = lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            found.ok_or_else(|| format!("{name} is missing"))
        };
        if field("anabranch-membership")? != "1" {
            return Err("it has another format version".into());
        }
        let restored = match field("restored")? {
            "yes" => true,
            "no" => false,
            _ => return Err("restored is neither yes nor no".into()),
        };
        let bytes = |name: &str| unhex(field(name)?).ok_or_else(|| format!("{name} is no hex"));
        let (epoch, vote) = (bytes("epoch")?, bytes("vote")?);
        let epoch = Epoch::decode(&mut Reader::new(&epoch)).map_err(|e| format!("epoch: {e}"))?;
        let vote = Vote::decode(&mut Reader::new(&vote)).map_err(|e| format!("vote: {e}"))?;
        Ok(Self { restored, epoch, vote })
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn crc(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if digits.len().is_multiple_of(2) { digits.chunks(2).map(byte).collect() } else { None }
}

#[cfg(test)]
mod tests {
    use causal::Ballot;

    use super::*;

    fn sample() -> Membership {
        let ballot = Ballot { round: 7, node: 3 };
        let vote = Vote { promised: ballot, accepted: Some((ballot, Epoch::new(4, [1, 3]))) };
        Membership { restored: true, epoch: Epoch::new(3, [1, 2, 3]), vote }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Membership::load(dir.path()).unwrap(), None);
        sample().save(dir.path()).unwrap();
        assert_eq!(Membership::load(dir.path()).unwrap(), Some(sample()));
        Membership::default().save(dir.path()).unwrap();
        assert_eq!(Membership::load(dir.path()).unwrap(), Some(Membership::default()));
    }

    #[test]
    fn any_changed_byte_is_noticed() {
        let text = sample().print();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            if let Ok(text) = String::from_utf8(bytes) {
                assert!(Membership::parse(&text).is_err(), "byte {at}");
            }
        }
    }
}
