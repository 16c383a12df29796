//! The same bytes to a real Redis and to the decoder: the same errors, the same commands.
//!
//! Runs against the binary that `ANABRANCH_REDIS_SERVER` names, or `/usr/bin/redis-server`; without either, it says so
//! and passes.
#![allow(clippy::print_stderr, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use resp::{ArgRanges, Decoder, Limits, Progress, ReplyDecoder, Value, write_command, write_double_17};

struct Redis {
    process: Child,
    dir: PathBuf,
}

impl Redis {
    /// Starts a server that listens on a socket file only, so that it needs no port.
    fn start() -> Option<Self> {
        let binary = std::env::var("ANABRANCH_REDIS_SERVER").unwrap_or("/usr/bin/redis-server".into());
        if !Path::new(&binary).exists() {
            eprintln!("no redis-server at {binary}: nothing was compared");
            return None;
        }
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("resp-differential-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let process = Command::new(binary)
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket", "redis.sock"])
            .current_dir(&dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut redis = Self { process, dir };
        redis.wait_until_ready();
        Some(redis)
    }

    fn wait_until_ready(&mut self) {
        let mut output = std::io::BufReader::new(self.process.stdout.take().unwrap());
        let mut line = String::new();
        while std::io::BufRead::read_line(&mut output, &mut line).unwrap() > 0 {
            if line.contains("Ready to accept connections") || line.contains("ready to accept connections") {
                break;
            }
            line.clear();
        }
        // Its log goes on; somebody has to read it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.dir.join("redis.sock")).unwrap()
    }

    /// Everything that Redis replies to `stream` until it closes.
    fn replies(&self, stream: &[u8]) -> Vec<u8> {
        let mut socket = self.connect();
        // A server that has closed already may refuse the rest.
        let _ = socket.write_all(stream);
        let mut replies = Vec::new();
        let _ = socket.read_to_end(&mut replies);
        replies
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// What a server made of this decoder says, if ECHO, PING and QUIT are all its commands.
fn ours(stream: &[u8], limits: &Limits) -> Vec<u8> {
    let (mut decoder, mut args, mut out) = (Decoder::new(), ArgRanges::new(), Vec::new());
    let mut rest = stream;
    loop {
        match decoder.decode(rest, limits, &mut args) {
            Ok(Progress::Partial { .. }) => return out,
            Ok(Progress::Command { consumed }) => {
                let args = args.view(rest);
                let mut reply = resp::Reply::new(&mut out, resp::Protocol::Resp2);
                match args[0].to_ascii_uppercase().as_slice() {
                    b"ECHO" if args.len() == 2 => reply.bulk(&args[1]),
                    b"ECHO" => reply.error("ERR wrong number of arguments for 'echo' command"),
                    b"PING" => reply.simple("PONG"),
                    b"QUIT" => {
                        reply.ok();
                        return out;
                    }
                    name => panic!("{} is no command of this test", name.escape_ascii()),
                }
                rest = &rest[consumed..];
            }
            Err(error) => {
                error.write(&mut out);
                return out;
            }
        }
    }
}

#[test]
fn streams_get_the_replies_and_the_errors_that_redis_gives() {
    let Some(redis) = Redis::start() else { return };
    let long = |head: &str, len: usize| [head.as_bytes().to_vec(), vec![b'1'; len]].concat();
    let mut streams: Vec<Vec<u8>> = [
        &b"*x\r\n"[..],
        b"*2147483648\r\n",
        b"*-1\r\nPING",
        b"*-5\r\nPING",
        b"*0\r\nPING",
        b"*01\r\n$4\r\nPING\r\n",
        b"*+1\r\n",
        b"* 1\r\n",
        b"*\r\n",
        b"*1\n$4\r\nPING\r\n",
        b"*1\r\n$4\n\r\nPING\r\n",
        b"*1\r\n+4\r\n",
        b"*1\r\n\r\n",
        b"*1\r\n\xff\r\n",
        b"*1\r\n\n\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$536870913\r\n",
        b"*1\r\n$04\r\nPING\r\n",
        b"*1\r\n$\r\n",
        b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$-0\r\n",
        b"\r\n\r\nPING",
        b"\n\nPING\n",
        b"PING\r\r\n",
        b"   \r\nPING",
        b"\"PI\\x4eG\"",
        b"\"PING",
        b"'PING",
        b"\"PING\"x",
        b"'PING'x",
        b"PI\"NG\"",
        b"ECHO \"a\\n\\r\\t\\b\\a\\q\\\"\\\\\"",
        b"ECHO 'a\\'b\\n'",
        b"ECHO a\\x41",
        b"ECHO \"\"",
        b"ECHO \"\\xzz\"",
        b"ECHO\ta\x0bb",
        b"ECHO a\x0cb",
        b"ECHO a\rb",
        b"PING\r\n*1\r\n$4\r\nPING\r\n*x\r\n",
        b"*999999999999999999999999999999\r\n",
        b"*1\r\n$999999999999999999999999999999\r\n",
        b"*-0\r\nPING",
        b"*0\r\r\nPING",
        b"*1\rx$4\r\nPING\r\n",
        b"*2\r\n$4\r\nECHO\r\n$3\r\na\r\n\r\n",
        b"*2\r\n$4\r\nECHO\r\n$5\r\na\0b\r\n\r\n",
    ]
    .iter()
    .map(|stream| stream.to_vec())
    .collect();
    // Whatever the stream leaves open, the connection comes to an end.
    streams.iter_mut().for_each(|stream| stream.extend(b"\r\nQUIT\r\n"));
    // These end in an error by themselves. In Redis what comes behind them in the same read may rescue them.
    streams.extend([long("", 65537), long("*", 65536), long("*1\r\n$", 65536)]);
    for stream in streams {
        let (theirs, ours) = (redis.replies(&stream), ours(&stream, &Limits::default()));
        let shown = stream[..stream.len().min(80)].escape_ascii();
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string(), "to {shown}");
    }
}

#[test]
fn before_authentication_the_limits_and_errors_are_those_of_redis() {
    let Some(redis) = Redis::start() else { return };
    let mut socket = redis.connect();
    socket.write_all(b"CONFIG SET requirepass secret\r\n").unwrap();
    socket.read_exact(&mut [0; 5]).unwrap();
    for stream in [&b"*11\r\n"[..], b"*1\r\n$16385\r\n", b"*x\r\n", b"*2147483648\r\n", b"*2\r\n$536870913\r\n"] {
        let (theirs, ours) = (redis.replies(stream), ours(stream, &Limits::unauthenticated()));
        assert_eq!(ours.escape_ascii().to_string(), theirs.escape_ascii().to_string(), "to {}", stream.escape_ascii());
    }
}

#[test]
fn doubles_with_17_digits_print_as_redis_7_0_prints_scores() {
    let Some(redis) = Redis::start() else { return };
    let mut socket = redis.connect();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut values = vec![0.1, 1e17, 1e16, 123456.789, 1e-4, 1e-5, 5e-324, f64::MAX, f64::INFINITY, 1e-7, 1.5];
    while values.len() < 2000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let value = if values.len() % 2 == 0 { f64::from_bits(state) } else { (state >> 40) as f64 / 1000.0 };
        if !value.is_nan() {
            values.push(value);
        }
    }
    let mut stream = Vec::new();
    for value in &values {
        // A long member keeps the score out of the compact encoding, which prints whole numbers its own way.
        let member = [b'm'; 100];
        write_command(&mut stream, [&b"ZADD"[..], b"z", format!("{value:e}").as_bytes(), &member]);
        write_command(&mut stream, [&b"ZSCORE"[..], b"z", &member]);
    }
    stream.extend(b"QUIT\r\n");
    let mut writer = socket.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&stream).unwrap());
    let (mut decoder, mut bytes) = (ReplyDecoder::new(), Vec::new());
    socket.read_to_end(&mut bytes).unwrap();
    sender.join().unwrap();
    decoder.feed(&bytes);
    for value in values {
        assert!(matches!(decoder.next_value(), Ok(Some(Value::Int(_)))));
        let mut text = Vec::new();
        write_double_17(&mut text, value);
        assert_eq!(decoder.next_value(), Ok(Some(Value::Bulk(text))));
    }
}
