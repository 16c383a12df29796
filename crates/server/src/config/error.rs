//! What can go wrong: at start, in CONFIG SET, in CONFIG REWRITE.

use std::fmt;
use std::path::PathBuf;

/// Where a line of configuration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Line of a file, counted from 1.
    File(PathBuf, usize),
    /// Line of standard input, counted from 1.
    Stdin(usize),
    /// A flag.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path, line) => write!(f, "Reading the configuration file {}, at line {line}", path.display()),
            Place::Stdin(line) => write!(f, "Reading the configuration from standard input, at line {line}"),
            Place::CommandLine => write!(f, "Reading the command line"),
        }
    }
}

/// Why the server cannot start with this configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A line that is not understood or not allowed.
    #[error("*** FATAL CONFIG FILE ERROR (Anabranch {}) ***\n{place}\n>>> '{line}'\n{reason}", env!("CARGO_PKG_VERSION"))]
    Line {
        /// Where.
        place: Place,
        /// Its text.
        line: String,
        /// What is wrong.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("Fatal error, can't open config file '{}': {source}", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Standard input that cannot be read.
    #[error("Fatal error, can't read the configuration from standard input: {0}")]
    Stdin(std::io::Error),
    /// The directory that relative paths are relative to is gone.
    #[error("Fatal error, can't tell the current directory: {0}")]
    CurrentDir(std::io::Error),
}

/// Why CONFIG SET changed nothing. `Display` is the whole error reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// A name that is not a directive.
    #[error("ERR Unknown option or number of arguments for CONFIG SET - '{0}'")]
    Unknown(String),
    /// A value or a change that is not possible.
    #[error("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}")]
    Failed {
        /// The directive.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

impl SetError {
    pub(super) fn failed(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Failed { name: name.into(), reason: reason.into() }
    }
}

/// Why CONFIG REWRITE left the file as it was. `Display` is the whole error reply, on one line.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// There is no file.
    #[error("ERR The server is running without a config file")]
    NoFile,
    /// The file on disk is not one that the server could start with.
    #[error("ERR Rewriting config file: {place}: {reason}")]
    Unreadable {
        /// Where.
        place: String,
        /// What is wrong there.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("ERR Rewriting config file: {0}")]
    Io(#[from] std::io::Error),
    /// The new text would not give the current settings back; it was not written.
    #[error("ERR Rewriting config file: it would not restore '{0}'; nothing was written")]
    Unfaithful(&'static str),
}

impl From<ConfigError> for RewriteError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Line { place, reason, .. } => Self::Unreadable { place: place.to_string(), reason },
            ConfigError::Open { path, source } => {
                Self::Unreadable { place: path.display().to_string(), reason: source.to_string() }
            }
            ConfigError::Stdin(source) | ConfigError::CurrentDir(source) => Self::Io(source),
        }
    }
}
