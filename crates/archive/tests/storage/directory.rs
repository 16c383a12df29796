//! A directory: the suite, and what crashes and others leave in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use archive::storage::{Directory, Error, Storage};

use crate::suite::{self, name};

fn leftovers(root: &Path) -> usize {
    fs::read_dir(root.join(".tmp")).unwrap().count()
}

#[test]
fn a_directory_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let storage: Arc<dyn Storage> = Arc::new(Directory::open(folder.path().join("new/deep")).unwrap());
    suite::all(&*storage, 1 << 20);
    suite::whole_or_not_at_all(&storage, 100);
    assert_eq!(leftovers(&folder.path().join("new/deep")), 0);
}

#[test]
fn objects_survive_and_are_for_their_owner() {
    let folder = tempfile::tempdir().unwrap();
    Directory::open(folder.path()).unwrap().put(&name("a/b"), b"kept").unwrap();
    let again = Directory::open(folder.path()).unwrap();
    assert_eq!(again.get_bytes(&name("a/b"), 9).unwrap(), b"kept");
    assert_eq!(fs::metadata(folder.path().join("a/b")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_crashed_writers_left_is_removed_and_what_writers_hold_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Directory::open(folder.path()).unwrap();
    fs::write(folder.path().join(".tmp/1-1"), b"half").unwrap();
    let held = fs::File::create(folder.path().join(".tmp/1-2")).unwrap();
    held.try_lock().unwrap();
    assert!(storage.list("", None, 10).unwrap().is_empty());
    Directory::open(folder.path()).unwrap();
    let left: Vec<_> = fs::read_dir(folder.path().join(".tmp")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["1-2"]);
}

#[test]
fn another_that_opens_the_directory_does_not_take_what_is_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Directory::open(folder.path()).unwrap();
    /// Opens the directory again in the middle of being read.
    struct Meanwhile<'a>(&'a Path, u32);
    impl std::io::Read for Meanwhile<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            Directory::open(self.0).unwrap();
            self.1 -= u32::from(self.1 > 0);
            let most = bytes.len().min(1000) * (self.1 > 0) as usize;
            bytes[..most].fill(5);
            Ok(most)
        }
    }
    let size = storage.put_stream(&name("a"), &mut Meanwhile(folder.path(), 6)).unwrap();
    assert_eq!((size, storage.head(&name("a")).unwrap().size), (5000, 5000));
}

#[test]
fn a_name_below_or_above_an_object_clashes() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Directory::open(folder.path()).unwrap();
    storage.put(&name("a/b"), b"").unwrap();
    for clash in ["a", "a/b/c", "a/b/c/d"] {
        assert!(matches!(storage.put(&name(clash), b""), Err(Error::NameClash { .. })), "{clash}");
        assert!(matches!(storage.put_new(&name(clash), b""), Err(Error::NameClash { .. })), "{clash}");
        assert!(matches!(storage.get(&name(clash), 0), Err(Error::NotFound { .. })), "{clash}");
        assert!(matches!(storage.head(&name(clash)), Err(Error::NotFound { .. })), "{clash}");
        storage.delete(&name(clash)).unwrap();
    }
    assert_eq!(storage.list("", None, 9).unwrap().len(), 1);
    assert_eq!(leftovers(folder.path()), 0);
}

#[test]
fn what_is_no_object_is_not_listed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Directory::open(folder.path()).unwrap();
    storage.put(&name("a"), b"1").unwrap();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("with blank"), b"").unwrap();
    fs::write(folder.path().join(".hidden"), b"").unwrap();
    symlink("/etc/passwd", folder.path().join("link")).unwrap();
    symlink("/etc", folder.path().join("links")).unwrap();
    let listed = storage.list("", None, 100).unwrap();
    assert_eq!(listed.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn deleting_and_putting_in_the_same_folder_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Directory::open(folder.path()).unwrap();
    std::thread::scope(|scope| {
        for n in 0..3 {
            let storage = &storage;
            scope.spawn(move || {
                let mine = name(&format!("same/{n}/x"));
                for _ in 0..60 {
                    storage.put(&mine, b"x").unwrap();
                    storage.delete(&mine).unwrap();
                }
            });
        }
    });
    assert!(storage.list("", None, 9).unwrap().is_empty());
}
