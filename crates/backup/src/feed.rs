//! From a thread that writes to one that reads: rows come from the store as it likes, and go into objects of bounded size.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::Error;
use crate::limits::{FEED_BYTES, FEED_DEPTH};
use crate::progress::Progress;

/// A stream in parts of bounded size: reading ends at the end of each.
pub(crate) trait Parted: Read {
    /// Begins the next part; whether there is something for it.
    fn next_part(&mut self) -> Result<bool, Error>;

    /// Why reading has failed, if it has and it is known better than an I/O error can say.
    fn failure(&mut self) -> Option<Error>;
}

enum Message {
    Bytes(Vec<u8>),
    End,
}

/// The end that is written to. What it was given is complete only after [`Source::end`].
pub(crate) struct Source {
    to: SyncSender<Message>,
    buffer: Vec<u8>,
}

/// The end that is read, part by part.
pub(crate) struct Feed<'p> {
    from: Receiver<Message>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
    broke_off: bool,
    part_bytes: u64,
    /// Bytes that this part has given.
    given: u64,
    progress: &'p Progress,
}

/// Both ends. A reader stops with an error as soon as somebody cancels.
pub(crate) fn feed(part_bytes: u64, progress: &Progress) -> (Source, Feed<'_>) {
    let (to, from) = sync_channel(FEED_DEPTH);
    let feed = Feed { from, chunk: Vec::new(), at: 0, ended: false, broke_off: false, part_bytes, given: 0, progress };
    (Source { to, buffer: Vec::new() }, feed)
}

impl Source {
    fn send(&mut self, message: Message) -> io::Result<()> {
        // Who reads has found something wrong, and will say so.
        self.to.send(message).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }

    /// Says that there is no more.
    pub(crate) fn end(mut self) -> io::Result<()> {
        self.flush()?;
        self.send(Message::End)
    }
}

impl Write for Source {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(buf);
        if self.buffer.len() >= FEED_BYTES {
            self.flush()?;
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.buffer) {
            bytes if bytes.is_empty() => Ok(()),
            bytes => self.send(Message::Bytes(bytes)),
        }
    }
}

impl Feed<'_> {
    /// Whether who wrote has gone without saying that there is no more.
    pub(crate) fn broke_off(&self) -> bool {
        self.broke_off
    }

    /// Whether nothing comes any more.
    fn is_over(&mut self) -> io::Result<bool> {
        while self.at == self.chunk.len() && !self.ended {
            if self.progress.is_cancelled() {
                return Err(io::Error::other("cancelled"));
            }
            match self.from.recv() {
                Ok(Message::Bytes(chunk)) => (self.chunk, self.at) = (chunk, 0),
                Ok(Message::End) => self.ended = true,
                Err(_) => {
                    self.broke_off = true;
                    return Err(io::Error::other("the rows could not be read to their end"));
                }
            }
        }
        Ok(self.at == self.chunk.len())
    }
}

impl Parted for Feed<'_> {
    fn next_part(&mut self) -> Result<bool, Error> {
        self.given = 0;
        self.is_over().map(|over| !over).map_err(Error::io("rows"))
    }

    fn failure(&mut self) -> Option<Error> {
        None
    }
}

impl Read for Feed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.part_bytes - self.given).unwrap_or(usize::MAX).min(buf.len());
        if most == 0 || self.is_over()? {
            return Ok(0);
        }
        let len = most.min(self.chunk.len() - self.at);
        buf[..len].copy_from_slice(&self.chunk[self.at..self.at + len]);
        self.at += len;
        self.given += len as u64;
        self.progress.add(len as u64);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_in_parts_and_an_end_that_was_not_said_is_an_error() {
        let progress = Progress::default();
        let whole: Vec<u8> = (0..3 * FEED_BYTES).map(|n| (n % 251) as u8).collect();
        for said in [true, false] {
            let (mut source, mut feed) = feed(100_000, &progress);
            let bytes = whole.clone();
            let writer = std::thread::spawn(move || {
                bytes.chunks(1000).for_each(|chunk| source.write_all(chunk).unwrap());
                if said { source.end().unwrap() } else { source.flush().unwrap() }
            });
            let (mut read, mut lengths) = (Vec::new(), Vec::new());
            let failed = loop {
                match feed.next_part() {
                    Ok(false) => break false,
                    Ok(true) => lengths.push(feed.read_to_end(&mut read).unwrap_or(0)),
                    Err(_) => break true,
                }
            };
            writer.join().unwrap();
            assert_eq!((failed, feed.broke_off()), (!said, !said));
            assert!(read == whole);
            let (_, full) = lengths.split_last().unwrap();
            assert!(full.iter().all(|len| *len == 100_000), "{lengths:?}");
        }
    }

    #[test]
    fn cancelling_ends_it() {
        let progress = Progress::default();
        let (mut source, mut feed) = feed(1 << 20, &progress);
        source.write_all(b"some").unwrap();
        source.flush().unwrap();
        progress.cancel();
        assert!(feed.read(&mut [0; 4]).is_err());
        drop(feed);
        assert!(source.write_all(&[0; FEED_BYTES]).is_err(), "who writes hears of it");
    }
}
