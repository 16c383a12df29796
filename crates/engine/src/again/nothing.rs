//! A data directory with nothing in it but whose it is.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use crate::engine::Engine;
use crate::identity::Identity;
use crate::membership;

impl Engine {
    /// Makes `dir`, which is replaced, what this node is without any data: who it is, what its clock may have given, and what whoever talks
    /// to the others will find noted.
    ///
    /// # Errors
    /// What the system says.
    pub fn make_nothing(&self, dir: &Path, membership: &[u8]) -> io::Result<()> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::create_dir_all(dir)?;
        let (origin, seed, ceiling) = (self.origin(), self.hash_seed(), self.shared.ceiling());
        Identity { origin, seed, ceiling, durable: 0, clean: None }.save(dir)?;
        membership::save(dir, membership)?;
        File::open(dir)?.sync_all()
    }
}
