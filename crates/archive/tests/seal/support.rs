//! What these tests share: keys and random bytes that are the same every time, and sealing into memory.

use std::io::{Read, Write};

use archive::seal::{self, Entropy, Error, KeyPair, Opener, Sealer};

pub const CHUNK: usize = 64 << 10;

/// Random bytes from a seed. (SplitMix64; good enough to tell objects apart, and for nothing else.)
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

impl Entropy for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> seal::Result<()> {
        bytes.iter_mut().for_each(|b| *b = self.next() as u8);
        Ok(())
    }
}

pub fn pair(seed: u64) -> KeyPair {
    KeyPair::generate_with(&mut Seeded(seed)).unwrap()
}

pub fn sealer(pair: &KeyPair) -> Sealer {
    Sealer::new(pair.public.clone()).with_chunk_bytes(CHUNK).unwrap()
}

pub fn opener(pair: &KeyPair) -> Opener {
    Opener::new(pair.private.clone())
}

/// Seals by writing.
pub fn seal(sealer: &Sealer, name: &str, content: &[u8], seed: u64) -> Vec<u8> {
    let mut writer = sealer.writer_with(name, Vec::new(), &mut Seeded(seed)).unwrap();
    writer.write_all(content).unwrap();
    writer.finish().unwrap().0
}

/// Opens, and gives what came before the end or the error.
pub fn open(opener: &Opener, name: &str, sealed: &[u8]) -> (Vec<u8>, Result<(), Error>) {
    let mut content = Vec::new();
    let done = opener
        .reader(name, sealed)
        .and_then(|mut reader| reader.read_to_end(&mut content).map(drop).map_err(Error::from_io));
    (content, done)
}

/// Where the frames of a sealed object begin, and its end.
pub fn frames(sealed: &[u8]) -> Vec<usize> {
    let mut at = vec![1172];
    while let Some(head) = sealed.get(at[at.len() - 1]..).and_then(|rest| rest.first_chunk::<4>()) {
        let length = u32::from_be_bytes(*head) & ((1 << 21) - 1);
        at.push(at[at.len() - 1] + 4 + length as usize + 16);
    }
    at
}
