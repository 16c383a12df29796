//! A walk through the store, as a program of its own would use it.

use blob::{Mode, Options, PutOptions, Removal, Store};

#[expect(clippy::print_stdout, reason = "it says what it does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("blob-tour-{}", std::process::id()));
    // A durable store within 256 MiB of disk and 32 MiB of RAM.
    let store = Store::open(&dir, Options::new(Mode::Durable, 256 << 20, 32 << 20))?;
    store.start();

    let version = store.put(b"picture/1", &vec![1; 300_000])?;
    store.put_checksummed(b"picture/2", b"nine byte", blob::format::crc32c(b"nine byte"))?;

    // Filled in place, stored without another copy.
    let mut draft = store.alloc(b"picture/3", 100_000, PutOptions::default())?;
    draft.fill(3);
    draft.commit()?;

    // A guard holds the value, not the store; a part of a value costs only its pieces.
    let guard = store.get(b"picture/1")?.expect("stored above");
    let part = store.get_range(b"picture/1", 70_000..70_016)?.expect("stored above");
    println!("{} bytes at version {}, and a part of {}", guard.len(), guard.version(), part.len());

    // Of all who ask for a missing value at once, one makes it.
    let made = store.get_or_load(b"picture/4", PutOptions::default(), || Ok::<_, blob::Error>(vec![4; 10]))?;
    println!("made {} bytes", made.len());

    for entry in store.prefix(b"picture/")? {
        println!("{}", String::from_utf8_lossy(&entry?.key));
    }
    assert_eq!(store.remove_if_version(b"picture/1", version)?, Removal::Removed);
    println!("{:#?}", store.stats());
    store.close()?;
    drop(store);
    println!("{:?}", blob::check(&dir)?);
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
