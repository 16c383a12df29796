//! Servers under test: started on a free loopback port with a data folder, waited for, killed by their own process id.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::conn::Conn;
use crate::resp::Value;

/// The first port that is tried; the next 900 follow.
const FIRST_PORT: u16 = 22_000;
const PORTS: u16 = 900;
/// Ports between those at which processes that were started one after the other begin.
const STRIDE: u16 = 7;

/// A server that is not ready by then is given up.
const START_PATIENCE: Duration = Duration::from_secs(60);

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// When a write is made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fsync {
    /// Before the reply.
    Always,
    /// Once a second.
    Everysec,
    /// When the kernel likes.
    No,
}

impl Fsync {
    /// The word of the directive `appendfsync`.
    pub fn word(self) -> &'static str {
        match self {
            Fsync::Always => "always",
            Fsync::Everysec => "everysec",
            Fsync::No => "no",
        }
    }
}

/// How to start a kind of server.
#[derive(Clone, Debug)]
pub struct Program {
    words: Vec<String>,
    /// A program that replaces itself by the server, or traces it: with its own arguments.
    prefix: Vec<String>,
}

impl Program {
    /// From a command line: `redis-server …` gets Redis' flags, anything else those of `anabranch serve`.
    pub fn parse(line: &str) -> Result<Program> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            bail!("an empty command line starts no server");
        }
        Ok(Program { words, prefix: Vec::new() })
    }

    /// The program with further flags.
    pub fn with(&self, flags: &[&str]) -> Program {
        let mut more = self.clone();
        more.words.extend(flags.iter().map(|&f| f.to_owned()));
        more
    }

    /// The program, bound to one core.
    pub fn on_cpu(&self, cpu: usize) -> Program {
        self.on_cpus(&cpu.to_string())
    }

    /// The program, bound to cores as taskset names them: `0`, `0-1`, `0,2`.
    pub fn on_cpus(&self, cpus: &str) -> Program {
        self.under(&["taskset", "-c", cpus])
    }

    /// What the program prints when it is asked for its version; an error if it cannot be run.
    pub fn version(&self) -> Result<String> {
        let output = Command::new(&self.words[0]).arg("--version").output();
        Ok(String::from_utf8_lossy(&output.with_context(|| format!("run {}", self.display()))?.stdout).into_owned())
    }

    /// Another word of the same binary with its arguments; no server.
    pub fn tool(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(words);
        command
    }

    /// The program, started by another that leaves it its process id.
    pub fn under(&self, prefix: &[&str]) -> Program {
        Program { prefix: prefix.iter().map(|&word| word.to_owned()).collect(), ..self.clone() }
    }

    /// True for redis-server (and valkey-server).
    pub fn is_redis(&self) -> bool {
        let name = Path::new(&self.words[0]).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        name.ends_with("-server")
    }

    /// The command line without the machine's paths, for reports.
    pub fn display(&self) -> String {
        let name = Path::new(&self.words[0]).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        std::iter::once(name.as_str()).chain(self.words[1..].iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    fn command(&self, at: SocketAddr, dir: &Path, fsync: Option<Fsync>) -> Command {
        let line: Vec<&String> = self.prefix.iter().chain(self.words.first()).collect();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]);
        command.args(["--port", &at.port().to_string(), "--bind", &at.ip().to_string(), "--dir"]).arg(dir);
        command.args(["--enable-debug-command", "yes"]);
        if self.is_redis() {
            command.args(["--save", ""]);
            command.args(["--appendonly", if fsync.is_some() { "yes" } else { "no" }]);
        }
        if let Some(fsync) = fsync {
            command.args(["--appendfsync", fsync.word()]);
        }
        // The subcommand comes first where there is one, so the words after the program go before all flags.
        let flags: Vec<_> = command.get_args().map(|a| a.to_owned()).collect();
        let mut whole = Command::new(command.get_program());
        let skip = self.prefix.len();
        whole.args(&flags[..skip]);
        if self.is_redis() {
            whole.args(&flags[skip..]).args(&self.words[1..]);
        } else {
            whole.args(&self.words[1..]).args(&flags[skip..]);
        }
        whole
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    at: SocketAddr,
    dir: PathBuf,
}

/// What is done to a process that is to go on living.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It stands still.
    Stop,
    /// It goes on.
    Continue,
}

/// A port of ours that nobody listens on.
pub fn free_port() -> Result<u16> {
    for _ in 0..PORTS {
        // Harnesses that run side by side begin at different ones.
        let first = (std::process::id() % u32::from(PORTS)) as u16 * STRIDE;
        let port = FIRST_PORT + NEXT_PORT.fetch_add(1, Ordering::Relaxed).wrapping_add(first) % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port from {FIRST_PORT} on")
}

impl Server {
    /// Starts `program` on a free port with its data in `dir` and waits until it answers PING.
    /// `fsync` is the log's policy; `None` asks Redis for no log at all (ours always has one).
    pub fn start(program: &Program, dir: &Path, fsync: Option<Fsync>) -> Result<Server> {
        let mut server = Server::launch(program, dir, fsync)?;
        server.wait_ready(START_PATIENCE)?;
        Ok(server)
    }

    /// The same without the wait.
    pub fn launch(program: &Program, dir: &Path, fsync: Option<Fsync>) -> Result<Server> {
        Server::launch_at(program, (Ipv4Addr::LOCALHOST, free_port()?).into(), dir, fsync)
    }

    /// The same at an address that is ours.
    pub fn launch_at(program: &Program, at: SocketAddr, dir: &Path, fsync: Option<Fsync>) -> Result<Server> {
        let log = File::options().create(true).append(true).open(dir.join("server.out"))?;
        let child = program
            .command(at, dir, fsync)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Server { child, at, dir: dir.to_owned() })
    }

    /// Waits until it answers PING, and no longer than `patience`.
    pub fn wait_ready(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended while starting ({status}); it said:\n{}", self.tail());
            }
            if self.answers().unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the server was not ready after {patience:?}; it said:\n{}", self.tail());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether it is ready, and it is this one: somebody else may have taken the port since it was found free.
    fn answers(&self) -> Result<bool> {
        let mut conn = self.open()?;
        if conn.call(&["PING"])? != Value::Simple(b"PONG".to_vec()) {
            return Ok(false);
        }
        let info = conn.call(&["INFO", "server"])?.text();
        Ok(info.lines().any(|line| line.trim() == format!("process_id:{}", self.child.id())))
    }

    /// All that the server has printed.
    pub fn said(&self) -> Result<String> {
        let said = std::fs::read(self.dir.join("server.out")).context("what the server said")?;
        Ok(String::from_utf8_lossy(&said).into_owned())
    }

    /// The end of what the server printed.
    pub fn tail(&self) -> String {
        let text = std::fs::read(self.dir.join("server.out")).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(3000)..]).into_owned()
    }

    /// What each of its threads waits for in the kernel, as far as we may know: a line each.
    fn threads(&self) -> String {
        let tasks = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(tasks).into_iter().flatten().flatten();
        let part = |task: &Path, name: &str| {
            std::fs::read_to_string(task.join(name)).unwrap_or_default().trim().replace('\n', " < ")
        };
        tasks
            .map(|task| task.path())
            .map(|task| format!("  {}: {} {}\n", part(&task, "comm"), part(&task, "wchan"), part(&task, "stack")))
            .collect()
    }

    /// The port at which it listens.
    pub fn port(&self) -> u16 {
        self.at.port()
    }

    /// Its process id. With a core binding this is the server itself: taskset replaces itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A new connection.
    pub fn open(&self) -> Result<Conn> {
        Conn::connect(self.at)
    }

    /// True while the process lives.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// kill -9, and waits for the end.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Lets it stand still, or go on.
    pub fn pause(&self, pause: Pause) -> Result<()> {
        self.signal(if pause == Pause::Stop { libc::SIGSTOP } else { libc::SIGCONT })
    }

    fn signal(&self, signal: libc::c_int) -> Result<()> {
        #[expect(unsafe_code, reason = "the standard library can only send SIGKILL")]
        // SAFETY: kill(2) touches no memory, and the child has not been waited for, so the id is still its own.
        let sent = unsafe { libc::kill(self.child.id() as libc::pid_t, signal) };
        if sent != 0 {
            bail!("signal {signal} could not be sent: {}", std::io::Error::last_os_error());
        }
        Ok(())
    }

    /// SIGTERM, the polite way, and waits for the end.
    pub fn stop(mut self) -> Result<()> {
        self.signal(libc::SIGTERM)?;
        let deadline = Instant::now() + START_PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!(
                    "the server did not end within {START_PATIENCE:?} of SIGTERM; its threads:\n{}it said:\n{}",
                    self.threads(),
                    self.tail()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error here means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
