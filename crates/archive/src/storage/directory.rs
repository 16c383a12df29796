//! Objects as files of a directory.
//!
//! The object `a/b` is the file `a/b`. It is written as a file in `.tmp`, synced, and then renamed; then every folder
//! on its way is synced. So a crash leaves the old object or the new one, and maybe a file in `.tmp`, which the next
//! that opens the directory removes. Who writes such a file holds a lock on it, so nobody removes it meanwhile. No name
//! begins with a dot, so `.tmp` is no object.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::walk::{self, Folders, Found};
use super::{Abilities, Entry, Error, Name, Object, Result, Storage, refuse};

const TEMPORARY: &str = ".tmp";
/// How often a put begins again because another call removed the folder, empty, that it had just made.
const ATTEMPTS: u32 = 8;

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Objects as files of a directory. Files have mode 0600. Several processes may use the same directory.
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// Opens a directory, which is made if it is not there, and removes what crashed writers have left.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let temporary = root.join(TEMPORARY);
        fs::create_dir_all(&temporary).map_err(|e| failed("making", &temporary, e))?;
        sync_folder(&root)?;
        let this = Self { root };
        this.remove_leftovers(&temporary)?;
        Ok(this)
    }

    /// Removes the temporary files that nobody has locked.
    fn remove_leftovers(&self, temporary: &Path) -> Result<()> {
        for entry in fs::read_dir(temporary).map_err(|e| failed("listing", temporary, e))? {
            let path = entry.map_err(|e| failed("listing", temporary, e))?.path();
            // Whoever opens at the same time may be quicker: that it is gone is all we want.
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            if file.try_lock().is_ok() {
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed("removing", &path, e)),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn path(&self, name: &Name) -> PathBuf {
        self.root.join(name.as_str())
    }

    fn temporary(&self) -> Result<Temporary> {
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.root.join(TEMPORARY).join(format!("{}-{number}", std::process::id()));
            let file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => file,
                // Of another machine, or of a process with our number before us.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(failed("making", &path, e)),
            };
            // Between the two lines above and below somebody may have taken it for a leftover.
            let ours = file.try_lock().is_ok() && file.metadata().is_ok_and(|m| m.nlink() > 0);
            if ours {
                return Ok(Temporary { path, file });
            }
        }
    }

    /// Makes the folders above an object.
    fn folders(&self, name: &Name) -> Result<()> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.root);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match fs::create_dir_all(folder) {
                Ok(()) => return Ok(()),
                // Whoever deletes the last object of a folder above takes that away meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists) => {
                    return Err(clash(name));
                }
                Err(e) => return Err(failed("making", folder, e)),
            }
        }
    }

    /// Makes durable that an object is there, or is gone. All folders above it, because another call may have made
    /// one and not have synced it yet.
    fn sync_way(&self, name: &Name) -> Result<()> {
        let path = self.path(name);
        let ours = path.ancestors().skip(1).take_while(|p| p.starts_with(&self.root));
        ours.filter(|p| p.exists()).try_for_each(sync_folder)
    }

    /// Gives a whole file its name with `publish`, and makes that durable.
    fn publish(
        &self,
        name: &Name,
        temporary: &Temporary,
        publish: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<()> {
        temporary.file.sync_all().map_err(|e| failed("syncing", &temporary.path, e))?;
        let path = self.path(name);
        let mut attempt = 0;
        loop {
            self.folders(name)?;
            attempt += 1;
            match publish(&temporary.path, &path) {
                Ok(()) => return self.sync_way(name),
                Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory) => {
                    return Err(clash(name));
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Err(clash(name)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(Error::AlreadyExists { name: name.to_string() });
                }
                Err(e) => return Err(failed("naming", &path, e)),
            }
        }
    }

    fn open_object(&self, name: &Name) -> Result<(File, u64)> {
        let path = self.path(name);
        let file = File::open(&path).map_err(|e| absent_or(name, "opening", &path, e))?;
        let meta = file.metadata().map_err(|e| failed("opening", &path, e))?;
        if meta.is_file() { Ok((file, meta.len())) } else { Err(Error::not_found(name.as_str())) }
    }
}

impl Storage for Directory {
    fn put(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        self.put_stream(name, &mut &*bytes).map(drop)
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<()> {
        refuse::whole(name, bytes)?;
        let mut temporary = self.temporary()?;
        temporary.write(bytes)?;
        // Of several links with one name the file system makes one.
        self.publish(name, &temporary, |from, to| fs::hard_link(from, to))
    }

    fn put_stream(&self, name: &Name, from: &mut dyn Read) -> Result<u64> {
        let mut temporary = self.temporary()?;
        let mut buffer = vec![0; 256 << 10];
        let mut size = 0;
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => {
                    temporary.write(&buffer[..got])?;
                    size += got as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::source(e)),
            }
        }
        self.publish(name, &temporary, |from, to| fs::rename(from, to))?;
        Ok(size)
    }

    fn get(&self, name: &Name, from: u64) -> Result<Object> {
        let (mut file, size) = self.open_object(name)?;
        refuse::start(name, from, size)?;
        file.seek(SeekFrom::Start(from)).map_err(|e| failed("reading", &self.path(name), e))?;
        Ok(Object::new(name, size, from, Box::new(file.take(size - from))))
    }

    fn get_range(&self, name: &Name, range: Range<u64>) -> Result<Vec<u8>> {
        refuse::range(name, &range)?;
        let (file, size) = self.open_object(name)?;
        refuse::beyond(name, &range, size)?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_exact_at(&mut bytes, range.start).map_err(|e| failed("reading", &self.path(name), e))?;
        Ok(bytes)
    }

    fn head(&self, name: &Name) -> Result<Entry> {
        let path = self.path(name);
        let meta = fs::metadata(&path).map_err(|e| absent_or(name, "looking at", &path, e))?;
        if !meta.is_file() {
            return Err(Error::not_found(name.as_str()));
        }
        Ok(Entry { name: name.clone(), size: meta.len() })
    }

    fn list(&self, prefix: &str, after: Option<&Name>, most: usize) -> Result<Vec<Entry>> {
        walk::list(self, prefix, after, refuse::page(most))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => self.sync_way(name)?,
            Err(e) => match absent_or(name, "deleting", &path, e) {
                // That it is gone may not be durable yet, if this is the second attempt.
                Error::NotFound { .. } => self.sync_way(name)?,
                error => return Err(error),
            },
        }
        // Empty folders would be in the way of objects of their names. Whether they go is not essential: whoever needs
        // one makes it again.
        let above = path.ancestors().skip(1).take_while(|p| p.starts_with(&self.root) && *p != self.root);
        for folder in above {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn abilities(&self) -> Abilities {
        Abilities { put_new: true, list: true }
    }
}

impl Folders for Directory {
    fn entries(&self, folder: &str) -> Result<Vec<Found>> {
        let path = self.root.join(folder);
        let listing = match fs::read_dir(&path) {
            Ok(listing) => listing,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed("listing", &path, e)),
        };
        let mut found = Vec::new();
        for entry in listing {
            let entry = entry.map_err(|e| failed("listing", &path, e))?;
            let Ok(part) = entry.file_name().into_string() else { continue };
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                // It was deleted meanwhile.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(failed("looking at", &entry.path(), e)),
            };
            if meta.is_dir() || meta.is_file() {
                found.push(Found { part, size: meta.is_file().then_some(meta.len()) });
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Directory({})", self.root.display())
    }
}

/// A file that is not an object yet; dropping it removes it, unless it was renamed.
struct Temporary {
    path: PathBuf,
    file: File,
}

impl Temporary {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| failed("writing", &self.path, e))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Renamed, or left for the next that opens the directory.
        let _ = fs::remove_file(&self.path);
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    match File::open(path).and_then(|f| f.sync_all()) {
        // Removed because it was empty: then there is nothing in it to keep.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(|e| failed("syncing", path, e)),
    }
}

fn clash(name: &Name) -> Error {
    Error::NameClash { name: name.to_string() }
}

fn absent_or(name: &Name, what: &str, path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            Error::not_found(name.as_str())
        }
        _ => failed(what, path, error),
    }
}

fn failed(what: &str, path: &Path, cause: io::Error) -> Error {
    Error::Io { what: format!("{what} {}", path.display()), cause: Arc::new(cause) }
}
