//! What can go wrong when a member is started.

use std::path::PathBuf;

use thiserror::Error;

/// Why a member was not started.
#[derive(Debug, Error)]
pub enum Error {
    /// The wire could not be had.
    #[error(transparent)]
    Wire(#[from] cluster::Error),
    /// A file of the data directory cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The membership cannot be read.
    #[error(transparent)]
    Load(#[from] engine::OpenError),
    /// It cannot be made durable.
    #[error("the membership of the group could not be made durable: {0}")]
    Save(std::io::Error),
    /// It is not what this version writes.
    #[error("the membership of the group was written by another version: {0}")]
    Membership(effect::WireError),
    /// The log does not take what a replica notes in it.
    #[error(transparent)]
    Log(#[from] engine::Refusal),
    /// A node that has keys of its own was told to join others.
    #[error(
        "this node has {effects} changes of its own and belongs to no group: a node that joins begins with an empty data directory. Import its keys afterwards, or let the others join this one"
    )]
    OwnData {
        /// How many.
        effects: u64,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Feed(#[from] engine::FeedError),
    /// What is known of transactions cannot be read.
    #[error(transparent)]
    Transactions(#[from] crate::exclusive::DeskError),
    /// The same, of the file itself.
    #[error(transparent)]
    Votes(#[from] crate::exclusive::JournalError),
    /// Reports of what was undone cannot be read.
    #[error(transparent)]
    Undone(#[from] crate::undone::UndoneError),
    /// The id of the node is none.
    #[error("the data directory has no id of a node")]
    NoId,
    /// The thread could not be started.
    #[error("the thread of replication could not be started: {0}")]
    Thread(std::io::Error),
}
