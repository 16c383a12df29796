//! The data keys, looked at in a copy: to open a registry may change it.

use std::path::{Path, PathBuf};

use envelope::{Cipher, Keyring};

use super::rows::{clone, remove};
use super::{CheckError, Damage, Inspection};
use crate::ciphers::{Ciphers, KEYS};
use crate::error::OpenError;

/// The directory in which a copy of the registries is looked at, while that lasts.
const LOOK: &str = "keys.look";

/// What can be decrypted.
pub(super) struct Sight {
    pub(super) ciphers: Ciphers,
    /// There are data keys that cannot be had.
    pub(super) is_blind: bool,
    copy: Option<PathBuf>,
}

impl Drop for Sight {
    fn drop(&mut self) {
        // The next look removes what is left.
        let _ = self.copy.as_ref().map(|copy| remove(copy));
    }
}

/// Opens the data keys of `dir`, if it has any, with master keys.
///
/// # Errors
/// If the master keys are not those of the data, for instance.
pub(super) fn look(dir: &Path, keyring: Option<&Keyring>, seen: &mut Inspection) -> Result<Sight, CheckError> {
    let path = dir.join(KEYS);
    let mut sight = Sight { ciphers: Ciphers::default(), is_blind: path.exists(), copy: None };
    let Some(keyring) = keyring.filter(|_| sight.is_blind) else { return Ok(sight) };
    let copy = dir.join(LOOK);
    remove(&copy)?;
    sight.copy = Some(copy.clone());
    clone(&path, &copy, true)?;
    match Ciphers::of(&copy, keyring) {
        Ok(ciphers) => {
            let count = |cipher: &Option<_>| cipher.as_deref().map_or(0, |cipher: &Cipher| cipher.data_keys().len());
            let (log, rows) = (count(&ciphers.log), count(&ciphers.rows));
            seen.found.push(format!("keys: good: {log} data keys of the log, {rows} of the rows"));
            (sight.ciphers, sight.is_blind) = (ciphers, false);
        }
        Err(OpenError::Keys { source: envelope::Error::Registry { reason, .. }, path: at }) => {
            let at = path.join(at.strip_prefix(&copy).unwrap_or(&at)).join(envelope::REGISTRY);
            let what = format!("{reason}; without it nothing that was encrypted can be read: put it back from a copy");
            seen.faults.push(Damage::new(at, None, what));
        }
        Err(OpenError::Keys { source, .. }) => return Err(CheckError::Keys { path, source }),
        Err(other) => return Err(other.into()),
    }
    Ok(sight)
}
