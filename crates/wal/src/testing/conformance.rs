//! What every [`Disk`] must do. Panics, naming the rule, if it does not.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, read_full, write_all};

/// Runs every rule on an empty disk.
///
/// # Panics
/// If a rule is broken.
pub fn run(disk: &dyn Disk) {
    names_are_those_of_files(disk);
    bytes_come_back_where_they_were_written(disk);
    lengths_can_be_set_both_ways(disk);
    a_removed_file_can_be_read_by_who_has_it_open(disk);
    rename_replaces(disk);
    one_holder_at_a_time(disk);
}

fn text(file: &dyn DiskFile) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    let n = read_full(file, 0, &mut bytes).expect("reading works");
    bytes.truncate(n);
    bytes
}

fn make(disk: &dyn Disk, name: &str, content: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.create(name).expect("creating works");
    write_all(&*file, 0, content).expect("writing works");
    file
}

fn names_are_those_of_files(disk: &dyn Disk) {
    assert_eq!(disk.list().expect("listing works"), Vec::<String>::new(), "an empty disk has no names");
    assert_eq!(disk.open("a").expect_err("missing").kind(), ErrorKind::NotFound, "open makes no file");
    assert_eq!(disk.remove("a").expect_err("missing").kind(), ErrorKind::NotFound, "remove says so");
    make(disk, "a", b"");
    make(disk, "b", b"");
    let mut names = disk.list().expect("listing works");
    names.sort();
    assert_eq!(names, ["a", "b"], "created files are listed");
    disk.sync_dir().expect("syncing a directory works");
    disk.remove("a").expect("removing works");
    disk.remove("b").expect("removing works");
    assert!(disk.list().expect("listing works").is_empty(), "removed files are not listed");
}

fn bytes_come_back_where_they_were_written(disk: &dyn Disk) {
    let file = make(disk, "f", b"hello");
    assert!(!file.is_empty().expect("length works"));
    write_all(&*file, 10, b"world").expect("writing beyond the end works");
    write_all(&*file, 1, b"E").expect("overwriting works");
    assert_eq!(text(&*file), b"hEllo\0\0\0\0\0world", "gaps are zeros");
    file.sync_data().expect("syncing works");
    let again = disk.open("f").expect("opening works");
    assert_eq!(text(&*again), text(&*file), "two handles see the same bytes");
    write_all(&*again, 0, b"H").expect("an opened file can be written");
    assert_eq!(text(&*file)[0], b'H', "writes are seen at once");
    let mut one = [0; 1];
    assert_eq!(file.read_at(99, &mut one).expect("reading works"), 0, "nothing is read beyond the end");
    assert!(text(&*disk.create("f").expect("creating works")).is_empty(), "create empties");
    disk.remove("f").expect("removing works");
}

fn lengths_can_be_set_both_ways(disk: &dyn Disk) {
    let file = make(disk, "f", b"hello");
    file.truncate(2).expect("truncating works");
    file.truncate(4).expect("extending works");
    assert_eq!(text(&*file), b"he\0\0", "what was cut does not come back");
    match file.preallocate(100) {
        Ok(()) => assert_eq!(file.len().expect("length works"), 100, "preallocation sets the length"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    let before = file.len().expect("length works");
    if file.preallocate(3).is_ok() {
        assert_eq!(file.len().expect("length works"), before, "preallocation never shortens");
    }
    assert_eq!(&text(&*file)[..4], b"he\0\0", "preallocation changes no bytes");
    file.sync_all().expect("syncing works");
    disk.remove("f").expect("removing works");
}

fn a_removed_file_can_be_read_by_who_has_it_open(disk: &dyn Disk) {
    let file = make(disk, "f", b"hello");
    disk.remove("f").expect("removing works");
    assert_eq!(text(&*file), b"hello", "a removed file is still there for its readers");
}

fn rename_replaces(disk: &dyn Disk) {
    make(disk, "old", b"old");
    make(disk, "new", b"new");
    disk.rename("new", "old").expect("renaming works");
    assert_eq!(text(&*disk.open("old").expect("opening works")), b"new", "the new content has the name");
    assert_eq!(disk.list().expect("listing works"), ["old"], "the old name is gone");
    assert_eq!(disk.rename("new", "x").expect_err("missing").kind(), ErrorKind::NotFound, "renaming nothing fails");
    disk.remove("old").expect("removing works");
}

fn one_holder_at_a_time(disk: &dyn Disk) {
    let guard = disk.lock().expect("locking works");
    match disk.lock() {
        Ok(_) => panic!("two holders of one directory"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    drop(guard);
    drop(disk.lock().expect("locking works again"));
    assert!(disk.list().expect("listing works").is_empty(), "the lock is no file of the log");
}
