//! The directory that a backup is restored to: it is whole, or it is not there, or no server starts on it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The last file that comes to a directory that was there: a server does not start on data without it.
const IDENTITY: &str = "identity";

/// See the module. Until it has its name, everything is in a directory beside it, or in it.
pub(crate) struct Target {
    to: PathBuf,
    aside: PathBuf,
    was_there: bool,
    is_whole: bool,
}

impl Target {
    /// Begins; `to` must be empty, or not be there.
    pub(crate) fn begin(to: &Path) -> Result<Self, Error> {
        let was_there = match fs::read_dir(to) {
            Ok(mut entries) => match entries.next() {
                Some(_) => return Err(Error::NotEmpty(to.into())),
                None => true,
            },
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(Error::io(to)(error)),
        };
        let aside = match (was_there, to.file_name()) {
            // It may be where a file system is mounted, which cannot be renamed.
            (true, _) => to.join("restoring"),
            (false, Some(name)) => to.with_file_name(format!("{}.restoring", name.display())),
            (false, None) => return Err(Error::io(to)(ErrorKind::InvalidInput.into())),
        };
        match fs::create_dir_all(parent(&aside)).and_then(|()| fs::create_dir(&aside)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(Error::AtWork(aside)),
            Err(error) => return Err(Error::io(aside)(error)),
        }
        Ok(Self { to: to.into(), aside, was_there, is_whole: false })
    }

    /// Where it is until then.
    pub(crate) fn aside(&self) -> &Path {
        &self.aside
    }

    /// What is aside is whole and durable: gives it its name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        match self.was_there {
            true => self.move_in(),
            false => fs::rename(&self.aside, &self.to),
        }
        .and_then(|()| File::open(parent(&self.to))?.sync_all())
        .map_err(Error::io(&self.to))?;
        self.is_whole = true;
        Ok(())
    }

    fn move_in(&self) -> std::io::Result<()> {
        let sync = || File::open(&self.to)?.sync_all();
        for entry in fs::read_dir(&self.aside)? {
            let name = entry?.file_name();
            if name != IDENTITY {
                fs::rename(self.aside.join(&name), self.to.join(&name))?;
            }
        }
        sync()?;
        fs::rename(self.aside.join(IDENTITY), self.to.join(IDENTITY))?;
        fs::remove_dir(&self.aside)?;
        sync()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_whole {
            // Half a directory is of no use. What cannot be removed is refused by the next attempt.
            let _ = fs::remove_dir_all(&self.aside);
        }
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(target: &Target) {
        fs::create_dir(target.aside().join("log")).unwrap();
        fs::write(target.aside().join("log/1"), "one").unwrap();
        fs::write(target.aside().join(IDENTITY), "me").unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_comes_to_be_as_a_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        for to in [dir.path().join("deep/new"), empty.clone()] {
            let given_up = Target::begin(&to).unwrap();
            fill(&given_up);
            assert!(matches!(Target::begin(&to), Err(Error::AtWork(_) | Error::NotEmpty(_))));
            drop(given_up);
            assert!(!to.exists() || names(&to).is_empty());
            let target = Target::begin(&to).unwrap();
            fill(&target);
            target.finish().unwrap();
            assert_eq!(names(&to), [IDENTITY, "log"]);
            assert!(matches!(Target::begin(&to), Err(Error::NotEmpty(_))));
        }
        assert_eq!(names(dir.path()), ["deep", "empty"]);
        assert_eq!(names(&dir.path().join("deep")), ["new"]);
    }
}
