//! One blocking connection with pipelining: send as much as you like, read the replies in order.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::resp::Value;

/// A server that has not answered for this long counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command: its name and arguments.
pub type Command = Vec<Vec<u8>>;

/// A connection to a server.
#[derive(Debug)]
pub struct Conn {
    stream: TcpStream,
    buffer: Vec<u8>,
    read: usize,
}

/// Makes a command of words.
pub fn command<T: AsRef<[u8]>>(words: &[T]) -> Command {
    words.iter().map(|w| w.as_ref().to_vec()).collect()
}

/// Appends `words` to `out` as a RESP array of bulk strings.
pub fn encode<T: AsRef<[u8]>>(words: &[T], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        let word = word.as_ref();
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

impl Conn {
    /// Connects to `port` of the loopback interface.
    pub fn open(port: u16) -> Result<Conn> {
        Conn::connect((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Connects.
    pub fn connect(at: SocketAddr) -> Result<Conn> {
        let stream = TcpStream::connect_timeout(&at, PATIENCE).with_context(|| format!("connect to {at}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Conn { stream, buffer: Vec::new(), read: 0 })
    }

    /// Connects and switches to RESP3.
    pub fn open3(port: u16) -> Result<Conn> {
        let mut conn = Conn::open(port)?;
        if let Value::Error(e) = conn.call(&["HELLO", "3"])? {
            bail!("HELLO 3 was refused: {}", String::from_utf8_lossy(&e));
        }
        Ok(conn)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("send")
    }

    /// Sends one command without waiting for its reply.
    pub fn send<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Result<()> {
        let mut bytes = Vec::new();
        encode(words, &mut bytes);
        self.send_raw(&bytes)
    }

    /// Sends one command and reads one reply.
    pub fn call<T: AsRef<[u8]>>(&mut self, words: &[T]) -> Result<Value> {
        self.send(words)?;
        self.reply()
    }

    /// Sends all commands at once and reads all replies.
    pub fn pipeline(&mut self, commands: &[Command]) -> Result<Vec<Value>> {
        let mut bytes = Vec::new();
        commands.iter().for_each(|c| encode(c, &mut bytes));
        self.send_raw(&bytes)?;
        commands.iter().map(|_| self.reply()).collect()
    }

    /// The next reply.
    pub fn reply(&mut self) -> Result<Value> {
        loop {
            if let Some((value, len)) = Value::parse(&self.buffer[self.read..])? {
                self.read += len;
                return Ok(value);
            }
            self.buffer.drain(..std::mem::take(&mut self.read));
            let mut chunk = [0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(n) => self.buffer.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e).context("wait for a reply"),
            }
        }
    }

    /// A second handle of the same socket, for a thread that only writes.
    pub fn writer(&self) -> Result<TcpStream> {
        Ok(self.stream.try_clone()?)
    }

    /// Changes how long [`Conn::reply`] waits.
    pub fn set_patience(&self, patience: Duration) -> Result<()> {
        Ok(self.stream.set_read_timeout(Some(patience))?)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        super::encode(&[&b"GET"[..], b"a\r\n"], &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\na\r\n\r\n");
    }
}
