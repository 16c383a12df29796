//! Configuration as lines: from files with what they include, from standard input, from flags.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use effect::glob;

use super::error::{ConfigError, Place};
use super::table::table;
use super::words::split_line;

/// How deep files may include files. A file that includes itself ends here instead of never.
const MAX_INCLUDE_DEPTH: usize = 16;

/// One directive with its arguments.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) place: Place,
    /// As it was written, for error messages.
    pub(super) text: Vec<u8>,
    /// The directive as it was written.
    pub(super) name: Vec<u8>,
    pub(super) args: Vec<Vec<u8>>,
}

impl Line {
    /// An error at this line, which is quoted, but for what must not be read over a shoulder.
    pub(super) fn error(&self, reason: impl Into<String>) -> ConfigError {
        let text = if is_secret(&self.name) { not_shown(&self.name) } else { self.text.clone() };
        error_at(self.place.clone(), &text, reason)
    }

    pub(super) fn is_include(&self) -> bool {
        self.name.eq_ignore_ascii_case(b"include")
    }
}

/// Whether what follows this name may be a password; that of `user`, a line of Redis' own, is.
fn is_secret(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"user") || table().find(name).is_some_and(|at| table().row(at).secret)
}

fn not_shown(name: &[u8]) -> Vec<u8> {
    [name, b" (not shown)"].concat()
}

fn error_at(place: Place, text: &[u8], reason: impl Into<String>) -> ConfigError {
    let line = String::from_utf8_lossy(text).into_owned();
    ConfigError::Line { place, line, reason: reason.into() }
}

/// One line of text, or `None` for a comment or a blank one.
pub(super) fn parse_line(text: &[u8], place: Place) -> Result<Option<Line>, ConfigError> {
    let text = text.trim_ascii();
    if text.first() == Some(&b'#') {
        return Ok(None);
    }
    let Some(words) = split_line(text) else {
        let name = text.split(u8::is_ascii_whitespace).next().unwrap_or_default();
        let text = if is_secret(name) { not_shown(name) } else { text.to_vec() };
        return Err(error_at(place, &text, "Unbalanced quotes in configuration line"));
    };
    let mut words = words.into_iter();
    Ok(words.next().map(|name| Line { place, text: text.to_vec(), name, args: words.collect() }))
}

/// The lines of a file, each include replaced by what it includes.
pub(super) fn read_file(path: &Path) -> Result<Vec<Line>, ConfigError> {
    let mut lines = Vec::new();
    include_file(path, 0, &mut lines)?;
    Ok(lines)
}

/// The lines of a text that stands in the file `path`, includes replaced.
pub(super) fn read_text(text: &[u8], path: &Path) -> Result<Vec<Line>, ConfigError> {
    let mut lines = Vec::new();
    add_text(text, &|number| Place::File(path.to_owned(), number), 0, &mut lines)?;
    Ok(lines)
}

/// The lines of standard input, includes replaced.
pub(super) fn read_stdin() -> Result<Vec<Line>, ConfigError> {
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).map_err(ConfigError::Stdin)?;
    let mut lines = Vec::new();
    add_text(&text, &Place::Stdin, 0, &mut lines)?;
    Ok(lines)
}

/// The lines that flags stand for, includes replaced.
pub(super) fn from_flags(flags: &[(Vec<u8>, Vec<Vec<u8>>)]) -> Result<Vec<Line>, ConfigError> {
    let mut lines = Vec::new();
    for (name, args) in flags {
        let text = std::iter::once(name).chain(args).map(|w| super::words::quote_if_needed(w)).collect::<Vec<_>>();
        let line = Line { place: Place::CommandLine, text: text.join(&b' '), name: name.clone(), args: args.clone() };
        add_line(line, 0, &mut lines)?;
    }
    Ok(lines)
}

fn include_file(path: &Path, depth: usize, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    let text = std::fs::read(path).map_err(|source| ConfigError::Open { path: path.to_owned(), source })?;
    add_text(&text, &|number| Place::File(path.to_owned(), number), depth, lines)
}

fn add_text(
    text: &[u8],
    place: &dyn Fn(usize) -> Place,
    depth: usize,
    lines: &mut Vec<Line>,
) -> Result<(), ConfigError> {
    for (index, text) in text.split(|b| *b == b'\n').enumerate() {
        if let Some(line) = parse_line(text, place(index + 1))? {
            add_line(line, depth, lines)?;
        }
    }
    Ok(())
}

fn add_line(line: Line, depth: usize, lines: &mut Vec<Line>) -> Result<(), ConfigError> {
    if !line.is_include() {
        lines.push(line);
        return Ok(());
    }
    let [pattern] = line.args.as_slice() else {
        return Err(line.error("wrong number of arguments"));
    };
    if depth == MAX_INCLUDE_DEPTH {
        return Err(line.error(format!("files include each other more than {MAX_INCLUDE_DEPTH} deep")));
    }
    for path in expand(pattern) {
        include_file(&path, depth + 1, lines)?;
    }
    Ok(())
}

/// The files that a pattern stands for, in alphabetical order; the path itself if it has no wildcard.
fn expand(pattern: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let pattern = Path::new(std::ffi::OsStr::from_bytes(pattern));
    if glob::is_literal(pattern.as_os_str().as_bytes()) {
        return vec![pattern.to_owned()];
    }
    let mut paths = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        if glob::is_literal(part.as_bytes()) {
            paths.iter_mut().for_each(|path| path.push(part));
        } else {
            paths = paths.iter().flat_map(|directory| entries_like(directory, part.as_bytes())).collect();
        }
    }
    paths.retain(|path| path.exists());
    paths
}

fn entries_like(directory: &Path, pattern: &[u8]) -> Vec<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let Ok(entries) = std::fs::read_dir(here) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok().map(|e| e.file_name()));
    // As a shell has it, a wildcard does not stand for the dot that hides a file.
    let visible = |name: &[u8]| name.first() != Some(&b'.') || pattern.first() == Some(&b'.');
    let mut paths: Vec<PathBuf> = names
        .filter(|name| visible(name.as_bytes()) && glob::matches(pattern, name.as_bytes()))
        .map(|name| directory.join(name))
        .collect();
    paths.sort();
    paths
}
