//! Seals a file, opens it again, and says how fast: `seal_file FILE [CHUNK-KIB [LEVEL]]`. Everything lies in a
//! temporary directory.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Instant;

use archive::seal::{KeyPair, Opener, PrivateKey, PublicKey, Sealer};
use archive::storage::{Memory, Name, OpenOptions, Storage, open};
use archive::{open_sealed, store_sealed, verify_sealed};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let path = words.next().ok_or("usage: seal_file FILE [CHUNK-KIB [LEVEL]]")?;
    let chunk: usize = words.next().map_or(Ok(256), |w| w.parse())?;
    let level: i32 = words.next().map_or(Ok(3), |w| w.parse())?;
    let mut out = io::stdout().lock();

    // Once, somewhere safe: only the public key goes to the nodes that write backups.
    let folder = tempfile::tempdir()?;
    let (public, private) = (folder.path().join("backup.pub"), folder.path().join("backup.key"));
    let pair = KeyPair::generate()?;
    pair.public.save(&public)?;
    pair.private.save(&private)?;

    // On a node that writes backups.
    let storage =
        open(folder.path().join("objects").to_str().ok_or("a path that is no text")?, &OpenOptions::default())?;
    let sealer = Sealer::new(PublicKey::load(&public)?).with_chunk_bytes(chunk << 10)?.with_level(level);
    let name = Name::new("example/file")?;
    let sums = store_sealed(&*storage, &sealer, &name, &mut File::open(&path)?)?;
    writeln!(
        out,
        "sealed for {}: {} bytes became {}",
        sealer.key().fingerprint(),
        sums.plain_bytes,
        sums.sealed_bytes
    )?;

    // Where it is restored.
    let opener = Opener::new(PrivateKey::load(&private)?);
    let mut reader = open_sealed(&*storage, &opener, &name)?;
    let mut original = File::open(&path)?;
    let same = same(&mut reader, &mut original)?;
    writeln!(out, "opened again: {}", if same { "the same" } else { "DIFFERENT" })?;

    // How fast it is, without the disk.
    let mut content = Vec::new();
    File::open(&path)?.read_to_end(&mut content)?;
    let memory = Memory::new();
    let megabytes = content.len() as f64 / 1e6;
    let began = Instant::now();
    store_sealed(&memory, &sealer, &name, &mut &content[..])?;
    let sealing = began.elapsed().as_secs_f64();
    let began = Instant::now();
    verify_sealed(&memory as &dyn Storage, &opener, &name)?;
    let opening = began.elapsed().as_secs_f64();
    writeln!(out, "sealing {:.0} MB/s, opening {:.0} MB/s", megabytes / sealing, megabytes / opening)?;
    if same { Ok(()) } else { Err("what was opened is not what was sealed".into()) }
}

/// Whether two readers give the same bytes.
fn same(a: &mut dyn Read, b: &mut dyn Read) -> io::Result<bool> {
    let (mut of_a, mut of_b) = (vec![0; 1 << 16], Vec::new());
    loop {
        let got = a.read(&mut of_a)?;
        of_b.clear();
        b.take(got.max(1) as u64).read_to_end(&mut of_b)?;
        if of_a[..got] != of_b[..] {
            return Ok(false);
        }
        if got == 0 {
            return Ok(true);
        }
    }
}
