//! Listings of folders, as JSON.

use reqwest::Method;
use serde::Deserialize;

use super::super::walk::{Folders, Found};
use super::super::{Error, Result};
use super::client::{Client, Endpoint};
use super::retry::Repeat;
use crate::limits::MOST_LISTING_BYTES;

pub(super) struct Folder<'a>(pub(super) &'a Client);

/// What is needed of an entry; others have more fields.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    object_name: String,
    length: u64,
    is_directory: bool,
}

impl Folders for Folder<'_> {
    fn entries(&self, folder: &str) -> Result<Vec<Found>> {
        let client = self.0;
        let bytes = client.repeat(folder, Repeat::Always, async || {
            let request = client.request(Method::GET, Endpoint::Upload, folder)?;
            let mut response = client.send(folder, request).await?;
            client.read(folder, &mut response, MOST_LISTING_BYTES).await
        });
        let bytes = match bytes {
            Ok(bytes) => bytes,
            Err(Error::NotFound { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let items: Vec<Item> = serde_json::from_slice(&bytes)
            .map_err(|e| Error::protocol(folder, format!("a listing that is not understood: {e}")))?;
        let found = |i: Item| Found { part: i.object_name, size: (!i.is_directory).then_some(i.length) };
        Ok(items.into_iter().map(found).collect())
    }
}
