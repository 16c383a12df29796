//! Golden transcripts: commands with the replies that must come back. The format is described in `tests/golden/README.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use crate::conn::Conn;

mod pattern;

pub use pattern::Pattern;

/// How long `blocked n` waits for its condition.
const PATIENCE: Duration = Duration::from_secs(20);

/// One line of a transcript.
#[derive(Debug)]
enum Line {
    Case(String),
    Send(usize, Vec<Vec<u8>>),
    Expect(usize, Pattern),
    Blocked(i64),
}

/// A transcript, read and understood.
#[derive(Debug)]
pub struct Transcript {
    /// The file's name.
    pub name: String,
    lines: Vec<(usize, Line)>,
}

/// What became of a transcript.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cases that were as written.
    pub passed: usize,
    /// One text for each case that was not.
    pub failures: Vec<String>,
}

impl Transcript {
    /// Reads a file; a line that cannot be understood is an error.
    pub fn read(path: &Path) -> Result<Transcript> {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(path).with_context(|| format!("read {name}"))?;
        Transcript::parse(&name, &text)
    }

    /// Understands the text of a transcript.
    pub fn parse(name: &str, text: &str) -> Result<Transcript> {
        let mut lines = Vec::new();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parsed = parse_line(line).with_context(|| format!("{name}:{}: {line}", i + 1))?;
            lines.push((i + 1, parsed));
        }
        Ok(Transcript { name: name.to_owned(), lines })
    }

    /// Plays it against the server on `port`. A case ends at its first wrong reply; the next one begins anew.
    pub fn play(&self, port: u16) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let cases = self.lines.split(|(_, line)| matches!(line, Line::Case(_))).skip(1);
        let names =
            self.lines.iter().filter_map(|(_, line)| if let Line::Case(name) = line { Some(name) } else { None });
        for (case, name) in cases.zip(names) {
            let mut player = Player::start(port)?;
            match case.iter().try_for_each(|(at, line)| player.step(*at, line)) {
                Ok(()) => outcome.passed += 1,
                Err(e) => outcome.failures.push(format!("{}: {name}: {e:#}", self.name)),
            }
        }
        Ok(outcome)
    }
}

fn parse_line(line: &str) -> Result<Line> {
    if let Some(name) = line.strip_prefix("== ") {
        return Ok(Line::Case(name.to_owned()));
    }
    if let Some(n) = line.strip_prefix("blocked ") {
        return Ok(Line::Blocked(n.parse()?));
    }
    let digits = line.len() - line.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let who = if digits == 0 { 0 } else { line[..digits].parse()? };
    match line[digits..].split_at_checked(2) {
        Some(("> ", words)) => Ok(Line::Send(who, pattern::words(words)?)),
        Some(("< ", reply)) => Ok(Line::Expect(who, Pattern::parse(reply)?)),
        _ => bail!("neither a command, a reply, a case nor a condition"),
    }
}

struct Player {
    port: u16,
    conns: BTreeMap<usize, Conn>,
    sent: BTreeMap<usize, Vec<String>>,
}

impl Player {
    fn start(port: u16) -> Result<Player> {
        Conn::open(port)?.call(&["FLUSHALL"])?;
        Ok(Player { port, conns: BTreeMap::new(), sent: BTreeMap::new() })
    }

    fn conn(&mut self, who: usize) -> Result<&mut Conn> {
        if !self.conns.contains_key(&who) {
            self.conns.insert(who, Conn::open(self.port)?);
        }
        self.conns.get_mut(&who).ok_or_else(|| anyhow!("connection {who} is missing"))
    }

    fn step(&mut self, at: usize, line: &Line) -> Result<()> {
        match line {
            Line::Case(_) => Ok(()),
            Line::Send(who, words) => {
                let words: Vec<Vec<u8>> = words.iter().map(|w| moment(w)).collect();
                let shown = words.iter().map(|w| crate::resp::escape(w)).collect::<Vec<_>>().join(" ");
                self.sent.entry(*who).or_default().push(shown);
                self.conn(*who)?.send(&words)
            }
            Line::Expect(who, pattern) => {
                let reply = self.conn(*who)?.reply().with_context(|| format!("line {at}"))?;
                let sent = self.sent.entry(*who).or_default();
                let command = if sent.is_empty() { String::from("(nothing sent)") } else { sent.remove(0) };
                if pattern.matches(&reply) {
                    Ok(())
                } else {
                    bail!("line {at}: {command}: expected {pattern}, got {reply}")
                }
            }
            Line::Blocked(n) => wait_blocked(self.port, *n).with_context(|| format!("line {at}")),
        }
    }
}

/// `@s+100` and `@ms-5` as the moment that they mean; other words as they are.
fn moment(word: &[u8]) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let text = std::str::from_utf8(word).unwrap_or_default();
    let (base, offset) = match text.strip_prefix("@ms") {
        Some(offset) => (now.as_millis() as i64, offset),
        None => match text.strip_prefix("@s") {
            Some(offset) => (now.as_secs() as i64, offset),
            None => return word.to_vec(),
        },
    };
    match offset.parse::<i64>() {
        Ok(offset) => (base + offset).to_string().into_bytes(),
        Err(_) => word.to_vec(),
    }
}

/// Waits until the server counts `n` blocked clients.
pub fn wait_blocked(port: u16, n: i64) -> Result<()> {
    let mut conn = Conn::open(port)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let info = conn.call(&["INFO", "clients"])?.text();
        let blocked = info.lines().find_map(|l| l.strip_prefix("blocked_clients:")).and_then(|v| v.trim().parse().ok());
        if blocked == Some(n) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("blocked_clients is {blocked:?}, not {n}, after {PATIENCE:?}");
        }
        std::thread::yield_now();
    }
}

/// Plays every transcript of `folder` against the server on `port`, except those whose name is in `skip`.
pub fn run(folder: &Path, port: u16, only: Option<&str>) -> Result<bool> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .context("the folder of transcripts")?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "txt"))
        .collect();
    paths.sort();
    let (mut passed, mut failed) = (0, 0);
    for path in paths {
        let transcript = Transcript::read(&path)?;
        if only.is_some_and(|only| !transcript.name.contains(only)) {
            continue;
        }
        let outcome = transcript.play(port)?;
        println!("{:4} passed {:3} failed  {}", outcome.passed, outcome.failures.len(), transcript.name);
        outcome.failures.iter().for_each(|f| println!("       {f}"));
        passed += outcome.passed;
        failed += outcome.failures.len();
    }
    println!("golden transcripts: {passed} cases passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Transcript, moment};

    #[test]
    fn all_transcripts_of_the_repository_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "txt") {
                let transcript = Transcript::read(&path).unwrap();
                assert!(transcript.lines.len() > 3, "{} is empty", transcript.name);
                count += 1;
            }
        }
        assert!(count >= 10);
    }

    #[test]
    fn a_line_of_no_kind_is_an_error() {
        assert!(Transcript::parse("t", "== a\n> GET k\n< +OK\n").is_ok());
        assert!(Transcript::parse("t", "GET k").is_err());
        assert!(Transcript::parse("t", "> GET \"k").is_err());
        assert!(Transcript::parse("t", "< [1, 2").is_err());
    }

    #[test]
    fn moments_are_numbers_and_other_words_stay() {
        assert!(moment(b"@s+100").len() == 10 && moment(b"@ms-1").len() == 13);
        assert_eq!(moment(b"@home"), b"@home");
        assert_eq!(moment(b"@s+x"), b"@s+x");
    }
}
