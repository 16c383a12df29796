//! The pure crates stay pure: no runtime, no sockets, files, clocks or random generators, neither as dependencies nor in
//! their sources.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell::Shell;

/// Crates whose time, randomness and I/O are handed in.
const PURE: &[&str] = &["effect", "resp", "rdb", "command", "causal"];
/// What must not be reachable from them. (`command` reaches `wal` through `engine`, but may not name its files.)
const FORBIDDEN: &[&str] = &["tokio", "mio", "socket2", "rustls", "rand", "archive", "backup", "cluster", "server"];
/// What must not be said in their sources.
const WORDS: &[&str] = &[
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "Instant::now",
    "SystemTime::now",
    "UNIX_EPOCH",
    "thread_rng",
    "RandomState::new",
];

/// Checks all of it.
pub fn run(shell: &Shell) -> Result<bool> {
    let mut wrong = Vec::new();
    for krate in PURE {
        for bad in FORBIDDEN {
            // An inverse tree of something that is not there is an error: that is what we want to see.
            let (found, text) = shell.cargo_output(&["tree", "-e", "normal", "-p", krate, "-i", bad])?;
            let absent = text.contains("did not match any packages") || text.contains("nothing to print");
            ensure!(found || absent, "cargo tree -p {krate} -i {bad} said: {text}");
            if found && text.lines().any(|l| l.contains(&format!("{krate} v"))) {
                wrong.push(format!("{krate} depends on {bad}"));
            }
        }
        let folder = shell.root().join("crates").join(krate).join("src");
        let files = sources(&folder)?;
        let tests = test_modules(&files)?;
        for path in files.iter().filter(|p| !tests.iter().any(|t| p.starts_with(t) || p.with_extension("") == *t)) {
            for (line, text) in code_lines(&fs::read_to_string(path)?) {
                for bad in WORDS.iter().filter(|w| text.contains(**w)) {
                    let shown = path.strip_prefix(shell.root()).unwrap_or(path).display();
                    wrong.push(format!("{shown}:{line} says {bad}"));
                }
            }
        }
    }
    wrong.iter().for_each(|w| println!("forbidden: {w}"));
    println!(
        "deps: {} crates checked against {} crates and {} words, {} findings",
        PURE.len(),
        FORBIDDEN.len(),
        WORDS.len(),
        wrong.len()
    );
    Ok(wrong.is_empty())
}

/// All Rust files below `folder`.
pub fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                // A workspace of its own within a crate is built there, and what libraries generate lies beside it.
                if path.file_name().is_none_or(|name| name != "target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Modules that are declared under `#[cfg(test)]`: their files, without extension.
fn test_modules(files: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)?;
        let mut under_test = false;
        for line in text.lines() {
            match line.strip_prefix("mod ").and_then(|l| l.strip_suffix(';')) {
                Some(name) if under_test => found.push(module_folder(file).join(name)),
                _ => under_test = line.starts_with("#[cfg(test)]") || (under_test && line.starts_with("#[")),
            }
        }
    }
    Ok(found)
}

/// Where the modules of a file live.
fn module_folder(file: &Path) -> PathBuf {
    match file.file_stem().and_then(|s| s.to_str()) {
        Some("lib" | "mod" | "main") => file.with_file_name(""),
        _ => file.with_extension(""),
    }
}

/// Lines that are neither comments nor part of a `mod tests` at the file's end, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line))
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[cfg(test)]
mod tests {
    use super::code_lines;

    #[test]
    fn comments_and_tests_are_no_code() {
        let text = "//! std::net\nuse a;\n    // Instant::now\nlet b;\nmod tests {\n std::fs }\n";
        assert_eq!(code_lines(text).collect::<Vec<_>>(), [(2, "use a;"), (4, "let b;")]);
    }
}
