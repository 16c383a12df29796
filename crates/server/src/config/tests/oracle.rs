//! A real redis-server on a unix socket of its own, and the few lines of RESP that it takes to talk to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use peer::{Listen, Redis};

/// A reply.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Simple(String),
    Error(String),
    Integer(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Reply>),
}

/// A running redis-server; it ends with this value.
pub(super) struct Oracle(Redis);

impl Oracle {
    /// Starts one. `None` if there is none installed: see [`Redis::start`].
    pub(super) fn start() -> Option<Self> {
        Redis::start(Listen::Unix, &[]).map(Self)
    }

    pub(super) fn connect(&self) -> Client {
        Client(BufReader::new(UnixStream::connect(self.0.socket()).unwrap()))
    }
}

/// One connection.
pub(super) struct Client(BufReader<UnixStream>);

impl Client {
    pub(super) fn call(&mut self, args: &[&[u8]]) -> Reply {
        let mut frame = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            frame.extend(format!("${}\r\n", arg.len()).as_bytes());
            frame.extend(*arg);
            frame.extend(b"\r\n");
        }
        self.raw(&frame)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Reply {
        self.0.get_mut().write_all(bytes).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let rest = line[1..].trim_end().to_owned();
        match line.as_bytes()[0] {
            b'+' => Reply::Simple(rest),
            b'-' => Reply::Error(rest),
            b':' => Reply::Integer(rest.parse().unwrap()),
            b'$' if rest == "-1" => Reply::Nil,
            b'$' => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Reply::Bulk(bytes)
            }
            b'*' => Reply::Array((0..rest.parse::<usize>().unwrap()).map(|_| self.reply()).collect()),
            other => panic!("unknown reply type {other}"),
        }
    }

    /// An array of bulk strings.
    pub(super) fn strings(&mut self, args: &[&[u8]]) -> Vec<Vec<u8>> {
        let Reply::Array(items) = self.call(args) else { panic!("not an array: {args:?}") };
        let bulk = |item| match item {
            Reply::Bulk(bytes) => bytes,
            other => panic!("not a string: {other:?}"),
        };
        items.into_iter().map(bulk).collect()
    }
}
