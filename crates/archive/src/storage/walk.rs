//! Listing a tree of folders in the order of whole names, where a place lists only one folder at a time.

use super::{Entry, Name, Result};

/// What a folder holds.
pub(super) struct Found {
    /// The last part of its name.
    pub(super) part: String,
    /// Its bytes, if it is an object and no folder.
    pub(super) size: Option<u64>,
}

/// A place that lists one folder at a time.
pub(super) trait Folders {
    /// What is in a folder, in any order; its name is empty or ends with a slash. One that is not there is empty.
    fn entries(&self, folder: &str) -> Result<Vec<Found>>;
}

/// The first `most` objects of a tree with `prefix`, after `after`. Looks only into folders that may hold one.
pub(super) fn list(place: &dyn Folders, prefix: &str, after: Option<&Name>, most: usize) -> Result<Vec<Entry>> {
    let mut walk = Walk { place, prefix, after: after.map_or("", Name::as_str), most, out: Vec::new() };
    if most > 0 {
        walk.folder("")?;
    }
    Ok(walk.out)
}

struct Walk<'a> {
    place: &'a dyn Folders,
    prefix: &'a str,
    after: &'a str,
    most: usize,
    out: Vec<Entry>,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str) -> Result<()> {
        let mut found = Vec::new();
        for entry in self.place.entries(folder)? {
            let slash = if entry.size.is_some() { "" } else { "/" };
            let key = format!("{folder}{}{slash}", entry.part);
            // What is no name of ours is no object of ours; this also bounds the depth.
            let known = Name::new(key.trim_end_matches('/'));
            if let Ok(name) = known
                && self.may_hold(&key, entry.size.is_none())
            {
                found.push((key, name, entry.size));
            }
        }
        // A folder's name counts with its slash, so that what is in it stands where its whole names do.
        found.sort_by(|a, b| a.0.cmp(&b.0));
        for (key, name, size) in found {
            match size {
                Some(size) => self.out.push(Entry { name, size }),
                None => self.folder(&key)?,
            }
            if self.out.len() >= self.most {
                break;
            }
        }
        Ok(())
    }

    fn may_hold(&self, key: &str, folder: bool) -> bool {
        if !folder {
            return key.starts_with(self.prefix) && key > self.after;
        }
        let wanted = key.starts_with(self.prefix) || self.prefix.starts_with(key);
        wanted && (key > self.after || self.after.starts_with(key))
    }
}
