//! A connection to a server, for commands about it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use resp::{ReplyDecoder, Value};

/// How long an answer may take: no command that is asked here does any work before it answers.
const PATIENCE: Duration = Duration::from_secs(60);

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// See the module.
pub struct Client {
    stream: Box<dyn Stream>,
    decoder: ReplyDecoder,
}

impl Client {
    /// Connects to `HOST:PORT`, or to a socket if that has a slash.
    pub fn connect(server: &str, password_file: Option<&Path>) -> anyhow::Result<Self> {
        let stream: Box<dyn Stream> = match server.contains('/') {
            true => {
                let stream = UnixStream::connect(server).with_context(|| server.to_owned())?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
            false => {
                let stream = TcpStream::connect(server).with_context(|| format!("{server}: no connection"))?;
                stream.set_read_timeout(Some(PATIENCE))?;
                Box::new(stream)
            }
        };
        let mut client = Self { stream, decoder: ReplyDecoder::new() };
        if let Some(path) = password_file {
            let password = std::fs::read(path).with_context(|| path.display().to_string())?;
            client.ask(&[b"AUTH", password.trim_ascii_end()])?;
        }
        Ok(client)
    }

    /// Sends a command and answers its reply, if that is no error.
    pub fn ask(&mut self, words: &[&[u8]]) -> anyhow::Result<Value> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.write_all(&bytes).context("the server cannot be written to")?;
        let mut buffer = [0; 16 << 10];
        loop {
            match self.decoder.next_value().context("the server answers with something else than RESP")? {
                Some(Value::Error(text)) => bail!("{}", String::from_utf8_lossy(&text)),
                Some(value) => return Ok(value),
                None => {}
            }
            let len = self.stream.read(&mut buffer).context("the server does not answer")?;
            if len == 0 {
                bail!("the server has closed the connection");
            }
            self.decoder.feed(&buffer[..len]);
        }
    }
}
