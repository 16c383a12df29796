//! SHA-256 of what is read, on its way.

use std::fmt;
use std::io::{self, Read};

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Sha256([u8; 32]);

impl Sha256 {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(bytes);
        Self::end(context)
    }

    fn end(context: Context) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from(*self))
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.0.iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no SHA-256");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// Passes on what it reads, and knows its digest.
pub(crate) struct Hashing<R> {
    from: R,
    context: Context,
}

impl<R> Hashing<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, context: Context::new(&SHA256) }
    }

    /// What it reads from.
    pub(crate) fn get_ref(&self) -> &R {
        &self.from
    }

    /// Of all that was read.
    pub(crate) fn digest(&self) -> Sha256 {
        Sha256::end(self.context.clone())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buf)?;
        self.context.update(&buf[..len]);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_what_was_read() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let mut hashing = Hashing::new(&b"abc"[..]);
        let mut out = Vec::new();
        hashing.read_to_end(&mut out).unwrap();
        assert_eq!((String::from(hashing.digest()), out), (abc.to_owned(), b"abc".to_vec()));
        assert_eq!(Sha256::try_from(abc.to_owned()), Ok(Sha256::of(b"abc")));
        assert!(Sha256::try_from(abc[1..].to_owned()).is_err() && Sha256::try_from(abc.replace('b', "x")).is_err());
    }
}
