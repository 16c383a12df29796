//! Thousands of clients at once, most of them idle, some of them hostile: the others' work must be complete and right.
//! Everything is counted; nothing here depends on how long it takes.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::conn::{Command, Conn, command, encode};
use crate::resp::Value;
use crate::rng::Rng;
use crate::server::{Fsync, Program, Server};

/// Threads that drive the active connections.
const THREADS: usize = 8;
/// Hostile clients of each kind.
const HOSTILE: usize = 20;
/// A never-reading client asks for so many values of this size.
const UNREAD: usize = 100;
const UNREAD_BYTES: usize = 64 * 1024;

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections that only say PING at the end.
    pub idle: usize,
    /// Connections that work.
    pub active: usize,
    /// Commands of each active connection.
    pub commands: usize,
}

/// Starts a server and runs both parts.
pub fn run(sut: &Program, options: &Options) -> Result<bool> {
    let files = raise_file_limit()?;
    ensure!(
        files as usize > options.idle + options.active + 200,
        "this process may open {files} files; {} connections need more",
        options.idle + options.active
    );
    let dir = tempfile::tempdir()?;
    let flags = ["--maxclients", "20000"];
    let mut server = Server::start(&sut.with(&flags), dir.path(), Some(Fsync::Everysec))?;
    many(&server, options).context("many connections")?;
    hostile(&mut server, options).context("hostile connections")?;
    Ok(true)
}

/// Lets this process (and the servers that it starts) open as many files as it may.
fn raise_file_limit() -> Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    #[expect(unsafe_code, reason = "resource limits are a libc call")]
    // SAFETY: both calls only read and write the struct, which lives here.
    let done = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max.min(65_536);
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
        }
    };
    ensure!(done, "the limit of open files could not be raised: {}", std::io::Error::last_os_error());
    Ok(limit.rlim_cur)
}

fn many(server: &Server, options: &Options) -> Result<()> {
    let mut idle = Vec::with_capacity(options.idle);
    for i in 0..options.idle {
        idle.push(server.open().with_context(|| format!("idle connection {i}"))?);
    }
    let answered = work(server.port(), options.active, options.commands)?;
    ensure!(answered == options.active * options.commands, "{answered} right answers");
    let mut alive = 0;
    for (i, conn) in idle.iter_mut().enumerate() {
        let reply = conn.call(&["PING"]).with_context(|| format!("idle connection {i}"))?;
        ensure!(reply == Value::Simple(b"PONG".to_vec()), "idle connection {i} got {reply}");
        alive += 1;
    }
    println!("crowd: {alive} idle connections alive, {} active ones got {answered} right answers", options.active);
    Ok(())
}

/// `clients` connections, each with `commands` commands on keys of its own, one at a time; all in flight at once.
fn work(port: u16, clients: usize, commands: usize) -> Result<usize> {
    let threads: Vec<_> = (0..THREADS)
        .map(|t| {
            let mine: Vec<usize> = (0..clients).filter(|c| c % THREADS == t).collect();
            std::thread::spawn(move || work_some(port, &mine, commands))
        })
        .collect();
    let mut right = 0;
    for thread in threads {
        right += match thread.join() {
            Ok(result) => result?,
            Err(_) => bail!("a thread of active clients panicked"),
        };
    }
    Ok(right)
}

fn work_some(port: u16, clients: &[usize], commands: usize) -> Result<usize> {
    let mut conns = clients.iter().map(|_| Conn::open(port)).collect::<Result<Vec<_>>>()?;
    let mut right = 0;
    for round in 0..commands {
        for (conn, client) in conns.iter_mut().zip(clients) {
            conn.send(&question(*client, round).0)?;
        }
        for (conn, client) in conns.iter_mut().zip(clients) {
            let (words, expected) = question(*client, round);
            let reply = conn.reply()?;
            ensure!(reply == expected, "client {client}: {words:?} was answered {reply}, not {expected}");
            right += 1;
        }
    }
    Ok(right)
}

/// What a client asks in a round, and the only right answer.
fn question(client: usize, round: usize) -> (Command, Value) {
    let (counter, key) = (format!("c{client}:n"), format!("c{client}:v"));
    let value = format!("value {client} {}", round / 4);
    match round % 4 {
        0 => (command(&["SET", &key, &value]), Value::Simple(b"OK".to_vec())),
        1 => (command(&["GET", &key]), Value::Bulk(value.into_bytes())),
        2 => (command(&["INCR", &counter]), Value::Int((round / 4 + 1) as i64)),
        _ => (command(&["STRLEN", &key]), Value::Int(value.len() as i64)),
    }
}

/// Garbage, halves of frames, clients that never read: they stay while others work, and leave nothing behind.
fn hostile(server: &mut Server, options: &Options) -> Result<()> {
    let mut conn = server.open()?;
    conn.call(&["FLUSHALL"])?;
    conn.call(&[&b"SET"[..], b"big", &vec![b'x'; UNREAD_BYTES]])?;
    let before = connected(&mut conn)?;
    let port = server.port();
    let mut rng = Rng::new(42);
    let mut enemies = Vec::new();
    for kind in 0..3 {
        for _ in 0..HOSTILE {
            enemies.push(enemy(port, kind, &mut rng)?);
        }
    }
    let clients = options.active.min(200);
    let answered = work(port, clients, options.commands)?;
    ensure!(answered == clients * options.commands, "{answered} right answers beside hostile clients");
    ensure!(server.is_alive(), "the server died; it said:\n{}", server.tail());
    let count = enemies.len();
    drop(enemies);
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while connected(&mut conn)? > before {
        ensure!(
            std::time::Instant::now() < deadline,
            "{} clients are still connected, {before} should be",
            connected(&mut conn)?
        );
        std::thread::yield_now();
    }
    println!("crowd: {count} hostile connections, {clients} others got {answered} right answers, nothing left behind");
    Ok(())
}

fn connected(conn: &mut Conn) -> Result<i64> {
    let info = conn.call(&["INFO", "clients"])?.text();
    let line = info.lines().find_map(|l| l.strip_prefix("connected_clients:")).context("connected_clients in INFO")?;
    Ok(line.trim().parse()?)
}

fn enemy(port: u16, kind: usize, rng: &mut Rng) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port))?;
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    let bytes = match kind {
        0 => (0..4096).flat_map(|_| rng.bits().to_le_bytes()).collect(),
        1 => rng
            .pick(&[
                &b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1000000\r\nhalf"[..],
                b"*1000\r\n$4\r\nPING\r\n",
                b"*2\r\n$",
                b"PIN",
            ])
            .to_vec(),
        _ => {
            let mut out = Vec::new();
            (0..UNREAD).for_each(|_| encode(&["GET", "big"], &mut out));
            out
        }
    };
    // The server may close a connection that sends garbage while it still sends; that is its right.
    let _ = stream.write_all(&bytes);
    Ok(stream)
}
