//! What strace writes, as calls: name, arguments, answer, and between which lines of the trace the call ran.
//!
//! ```text
//!   17 pwrite64(5, "\x41\x42", 2, 64 <unfinished ...>     line 8: it begins
//!   17 <... pwrite64 resumed>) = 2                        line 11: it has ended
//! ```
//! strace is one thread: it stops a thread at the beginning and at the end of each call, and lets it go on only when the line is
//! written. So if one call caused another, its end stands before the other's beginning.
//!
//! Every string is asked for in hexadecimal, so that no argument holds a bracket, a comma or a quote.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What is recorded: whatever changes files or says which file is meant, what leaves by sockets, and what would escape the model.
const CALLS: &str = "open,openat,openat2,creat,close,close_range,dup,dup2,dup3,fcntl,chdir,fchdir,read,readv,write,pwrite64,\
writev,pwritev,pwritev2,lseek,truncate,ftruncate,fallocate,fsync,fdatasync,sync_file_range,sync,syncfs,rename,renameat,renameat2,\
link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,mknod,mknodat,mmap,copy_file_range,sendfile,splice,io_uring_setup,\
io_submit,accept,accept4,sendto,sendmsg,sendmmsg,clone,clone3,fork,vfork";

/// Strings up to this many bytes are recorded whole; a longer one is an error here.
const STRING_BYTES: &str = "268435456";

/// The command line that records into `file` whatever stands behind it. The recorder is a grandchild (`-D`), so the process
/// that was started is the server itself.
pub fn command(file: &Path) -> Vec<String> {
    let words =
        ["strace", "-D", "-f", "-q", "-xx", "-a", "1", "--seccomp-bpf", "-e", "signal=KILL", "-s", STRING_BYTES];
    let mut line: Vec<String> = words.iter().map(|&w| w.to_owned()).collect();
    line.extend(["-e".to_owned(), format!("trace={CALLS}"), "-o".to_owned(), file.display().to_string()]);
    line
}

/// Whether strace can be run.
pub fn is_there() -> bool {
    std::process::Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// Its end did not come: the process died first.
pub const NEVER: usize = usize::MAX;

/// An argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arg {
    /// As it is written, unless it holds strings.
    pub word: String,
    /// The bytes of its strings, one after the other.
    pub bytes: Option<Vec<u8>>,
}

impl Arg {
    /// Its number, if it is one.
    pub fn number(&self) -> Option<i64> {
        self.word.parse().ok()
    }

    /// Whether one of the flags that are joined by bars is this.
    pub fn has(&self, flag: &str) -> bool {
        self.word.split('|').any(|word| word == flag)
    }
}

/// A call that did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// What it answered; nothing if it never returned.
    pub answer: Option<i64>,
    /// The line at which it began.
    pub begin: usize,
    /// The line at which it had ended, or [`NEVER`].
    pub end: usize,
}

/// Reads a whole trace, whose first line has the number `first`.
pub fn parse(text: &str, first: usize) -> Result<Vec<Call>> {
    let mut calls = Vec::new();
    let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
    for (at, line) in (first..).zip(text.lines()) {
        let read = || format!("line {} of the trace: {:.120}", at + 1, line);
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") || rest.starts_with("????") {
            continue;
        }
        if let Some(head) = rest.strip_suffix("<unfinished ...>") {
            open.insert(thread, (at, head.trim_end()));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, tail) = resumed.split_once("resumed>").with_context(read)?;
            let (begin, head) = open.remove(thread).with_context(read)?;
            calls.extend(call(&format!("{head}{tail}"), begin, at).with_context(read)?);
        } else {
            calls.extend(call(rest, at, at).with_context(read)?);
        }
    }
    for (begin, head) in open.into_values() {
        calls.extend(call(&format!("{head}) = ?"), begin, NEVER).with_context(|| format!("line {}", begin + 1))?);
    }
    Ok(calls)
}

/// A call from its text; none if it failed, for then it did nothing.
fn call(text: &str, begin: usize, end: usize) -> Result<Option<Call>> {
    let (name, rest) = text.split_once('(').context("a bracket")?;
    let (args, answer) = rest.rsplit_once(") = ").context("an answer")?;
    let answer = answer.split_whitespace().next().unwrap_or("?");
    let (answer, end) = match answer {
        "?" => (None, NEVER),
        _ => match answer.strip_prefix("0x") {
            Some(_) => (Some(0), end),
            None => (Some(answer.parse::<i64>().context("a number as the answer")?), end),
        },
    };
    if answer.is_some_and(|answer| answer < 0) {
        return Ok(None);
    }
    let args = split(args).into_iter().map(argument).collect::<Result<_>>()?;
    Ok(Some(Call { name: name.to_owned(), args, answer, begin, end }))
}

/// Splits at the commas that stand in no bracket.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(text[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[from..].trim());
    parts
}

fn argument(text: &str) -> Result<Arg> {
    if !text.contains('"') {
        return Ok(Arg { word: text.to_owned(), bytes: None });
    }
    let mut bytes = Vec::new();
    for (i, part) in text.split('"').enumerate() {
        if i % 2 == 1 {
            unhex(part, &mut bytes)?;
        } else if part.starts_with("...") {
            bail!("a string was cut short by the recorder");
        }
    }
    Ok(Arg { word: String::new(), bytes: Some(bytes) })
}

/// `\x41\x42` as bytes.
fn unhex(text: &str, out: &mut Vec<u8>) -> Result<()> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|d| d as u8);
    out.reserve(text.len() / 4);
    let (chunks, rest) = text.as_bytes().as_chunks::<4>();
    for chunk in chunks {
        match (chunk, digit(chunk[2]), digit(chunk[3])) {
            ([b'\\', b'x', ..], Some(high), Some(low)) => out.push(high << 4 | low),
            _ => bail!("a string that is not in hexadecimal"),
        }
    }
    if rest.is_empty() { Ok(()) } else { bail!("half a byte in a string") }
}

#[cfg(test)]
mod tests {
    use super::{NEVER, parse};

    #[test]
    fn a_call_in_two_parts_has_its_beginning_and_its_end() {
        let text =
            "7 pwrite64(5, \"\\x41\\x42\", 2, 64 <unfinished ...>\n8 fsync(3) = 0\n7 <... pwrite64 resumed>) = 2\n";
        let calls = parse(text, 0).unwrap();
        assert_eq!((calls[0].name.as_str(), calls[0].begin, calls[0].end), ("fsync", 1, 1));
        let write = &calls[1];
        assert_eq!((write.begin, write.end, write.answer), (0, 2, Some(2)));
        assert_eq!(write.args[1].bytes.as_deref(), Some(&b"AB"[..]));
        assert_eq!(write.args[3].number(), Some(64));
    }

    #[test]
    fn what_failed_is_left_out_and_what_never_returned_has_no_end() {
        let text = "7 openat(AT_FDCWD, \"\\x61\", O_RDWR|O_CREAT) = -1 ENOENT (No such file)\n7 rename(\"\\x61\", \"\\x62\" <unfinished ...>\n7 +++ killed by SIGKILL +++\n";
        let calls = parse(text, 0).unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].name.as_str(), calls[0].end, calls[0].answer), ("rename", NEVER, None));
    }

    #[test]
    fn vectors_are_joined_and_flags_are_words() {
        let text = "7 writev(3, [{iov_base=\"\\x61\", iov_len=1}, {iov_base=\"\\x62\", iov_len=1}], 2) = 2\n7 openat(AT_FDCWD, \"\\x61\", O_RDWR|O_TRUNC, 0644) = 4\n";
        let calls = parse(text, 0).unwrap();
        assert_eq!(calls[0].args[1].bytes.as_deref(), Some(&b"ab"[..]));
        assert!(calls[1].args[2].has("O_TRUNC") && !calls[1].args[2].has("O_CREAT"));
    }

    #[test]
    fn a_string_that_was_cut_short_is_refused() {
        assert!(parse("7 write(3, \"\\x61\"..., 2) = 2\n", 0).is_err());
    }
}
