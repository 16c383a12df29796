//! What a replica has said and must not forget, in one small file of the data directory: its life, its vote, its epoch. What the bytes
//! mean is the business of whoever talks to the other replicas.
//!
//! ```text
//! membership := "anabranch-membership 1\n" ‖ bytes ‖ crc32c u32 LE        the checksum is of all before it
//! ```
//! *Invariant:* after a crash the file is what was written last, or what was being written.

use std::io::ErrorKind;
use std::path::Path;

use crate::engine::Engine;
use crate::error::OpenError;
use crate::identity::{crc, replace};

/// The name of the file in the data directory.
pub(crate) const FILE: &str = "membership";

const MAGIC: &[u8] = b"anabranch-membership 1\n";

impl Engine {
    /// What [`Engine::set_membership`] wrote last; none if that was never.
    ///
    /// # Errors
    /// The file is damaged, or cannot be read.
    pub fn membership(&self) -> Result<Option<Vec<u8>>, OpenError> {
        load(&self.shared.dir)
    }

    /// Replaces it, durably.
    ///
    /// # Errors
    /// What the system says; then it is as it was.
    pub fn set_membership(&self, bytes: &[u8]) -> std::io::Result<()> {
        let _one_at_a_time = self.shared.membership.lock();
        save(&self.shared.dir, bytes)
    }
}

pub(crate) fn save(dir: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace(dir, FILE, &print(bytes))
}

fn load(dir: &Path) -> Result<Option<Vec<u8>>, OpenError> {
    let path = dir.join(FILE);
    match std::fs::read(&path) {
        Ok(file) => parse(&file).map(Some).map_err(|reason| OpenError::Damaged { path, reason: reason.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { path, source }),
    }
}

fn print(bytes: &[u8]) -> Vec<u8> {
    let mut file = [MAGIC, bytes].concat();
    file.extend_from_slice(&crc(&file).to_le_bytes());
    file
}

fn parse(file: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (body, check) = file.split_last_chunk().ok_or("it is too short")?;
    if *check != crc(body).to_le_bytes() {
        return Err("the checksum does not match");
    }
    body.strip_prefix(MAGIC).map(<[u8]>::to_vec).ok_or("it has another format version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_these_bytes_and_any_flipped_byte_is_noticed() {
        let file = print(b"life");
        assert_eq!(file.escape_ascii().to_string(), "anabranch-membership 1\\nlifeN\\x94&\\xf8");
        assert_eq!(parse(&file), Ok(b"life".to_vec()));
        for at in 0..file.len() {
            let mut flipped = file.clone();
            flipped[at] ^= 1;
            assert!(parse(&flipped).is_err(), "byte {at}");
        }
        assert!((0..file.len()).all(|len| parse(&file[..len]).is_err()), "a cut file is refused");
    }

    #[test]
    fn what_was_set_last_is_there_after_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let options = crate::Options::new(std::sync::Arc::new(|| 1_000_000), [7; 22]);
            Engine::open(dir.path(), options).unwrap()
        };
        let engine = open();
        assert_eq!(engine.membership().unwrap(), None);
        engine.set_membership(b"one").unwrap();
        engine.set_membership(b"").unwrap();
        assert_eq!(engine.membership().unwrap(), Some(Vec::new()));
        engine.set_membership(&[0, 10, 255]).unwrap();
        drop(engine);
        assert_eq!(open().membership().unwrap(), Some(vec![0, 10, 255]));
        std::fs::write(dir.path().join(FILE), b"x").unwrap();
        assert!(matches!(open().membership(), Err(OpenError::Damaged { .. })));
    }
}
