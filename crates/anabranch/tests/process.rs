//! The process and its surroundings: background, process id file, log output, supervisor.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        std::thread::yield_now();
    }
}

/// A port that nobody listens on, below those that the system hands to clients: no other test's connection takes it.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 700) as u16 * 10;
    let port = || first + NEXT.fetch_add(1, Ordering::Relaxed) % 1000;
    until("a port is free", || Some(port()).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()))
}

fn serve(dir: &Path, port: u16, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.args(["serve", "--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]).arg(dir.join("data"));
    command.args(flags).current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.env_remove("NOTIFY_SOCKET");
    command
}

/// Ends its process, however the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends a process that is nobody's child, however the test ends.
struct Daemon(u16);

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that has ended already is not to be reached.
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.0)) {
            let _ = stream.write_all(b"SHUTDOWN NOSAVE\r\n");
        }
    }
}

/// Sends a line and reads the reply, a line or a bulk; `None` while nobody listens.
fn ask(port: u16, line: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut reply = String::new();
    reader.read_line(&mut reply).ok().filter(|count| *count > 0)?;
    if let Some(bytes) = reply.strip_prefix('$') {
        let mut bulk = vec![0; bytes.trim().parse().unwrap()];
        reader.read_exact(&mut bulk).ok()?;
        reply = String::from_utf8(bulk).unwrap();
    }
    Some(reply)
}

fn wait_ready(port: u16) {
    assert_eq!(until("the server answers", || ask(port, "PING")), "+PONG\r\n");
}

#[test]
fn a_daemon_leaves_its_pid_and_its_log_and_takes_the_pid_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (port, pid, log) = (free_port(), dir.path().join("pid"), dir.path().join("log"));
    let flags = ["--daemonize", "yes", "--pidfile", pid.to_str().unwrap(), "--logfile", log.to_str().unwrap()];
    let mut started = serve(dir.path(), port, &flags).spawn().unwrap();
    assert!(started.wait().unwrap().success(), "the first process ends at once, and well");
    wait_ready(port);
    let _daemon = Daemon(port);
    let number = until("the process id is written", || {
        std::fs::read_to_string(&pid).ok().and_then(|text| text.trim().parse::<i32>().ok())
    });
    assert_ne!(number as u32, started.id());
    let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap();
    // Behind the name in parentheses: state, parent, group, session.
    let session = stat.rsplit_once(')').unwrap().1.split_ascii_whitespace().nth(3).unwrap().to_owned();
    assert_eq!(session, number.to_string(), "it leads a session of its own");
    until("the log says so", || {
        std::fs::read_to_string(&log).ok().filter(|said| said.contains("Ready to accept connections"))
    });
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"SHUTDOWN\r\n").unwrap();
    until("the daemon ends", || (!pid.exists()).then_some(()));
}

/// Processes whose command line names this file.
fn processes_with(file: &Path) -> Vec<i32> {
    let numbers =
        std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let names_it = |number: &i32| {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == file.as_os_str().as_encoded_bytes())
    };
    numbers.filter(names_it).collect()
}

#[test]
fn a_daemon_lives_on_when_its_terminal_closes_before_it_has_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (port, fifo) = (free_port(), dir.path().join("config"));
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Each process reads its configuration here, so each stands still until it is written.
    let config = || std::fs::OpenOptions::new().write(true).open(&fifo).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_anabranch"));
    command.arg("serve").arg(&fifo).args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--dir"]);
    command.arg(dir.path().join("data")).args(["--daemonize", "yes"]).current_dir(dir.path());
    let mut started = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    drop(config());
    assert!(started.wait().unwrap().success());
    let daemon = until("there is a daemon", || processes_with(&fifo).first().copied());
    // It reads, but has not got to handling signals.
    let mut end = config();
    assert!(Command::new("kill").args(["-HUP", &daemon.to_string()]).status().unwrap().success());
    let survived = end.write_all(b"loglevel notice\n").is_ok();
    drop(end);
    assert!(survived, "SIGHUP has ended it");
    wait_ready(port);
    let _daemon = Daemon(port);
    assert_eq!(processes_with(&fifo), [daemon]);
}

#[test]
fn the_level_of_the_log_can_be_changed_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    let (port, log) = (free_port(), dir.path().join("log"));
    let flags = ["--logfile", log.to_str().unwrap(), "--loglevel", "warning", "--enable-debug-command", "yes"];
    let _running = Running(serve(dir.path(), port, &flags).spawn().unwrap());
    wait_ready(port);
    let said = || std::fs::read_to_string(&log).unwrap();
    ask(port, "DEBUG LOG quietly").unwrap();
    assert_eq!(said(), "");
    assert_eq!(ask(port, "CONFIG SET loglevel notice").unwrap(), "+OK\r\n");
    ask(port, "DEBUG LOG aloud").unwrap();
    assert!(said().contains("aloud") && !said().contains("quietly"), "{}", said());
    assert_eq!(ask(port, "CONFIG SET loglevel warning").unwrap(), "+OK\r\n");
    ask(port, "DEBUG LOG again").unwrap();
    assert!(!said().contains("again"));
}

#[test]
fn a_terminal_that_closes_ends_nothing_and_a_log_that_is_moved_away_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (port, log) = (free_port(), dir.path().join("log"));
    let flags = ["--logfile", log.to_str().unwrap(), "--enable-debug-command", "yes"];
    let running = Running(serve(dir.path(), port, &flags).spawn().unwrap());
    wait_ready(port);
    std::fs::rename(&log, dir.path().join("log.1")).unwrap();
    let sent = Command::new("kill").args(["-HUP", &running.0.id().to_string()]).status().unwrap();
    assert!(sent.success());
    until("the signal is heard", || std::fs::read_to_string(&log).ok().filter(|said| said.contains("SIGHUP")));
    ask(port, "DEBUG LOG anew").unwrap();
    assert!(std::fs::read_to_string(&log).unwrap().contains("anew"));
}

/// Sets strings until one is refused; says how many were not.
fn fill(stream: &mut BufReader<TcpStream>) -> usize {
    let value = "v".repeat(20_000);
    let mut reply = String::new();
    for count in 0..200 {
        stream.get_mut().write_all(format!("SET k{count} {value}\r\n").as_bytes()).unwrap();
        reply.clear();
        stream.read_line(&mut reply).unwrap();
        if reply != "+OK\r\n" {
            assert!(reply.starts_with("-MISCONF"), "{reply}");
            return count;
        }
    }
    panic!("every write was accepted");
}

#[test]
fn what_the_system_refuses_to_write_is_not_acknowledged_and_reads_go_on() {
    for policy in ["everysec", "no", "always"] {
        let dir = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut running = serve_limited(dir.path(), port, policy);
        wait_ready(port);
        let kept = fill(&mut connect(port));
        assert!(kept > 10, "{kept}");
        assert_eq!(ask(port, "STRLEN k0").unwrap(), ":20000\r\n", "{policy}: reads go on");
        running.0.kill().unwrap();
        running.0.wait().unwrap();
        let _again = Running(serve(dir.path(), port, &[]).spawn().unwrap());
        wait_ready(port);
        for key in 0..kept {
            assert_eq!(ask(port, &format!("STRLEN k{key}")).unwrap(), ":20000\r\n", "{policy}: {key} of {kept}");
        }
    }
}

/// A server whose files may have half a MiB or, where a shell counts in KiB, one: to write beyond is an error, not a signal.
fn serve_limited(dir: &Path, port: u16, policy: &str) -> Running {
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_anabranch")]);
    let flags = ["--bind", "127.0.0.1", "--port", &port.to_string(), "--appendfsync", policy, "--dir"];
    limited.arg("serve").args(flags).arg(dir.join("data")).stdout(Stdio::null()).stderr(Stdio::null());
    Running(limited.spawn().unwrap())
}

fn connect(port: u16) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    line
}

#[test]
fn subscribers_get_no_errors_in_place_of_messages_when_the_log_fails() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let _running = serve_limited(dir.path(), port, "always");
    wait_ready(port);
    let (mut subscriber, mut watcher, mut client) = (connect(port), connect(port), connect(port));
    subscriber.get_mut().write_all(b"SUBSCRIBE c\r\n").unwrap();
    let confirmed: Vec<String> = (0..6).map(|_| line(&mut subscriber)).collect();
    assert_eq!(confirmed.concat(), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    watcher.get_mut().write_all(b"MONITOR\r\n").unwrap();
    assert_eq!(line(&mut watcher), "+OK\r\n");
    let kept = fill(&mut client);
    // The last value is in memory and not durable, so whoever reads it is refused, with all of its round.
    client.get_mut().write_all(format!("PUBLISH c m\r\nSTRLEN k{kept}\r\n").as_bytes()).unwrap();
    let answers = [line(&mut client), line(&mut client)];
    assert!(answers.iter().all(|answer| answer.starts_with("-MISCONF")), "{answers:?}");
    subscriber.get_mut().write_all(b"PING\r\n").unwrap();
    assert_eq!(line(&mut subscriber), "*2\r\n", "the next it reads is the answer to its next command");
    watcher.get_mut().write_all(b"QUIT\r\n").unwrap();
    let mut seen = String::new();
    watcher.read_to_string(&mut seen).unwrap();
    assert!(seen.lines().all(|line| line.starts_with('+')) && seen.ends_with("+OK\r\n"), "{seen}");
}

#[test]
fn a_panic_ends_the_process_and_takes_nothing_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (port, log) = (free_port(), dir.path().join("log"));
    let flags = ["--io-threads", "2", "--enable-debug-command", "yes", "--logfile", log.to_str().unwrap()];
    let mut running = Running(serve(dir.path(), port, &flags).spawn().unwrap());
    wait_ready(port);
    assert_eq!(ask(port, "SET k v").unwrap(), "+OK\r\n");
    assert_eq!(ask(port, "DEBUG PANIC"), None);
    let status = until("the process ends", || running.0.try_wait().unwrap());
    assert!(status.signal().is_some(), "{status}");
    assert!(std::fs::read_to_string(&log).unwrap().contains("DEBUG PANIC"));
    let _again = Running(serve(dir.path(), port, &[]).spawn().unwrap());
    wait_ready(port);
    assert_eq!(ask(port, "STRLEN k").unwrap(), ":1\r\n");
}

#[test]
fn systemd_is_told_when_the_server_is_ready_and_when_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = move || {
        let mut bytes = [0; 200];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    for supervised in ["systemd", "auto"] {
        let mut command = serve(dir.path(), port, &["--supervised", supervised]);
        let mut running = Running(command.env("NOTIFY_SOCKET", &path).spawn().unwrap());
        assert!(heard().starts_with("READY=1\n"), "{supervised}");
        assert_eq!(ask(port, "PING").unwrap(), "+PONG\r\n", "ready means that PING is answered");
        let info = ask(port, "INFO server").unwrap();
        assert!(info.contains("process_supervised:systemd\r\n"), "{info}");
        TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"SHUTDOWN\r\n").unwrap();
        assert_eq!(heard(), "STOPPING=1\n");
        assert!(running.0.wait().unwrap().success());
    }
}

#[test]
fn loaded_data_counts_as_data_and_not_as_what_the_start_needed() {
    let dir = tempfile::tempdir().unwrap();
    let value = "v".repeat(8000);
    let data = 1000 * value.len() as u64;
    let figure = |port: u16, name: &str| -> u64 {
        let info = ask(port, "INFO memory").unwrap();
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap().trim().parse().unwrap()
    };
    for start in 0..2 {
        let port = free_port();
        let _running = Running(serve(dir.path(), port, &["--appendfsync", "always"]).spawn().unwrap());
        wait_ready(port);
        if start == 0 {
            let mut pairs = String::from("MSET");
            for key in 0..1000 {
                pairs.push_str(&format!(" {key} {value}"));
            }
            let mut stream = connect(port);
            stream.get_mut().write_all(multibulk(&pairs).as_bytes()).unwrap();
            assert_eq!(line(&mut stream), "+OK\r\n");
        }
        let (dataset, startup) = (figure(port, "used_memory_dataset"), figure(port, "used_memory_startup"));
        assert!(dataset > data, "{dataset} of {data}, after {start} starts");
        assert!(startup > 0 && startup < data, "{startup} beside {data}");
    }
}

/// A command of plain words as clients send it.
fn multibulk(words: &str) -> String {
    let words: Vec<&str> = words.split(' ').collect();
    let bulks: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{bulks}", words.len())
}
