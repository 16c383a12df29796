//! Where things are in a repository.
//!
//! ```text
//!   anabranch-backups                          what this is, and a random number of it; in clear
//!   NODE/CHAIN/BACKUP/rows-000000 …            the rows of a base                     all of this sealed,
//!   NODE/CHAIN/BACKUP/log-000000 …             records of the log                     each bound to its name
//!   NODE/CHAIN/BACKUP/manifest                 what belongs to it; stored last
//! ```
//! NODE is the node's number, BACKUP what the backup is called, CHAIN what the one is called whose rows it goes on from. So
//! what can be removed together is in one folder.

use std::io::Read;
use std::sync::Arc;

use archive::seal::{Entropy, Opener, OsEntropy, PublicKey, Sealed, Sealer};
use archive::storage::{self, Name, Storage};
use archive::{open_sealed, store_sealed};

use crate::digest::{Hashing, Sha256};
use crate::error::Error;
use crate::id::BackupId;
use crate::limits::{MOST_MANIFEST_BYTES, MOST_REPOSITORY_BYTES};
use crate::manifest::{Manifest, Part};

const WHAT: &str = "anabranch-backups";
const FIRST_LINE: &str = "anabranch backups 1";
pub(crate) const MANIFEST: &str = "manifest";

/// A place with backups.
#[derive(Debug)]
pub struct Repository {
    storage: Arc<dyn Storage>,
    id: String,
}

/// The folder of one backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) node: String,
    pub(crate) chain: BackupId,
    pub(crate) backup: BackupId,
}

impl Folder {
    pub(crate) fn name(&self, last: &str) -> Result<Name, Error> {
        let Self { node, chain, backup } = self;
        let text = format!("{node}/{chain}/{backup}/{last}");
        let bad = |why| Error::Archive(storage::Error::BadName { name: text.clone(), why }.into());
        Name::new(text.clone()).map_err(bad)
    }

    fn prefix(&self) -> String {
        format!("{}/{}/{}/", self.node, self.chain, self.backup)
    }

    /// Whose object this is, and what its name ends with.
    fn parse(name: &Name) -> Option<(Self, &str)> {
        let mut words = name.as_str().split('/');
        let (node, chain, backup, last) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let folder = Self { node: node.into(), chain: BackupId::parse(chain)?, backup: BackupId::parse(backup)? };
        words.next().is_none().then_some((folder, last))
    }
}

/// A backup as the names of its objects tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub(crate) folder: Folder,
    /// Its bytes as they are stored.
    pub bytes: u64,
    /// Whether it has rows, and does not go on from another.
    pub has_rows: bool,
    /// Whether it has a manifest; if not, it is being stored, or was given up.
    pub is_whole: bool,
}

impl Listed {
    /// What it is called.
    #[must_use]
    pub fn backup(&self) -> &BackupId {
        &self.folder.backup
    }

    /// The backup with the rows that it goes on from.
    #[must_use]
    pub fn chain(&self) -> &BackupId {
        &self.folder.chain
    }

    /// The node: 12 hexadecimal digits.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.folder.node
    }
}

impl Repository {
    /// Opens what is there.
    ///
    /// # Errors
    /// `NoRepository`, and what the storage says.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, Error> {
        can_list(&*storage)?;
        let name = what();
        match read_id(&*storage, &name)? {
            Some(id) => Ok(Self { storage, id }),
            None => {
                let why = "there is no such object; it is made by the first backup into it".into();
                Err(Error::NoRepository { place: name.to_string(), why })
            }
        }
    }

    /// Opens what is there, or begins one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_or_begin(storage: Arc<dyn Storage>) -> Result<Self, Error> {
        can_list(&*storage)?;
        let name = what();
        if let Some(id) = read_id(&*storage, &name)? {
            return Ok(Self { storage, id });
        }
        let mut random = [0; 16];
        OsEntropy.fill(&mut random).map_err(|cause| archive::Error::Seal { name: name.to_string(), cause })?;
        let text = format!("{FIRST_LINE}\nid {:032x}\n", u128::from_be_bytes(random));
        let put = match storage.abilities().put_new {
            true => storage.put_new(&name, text.as_bytes()),
            false => storage.put(&name, text.as_bytes()),
        };
        match put {
            // Somebody else was first, or the answer was lost: what is there counts.
            Ok(()) | Err(storage::Error::AlreadyExists { .. } | storage::Error::Unsure { .. }) => Self::open(storage),
            Err(error) => Err(error.into()),
        }
    }

    /// 32 hexadecimal digits that no other repository has.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// All backups, by node and by when they began.
    ///
    /// # Errors
    /// What the storage says.
    pub fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut found: Vec<Listed> = Vec::new();
        for entry in self.storage.list_all("") {
            let entry = entry?;
            let Some((folder, last)) = Folder::parse(&entry.name) else { continue };
            if found.last().is_none_or(|listed| listed.folder != folder) {
                found.push(Listed { folder, bytes: 0, has_rows: false, is_whole: false });
            }
            let Some(listed) = found.last_mut() else { continue };
            listed.bytes += entry.size;
            listed.has_rows |= last.starts_with("rows-");
            listed.is_whole |= last == MANIFEST;
        }
        found.sort_by(|a, b| (a.node(), a.backup()).cmp(&(b.node(), b.backup())));
        Ok(found)
    }

    /// Stores one object of a backup.
    pub(crate) fn store(
        &self,
        folder: &Folder,
        last: String,
        recipient: &PublicKey,
        from: &mut dyn Read,
    ) -> Result<Part, Error> {
        let mut hashing = Hashing::new(from);
        let name = folder.name(&last)?;
        let Sealed { plain_bytes, sealed_bytes } =
            store_sealed(&*self.storage, &Sealer::new(recipient.clone()), &name, &mut hashing)?;
        Ok(Part { name: last, plain: plain_bytes, sealed: sealed_bytes, sha256: hashing.digest() })
    }

    /// Whether a backup has its manifest.
    pub(crate) fn has_manifest(&self, folder: &Folder) -> Result<bool, Error> {
        match self.storage.head(&folder.name(MANIFEST)?) {
            Ok(_) => Ok(true),
            Err(storage::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what there is of a backup that has no manifest.
    pub(crate) fn remove(&self, folder: &Folder) -> Result<(), Error> {
        let names: Vec<_> = self.storage.list_all(&folder.prefix()).collect::<Result<_, _>>()?;
        names.iter().try_for_each(|entry| self.storage.delete(&entry.name)).map_err(Into::into)
    }

    /// Removes a backup that is whole: first it is none any more.
    pub(crate) fn remove_whole(&self, folder: &Folder) -> Result<(), Error> {
        self.storage.delete(&folder.name(MANIFEST)?)?;
        self.remove(folder)
    }

    /// The content of one object; it is whole only when it was read to its end.
    pub(crate) fn read(&self, name: &Name, opener: &Opener) -> Result<impl Read + use<>, Error> {
        Ok(open_sealed(&*self.storage, opener, name)?)
    }

    /// A backup's manifest, and its digest.
    pub(crate) fn manifest(&self, folder: &Folder, opener: &Opener) -> Result<(Manifest, Sha256), Error> {
        let name = folder.name(MANIFEST)?;
        let mut bytes = Vec::new();
        let mut reader = self.read(&name, opener)?.take(MOST_MANIFEST_BYTES + 1);
        reader.read_to_end(&mut bytes).map_err(|error| archive::Error::from_io(&name, error))?;
        if bytes.len() as u64 > MOST_MANIFEST_BYTES {
            return Err(Error::damaged(&name, "it is longer than any manifest"));
        }
        let manifest = Manifest::decode(&bytes).map_err(|what| Error::damaged(&name, what))?;
        let is_here = (&manifest.node, &manifest.chain, &manifest.backup)
            == (&folder.node, &folder.chain, &folder.backup)
            && manifest.rows.is_some() == (manifest.chain == manifest.backup)
            && manifest.rows.is_some() == manifest.previous.is_none();
        if !is_here {
            return Err(Error::damaged(&name, "it is of another backup"));
        }
        Ok((manifest, Sha256::of(&bytes)))
    }
}

fn what() -> Name {
    Name::new(WHAT).expect("it has letters and a dash")
}

fn can_list(storage: &dyn Storage) -> Result<(), Error> {
    match storage.abilities().list {
        true => Ok(()),
        false => Err(storage::Error::NotSupported("list what it has; backups need that").into()),
    }
}

fn read_id(storage: &dyn Storage, name: &Name) -> Result<Option<String>, Error> {
    let bytes = match storage.get_bytes(name, MOST_REPOSITORY_BYTES) {
        Ok(bytes) => bytes,
        Err(storage::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let refuse = |why: &str| Error::NoRepository { place: name.to_string(), why: why.into() };
    let mut lines = text.lines();
    match lines.next() {
        Some(FIRST_LINE) => {}
        Some(line) if line.starts_with("anabranch backups ") => {
            return Err(refuse("a later version of anabranch has made it; use that"));
        }
        _ => return Err(refuse("the object is something else")),
    }
    let id = lines.next().and_then(|line| line.strip_prefix("id "));
    let id = id.filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    id.map(|id| Some(id.to_owned())).ok_or_else(|| refuse("its number is missing"))
}
