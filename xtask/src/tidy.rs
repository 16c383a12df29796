//! The shape of the house: each file says first what it holds, none grows without end, each crate has its section with an
//! invariant in ARCHITECTURE.md.

use std::fs;

use anyhow::{Context, Result};

use crate::deps::sources;
use crate::shell::Shell;

/// No file is longer than this; most should be far shorter.
const MOST_LINES: usize = 700;
/// The ratchet: so many files may be longer than [`LONG_LINES`]. It only ever goes down.
const LONG_LINES: usize = 400;
const LONG_FILES: usize = 30;

/// Checks all of it.
pub fn run(shell: &Shell) -> Result<bool> {
    let mut wrong = Vec::new();
    let mut long = 0;
    let mut count = 0;
    let mut folders = vec![shell.root().join("xtask")];
    let mut crates = Vec::new();
    for entry in fs::read_dir(shell.root().join("crates")).context("the folder of crates")? {
        let path = entry?.path();
        if path.join("Cargo.toml").exists() {
            crates.push(path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default());
            folders.push(path);
        }
    }
    for path in folders.iter().map(|f| sources(f)).collect::<Result<Vec<_>>>()?.concat() {
        let text = fs::read_to_string(&path)?;
        let shown = path.strip_prefix(shell.root()).unwrap_or(&path).display().to_string();
        let lines = text.lines().count();
        count += 1;
        long += usize::from(lines > LONG_LINES);
        if !text.starts_with("//!") {
            wrong.push(format!("{shown} does not open with //! lines"));
        }
        if lines > MOST_LINES {
            wrong.push(format!("{shown} has {lines} lines, {MOST_LINES} at most"));
        }
    }
    if long > LONG_FILES {
        wrong.push(format!("{long} files have more than {LONG_LINES} lines, {LONG_FILES} may"));
    }
    let architecture = fs::read_to_string(shell.root().join("ARCHITECTURE.md")).unwrap_or_default();
    crates.sort();
    wrong.extend(crates.iter().filter_map(|krate| missing_room(&architecture, krate)));
    wrong.iter().for_each(|w| println!("untidy: {w}"));
    println!("tidy: {count} files, {long} of them long ({LONG_FILES} may be), {} findings", wrong.len());
    Ok(wrong.is_empty())
}

/// What is wrong with a crate's section, a heading that names the crate.
fn missing_room(architecture: &str, krate: &str) -> Option<String> {
    let names = |line: &str| line.starts_with('#') && line.contains(&format!("`{krate}`"));
    let mut lines = architecture.lines().skip_while(|l| !names(l));
    if lines.next().is_none() {
        return Some(format!("ARCHITECTURE.md has no section on `{krate}`"));
    }
    let has = lines.take_while(|l| !l.starts_with('#')).any(|l| l.contains("Invariant:"));
    (!has).then(|| format!("the section on `{krate}` in ARCHITECTURE.md has no Invariant: line"))
}

#[cfg(test)]
mod tests {
    use super::missing_room;

    #[test]
    fn a_room_needs_its_heading_and_its_invariant() {
        let text = "# House\n## `wal`: the log\ntext\n*Invariant:* none.\n## `resp`\ntext\n";
        assert_eq!(missing_room(text, "wal"), None);
        assert!(missing_room(text, "resp").is_some_and(|w| w.contains("no Invariant")));
        assert!(missing_room(text, "engine").is_some_and(|w| w.contains("no section")));
    }
}
