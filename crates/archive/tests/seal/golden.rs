//! The format, held by files. What they hold was sealed once with keys that are known, and is opened forever.

use std::fs;
use std::path::Path;

use archive::seal::PrivateKey;

use crate::support::*;

/// The bytes of a golden file: hexadecimal digits, with comments behind `#`.
fn bytes(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seal/golden").join(file);
    let text = fs::read_to_string(path).unwrap();
    let digits: String = text.lines().flat_map(|l| l.split('#').next()).flat_map(str::split_whitespace).collect();
    let pairs: Vec<_> = digits.as_bytes().chunks(2).collect();
    pairs.iter().map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap()).collect()
}

/// The private key of the files: the bytes 0 to 31.
fn key() -> PrivateKey {
    PrivateKey::from_bytes(&(0..32).collect::<Vec<u8>>()).unwrap()
}

/// Random bytes that count up.
struct Counting(u8);

impl archive::seal::Entropy for Counting {
    fn fill(&mut self, bytes: &mut [u8]) -> archive::seal::Result<()> {
        for byte in bytes {
            *byte = self.0;
            self.0 = self.0.wrapping_add(1);
        }
        Ok(())
    }
}

const SHORT: &[u8] = b"Short enough to stay as it is.";

/// Two chunks that are compressed, and an empty last one.
fn long() -> Vec<u8> {
    let mut content = b"anabranch ".repeat(2 * CHUNK / 10 + 1);
    content.truncate(2 * CHUNK);
    content
}

#[test]
fn what_was_sealed_once_opens_forever() {
    let opener = archive::seal::Opener::new(key());
    for (file, name, content) in [("short.hex", "backup/1/short", SHORT.to_vec()), ("long.hex", "", long())] {
        let (came, done) = open(&opener, name, &bytes(file));
        assert!(done.is_ok(), "{file}: {done:?}");
        assert!(came == content, "{file}");
    }
}

#[test]
fn sealing_gives_the_bytes_that_it_always_gave() {
    use std::io::Write;
    // Without compression, whose bytes may change with its library.
    let sealer = archive::seal::Sealer::new(key().public().clone()).with_chunk_bytes(CHUNK).unwrap();
    let mut writer = sealer.writer_with("backup/1/short", Vec::new(), &mut Counting(32)).unwrap();
    writer.write_all(SHORT).unwrap();
    let (sealed, _) = writer.finish().unwrap();
    assert_eq!(hex(&sealed), hex(&bytes("short.hex")));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
