//! What goes in comes out, however it is cut; and the two ways of sealing give the same bytes.

use std::io::{self, Read, Write};

use archive::seal::{Error, Sealed};
use proptest::prelude::*;

use crate::support::*;

/// Content that is partly compressible, of any length around the borders of chunks.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop_oneof![
        0_usize..300,
        (0_usize..4, -2_i64..3).prop_map(|(n, d)| (n as i64 * CHUNK as i64 + d).max(0) as usize),
        0_usize..3 * CHUNK,
    ];
    (lengths, any::<u64>(), 0_u8..3).prop_map(|(n, seed, kind)| match kind {
        0 => Seeded(seed).bytes(n),
        1 => vec![seed as u8; n],
        _ => Seeded(seed).bytes(n).into_iter().map(|b| b & 3).collect(),
    })
}

/// Reads or writes in pieces of odd sizes.
struct Pieces<T> {
    inner: T,
    sizes: Seeded,
}

impl<T> Pieces<T> {
    fn size(&mut self, most: usize) -> usize {
        let odd = 1 + self.sizes.next() as usize % 50_000;
        odd.min(most)
    }
}

impl<T: Read> Read for Pieces<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let size = self.size(bytes.len());
        self.inner.read(&mut bytes[..size])
    }
}

impl<T: Write> Write for Pieces<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = self.size(bytes.len());
        self.inner.write(&bytes[..size])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_goes_in_comes_out(content in content(), name in "[a-z/]{0,20}", seed: u64, lg in 16_u32..=20, level in 1..6) {
        let pair = pair(1);
        let sealer = sealer(&pair).with_chunk_bytes(1 << lg).unwrap().with_level(level);
        let mut out = Pieces { inner: Vec::new(), sizes: Seeded(seed) };
        let mut writer = sealer.writer_with(&name, &mut out, &mut Seeded(seed)).unwrap();
        io::copy(&mut Pieces { inner: &content[..], sizes: Seeded(seed) }, &mut writer).unwrap();
        let (_, sums) = writer.finish().unwrap();
        let written = out.inner;
        prop_assert_eq!(sums, Sealed { plain_bytes: content.len() as u64, sealed_bytes: written.len() as u64 });

        let mut read = Vec::new();
        let from = Pieces { inner: &content[..], sizes: Seeded(seed ^ 1) };
        let mut reader = sealer.reader_with(&name, from, &mut Seeded(seed)).unwrap();
        Pieces { inner: &mut reader, sizes: Seeded(seed) }.read_to_end(&mut read).unwrap();
        prop_assert_eq!(reader.sums(), sums);
        prop_assert!(read == written, "the two ways of sealing differ");

        let mut opened = Vec::new();
        let from = Pieces { inner: &written[..], sizes: Seeded(seed ^ 2) };
        let mut reader = opener(&pair).reader(&name, from).unwrap();
        Pieces { inner: &mut reader, sizes: Seeded(seed) }.read_to_end(&mut opened).unwrap();
        prop_assert!(opened == content);
        prop_assert!(reader.ended());
        prop_assert_eq!(reader.sums(), sums);
    }
}

#[test]
fn the_same_content_never_looks_the_same_twice() {
    let pair = pair(1);
    let seal = || {
        let mut writer = sealer(&pair).writer("n", Vec::new()).unwrap();
        writer.write_all(b"the same").unwrap();
        writer.finish().unwrap().0
    };
    let (a, b) = (seal(), seal());
    assert_eq!(a.len(), b.len());
    // The encapsulated keys, and all that follows.
    let same = a[48..].iter().zip(&b[48..]).filter(|(a, b)| a == b).count();
    assert!(same < 40, "{same} of {} bytes are the same", a.len() - 48);
}

#[test]
fn compression_comes_before_encryption() {
    let pair = pair(1);
    let content = b"a line that says the same as all others do\n".repeat(20_000);
    let sealed = seal(&sealer(&pair), "n", &content, 1);
    assert!(sealed.len() < content.len() / 50, "{}", sealed.len());
    let random = Seeded(9).bytes(10 * CHUNK);
    let sealed = seal(&sealer(&pair), "n", &random, 1);
    assert_eq!(sealed.len(), 1172 + 10 * (CHUNK + 20) + 20);
}

#[test]
fn only_the_formats_sizes_of_chunks_are_taken() {
    for bad in [0, 1, CHUNK / 2, CHUNK + 1, 2 << 20, usize::MAX] {
        assert!(matches!(sealer(&pair(1)).with_chunk_bytes(bad), Err(Error::BadChunkBytes(b)) if b == bad));
    }
}

#[test]
fn memory_does_not_follow_the_length() {
    // A gigabyte would be slow here; the buffers of the readers show as well.
    let pair = pair(1);
    let from = io::repeat(7).take(64 << 20);
    let reader = sealer(&pair).reader("n", from).unwrap();
    let mut reader = opener(&pair).reader("n", reader).unwrap();
    assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), 64 << 20);
}

#[test]
fn an_error_below_comes_out_as_it_is_and_stays() {
    struct Broken(u64);
    impl Read for Broken {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let most = bytes.len().min(self.0 as usize);
            self.0 -= most as u64;
            if most == 0 { Err(io::Error::new(io::ErrorKind::PermissionDenied, "broken")) } else { Ok(most) }
        }
    }
    let pair = pair(1);
    let mut reader = sealer(&pair).reader("n", Broken(200_000)).unwrap();
    let mut sealed = Vec::new();
    for _ in 0..2 {
        let error = reader.read_to_end(&mut sealed).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        assert!(matches!(Error::from_io(error), Error::Io(e) if e.to_string() == "broken"));
    }
    // What came out is no whole object.
    let (_, done) = open(&opener(&pair), "n", &sealed);
    assert!(matches!(done, Err(Error::Truncated { .. })), "{done:?}");

    let good = seal(&sealer(&pair), "n", &vec![1; 3 * CHUNK], 1);
    let mut reader = opener(&pair).reader("n", good[..1300].chain(Broken(0))).unwrap();
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn nothing_is_written_behind_a_write_that_failed() {
    struct Full(usize, Vec<u8>);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1.len() >= self.0 {
                // Once only: then there is room again.
                self.0 = usize::MAX;
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let most = bytes.len().min(self.0 - self.1.len());
            self.1.extend_from_slice(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let pair = pair(1);
    let mut out = Full(100_000, Vec::new());
    let mut writer = sealer(&pair).writer("n", &mut out).unwrap();
    assert_eq!(writer.write_all(&Seeded(1).bytes(3 * CHUNK)).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert!(writer.write_all(b"more").is_err());
    assert!(writer.finish().is_err());
    assert_eq!(out.1.len(), 100_000);
}
