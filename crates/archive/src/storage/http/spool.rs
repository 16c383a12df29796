//! What is uploaded, kept so that it can be sent again: short things in memory, others in a file that has no name.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use futures_util::stream;
use reqwest::Body;

use super::super::{Error, Result};
use crate::limits::SPOOL_BYTES;

/// Bytes that are read from the file at once.
const PIECE: u64 = 256 << 10;

pub(super) struct Spool {
    kept: Kept,
    size: u64,
    sha256: String,
}

enum Kept {
    Memory(Bytes),
    File(Arc<File>),
}

impl Spool {
    pub(super) fn memory(bytes: Vec<u8>) -> Self {
        let sha256 = hex(digest::digest(&digest::SHA256, &bytes).as_ref());
        Self { size: bytes.len() as u64, kept: Kept::Memory(bytes.into()), sha256 }
    }

    /// Reads all there is.
    pub(super) fn fill(from: &mut dyn Read) -> Result<Self> {
        let mut head = Vec::new();
        from.take(SPOOL_BYTES as u64 + 1).read_to_end(&mut head).map_err(Error::source)?;
        if head.len() <= SPOOL_BYTES {
            return Ok(Self::memory(head));
        }
        let failed = |e: io::Error| Error::Io { what: "keeping an upload in a file".to_owned(), cause: Arc::new(e) };
        let mut file = tempfile::tempfile().map_err(failed)?;
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut size = 0;
        let mut piece = head;
        loop {
            file.write_all(&piece).map_err(failed)?;
            hash.update(&piece);
            size += piece.len() as u64;
            piece.clear();
            if from.take(PIECE).read_to_end(&mut piece).map_err(Error::source)? == 0 {
                break;
            }
        }
        Ok(Self { kept: Kept::File(Arc::new(file)), size, sha256: hex(hash.finish().as_ref()) })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// In capital hexadecimal digits.
    pub(super) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// All of it, for one attempt. Attempts share no position in the file: one that was given up may still be reading.
    pub(super) fn body(&self) -> Body {
        let file = match &self.kept {
            Kept::Memory(bytes) => return Body::from(bytes.clone()),
            Kept::File(file) => Arc::clone(file),
        };
        let size = self.size;
        Body::wrap_stream(stream::try_unfold(0_u64, move |at| {
            let file = Arc::clone(&file);
            async move {
                if at == size {
                    return Ok::<_, io::Error>(None);
                }
                let piece = (size - at).min(PIECE);
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = vec![0; piece as usize];
                    file.read_exact_at(&mut bytes, at).map(|()| bytes)
                });
                let bytes = read.await.map_err(io::Error::other)??;
                Ok(Some((Bytes::from(bytes), at + piece)))
            }
        }))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}
