//! The master keys of encryption at rest: where the operator gives them.
//!
//! In a file or in a variable of the environment, never as an argument: those of a process are seen by everybody on the machine.

use std::path::{Path, PathBuf};

use engine::{KeyError, Keyring};
use thiserror::Error;

/// The variable of the environment.
pub const KEYS_VARIABLE: &str = "ANABRANCH_ENCRYPTION_KEYS";

/// Why there are no master keys to go on with.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// Both are given.
    #[error("encryption-key-file and {KEYS_VARIABLE} are both set: which master keys are meant? Take one of them away")]
    Both,
    /// The file does not hold master keys.
    #[error("encryption-key-file {path}: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        source: KeyError,
    },
    /// The variable does not hold master keys.
    #[error("{KEYS_VARIABLE}: {0}")]
    Variable(KeyError),
}

/// The master keys in `file`, or else in the environment; none if there is neither. A variable that is empty is an error:
/// nothing is to be written in clear because a secret was not filled in.
///
/// # Errors
/// If both are given, or what is given holds no master keys.
pub fn keyring(file: Option<&Path>) -> Result<Option<Keyring>, KeyringError> {
    let is_set = std::env::var_os(KEYS_VARIABLE).is_some();
    match file {
        Some(_) if is_set => Err(KeyringError::Both),
        Some(path) => {
            let read = Keyring::from_file(path);
            read.map(Some).map_err(|source| KeyringError::File { path: path.into(), source })
        }
        None if is_set => Keyring::from_env(KEYS_VARIABLE).map(Some).map_err(KeyringError::Variable),
        None => Ok(None),
    }
}
