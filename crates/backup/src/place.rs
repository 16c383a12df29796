//! From a URL to where backups lie. What a URL must not hold comes from the environment.

use std::sync::Arc;

use archive::storage::{self, AccessKey, Listing, OpenOptions, Storage};

use crate::error::Error;

/// The variable with the access key of a plain HTTP service. Clouds have variables of their own, such as
/// `AWS_ACCESS_KEY_ID`.
pub const ACCESS_KEY_VARIABLE: &str = "ANABRANCH_BACKUP_ACCESS_KEY";

/// Opens what a URL names: a directory, a cloud, or a plain HTTP service that lists.
///
/// # Errors
/// What is wrong with the URL, or with the directory.
pub fn open_place(url: &str) -> Result<Arc<dyn Storage>, Error> {
    let access_key = std::env::var(ACCESS_KEY_VARIABLE).ok().map(|key| AccessKey::new(&key));
    let options = OpenOptions { access_key, listing: Some(Listing::JsonFolders), ..OpenOptions::default() };
    Ok(Arc::from(storage::open(url, &options)?))
}
