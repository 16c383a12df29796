//! From recorded calls to the history of one directory, and to what left by the sockets.
//!
//! Whatever the model does not know is refused by name rather than passed over: a mapping that is written to, rings, processes of
//! its own, hard copies in the kernel.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::history::{Change, Edit, Event, History, Inode, Names, Node, ROOT, edit};
use super::strace::{Arg, Call};
use unknown::Unknown;

mod unknown;

/// Bytes that left by a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The connection, in the order in which they were accepted.
    pub conn: usize,
    /// The line of the trace before which none of them had left.
    pub begin: usize,
    /// The bytes.
    pub bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Node(Inode),
    Conn(usize),
}

/// An open file; several descriptors may share it.
#[derive(Clone, Copy, Debug)]
struct Open {
    what: What,
    position: usize,
    appends: bool,
}

/// Follows a process.
struct Follower<'a> {
    root: &'a Path,
    cwd: PathBuf,
    history: History,
    names: Names,
    lens: HashMap<Inode, usize>,
    opens: Vec<Open>,
    descriptors: HashMap<i64, usize>,
    sent: Vec<Sent>,
    conns: usize,
}

/// Follows `calls` of a process that was started in `cwd` on the directory `root`, which then was as `history` ends.
pub fn follow(mut calls: Vec<Call>, history: History, root: &Path, cwd: &Path) -> Result<(History, Vec<Sent>)> {
    let (names, lens) = history.end();
    let mut follower = Follower {
        root,
        cwd: cwd.to_owned(),
        history,
        names,
        lens,
        opens: Vec::new(),
        descriptors: HashMap::new(),
        sent: Vec::new(),
        conns: 0,
    };
    // A descriptor may be given anew as soon as its closing has begun; everything else is true when it has ended.
    calls.sort_by_key(|call| if call.name == "close" { (call.begin, 0) } else { (call.end, call.begin) });
    // Threads that know nothing of each other may be seen to end in another order than they had in the kernel: a file can be
    // opened before whoever makes it is seen to have made it.
    let mut early: Vec<&Call> = Vec::new();
    for call in &calls {
        if !follower.follow_one(call)? {
            early.push(call);
            continue;
        }
        for call in std::mem::take(&mut early) {
            if !follower.follow_one(call)? {
                early.push(call);
            }
        }
    }
    if let Some(call) = early.first() {
        bail!("line {} of the trace: what {} is about was never made", call.begin + 1, call.name);
    }
    Ok((follower.history, follower.sent))
}

impl Follower<'_> {
    /// Follows a call, unless it is about a name that is not there yet.
    fn follow_one(&mut self, call: &Call) -> Result<bool> {
        match self.call(call) {
            Err(error) if error.is::<Unknown>() => Ok(false),
            Err(error) => Err(error.context(format!("line {} of the trace: {}", call.begin + 1, call.name))),
            Ok(()) => Ok(true),
        }
    }

    fn call(&mut self, call: &Call) -> Result<()> {
        let args = &call.args;
        match call.name.as_str() {
            "open" | "creat" => self.open(call, None, 0),
            "openat" | "openat2" => self.open(call, Some(0), 1),
            "close" => {
                self.descriptors.remove(&number(args, 0)?);
                Ok(())
            }
            "close_range" => {
                let (from, to) = (number(args, 0)?, number(args, 1).unwrap_or(i64::MAX));
                self.descriptors.retain(|fd, _| !(from..=to).contains(fd));
                Ok(())
            }
            "dup" | "dup2" | "dup3" => self.duplicate(call),
            "fcntl" => match args.get(1).map(|a| a.word.as_str()) {
                Some("F_DUPFD" | "F_DUPFD_CLOEXEC") => self.duplicate(call),
                Some("F_SETFL") if self.node(args, 0).is_some() => bail!("flags that change are not modelled"),
                _ => Ok(()),
            },
            "chdir" => {
                let path = text(args, 0)?;
                self.cwd = self.cwd.join(path);
                Ok(())
            }
            "accept" | "accept4" => {
                self.give(call, What::Conn(self.conns), false);
                self.conns += 1;
                Ok(())
            }
            "read" | "readv" => {
                let read = call.answer.unwrap_or(0) as usize;
                self.opened(args, 0).into_iter().for_each(|open| open.position += read);
                Ok(())
            }
            "lseek" => {
                let to = call.answer.unwrap_or(0) as usize;
                self.opened(args, 0).into_iter().for_each(|open| open.position = to);
                Ok(())
            }
            "write" | "writev" | "sendto" | "sendmsg" | "pwrite64" | "pwritev" | "pwritev2" => self.write(call),
            "ftruncate" | "truncate" | "fallocate" => self.resize(call),
            "fsync" | "fdatasync" => {
                self.node(args, 0).into_iter().for_each(|inode| self.note(call, Change::Sync(inode)));
                Ok(())
            }
            // It promises nothing.
            "sync_file_range" => Ok(()),
            "clone" | "clone3" if call.args.iter().any(|arg| arg.word.contains("CLONE_THREAD")) => Ok(()),
            "mmap" => self.map(args),
            "sendmmsg" | "copy_file_range" | "sendfile" | "splice" => {
                let touched = [0, 1, 2].iter().any(|&at| self.opened(args, at).is_some());
                if touched { bail!("it is not modelled") } else { Ok(()) }
            }
            "fchdir" | "sync" | "syncfs" | "io_uring_setup" | "io_submit" | "clone" | "clone3" | "fork" | "vfork" => {
                bail!("it is not modelled")
            }
            _ => self.rename_or_remove(call),
        }
    }

    fn rename_or_remove(&mut self, call: &Call) -> Result<()> {
        let args = &call.args;
        let (from, to) = match call.name.as_str() {
            "rename" | "link" => (self.place(None, args, 0)?, self.place(None, args, 1)?),
            "renameat" | "renameat2" | "linkat" => (self.place(Some(0), args, 1)?, self.place(Some(2), args, 3)?),
            "unlink" | "rmdir" => (self.place(None, args, 0)?, None),
            "unlinkat" => (self.place(Some(0), args, 1)?, None),
            "mkdir" => return self.make_dir(call, None, 0),
            "mkdirat" => return self.make_dir(call, Some(0), 1),
            _ => {
                let at = if call.name.ends_with("at") { (Some(0), 1) } else { (None, 0) };
                let inside = self.place(at.0, args, at.1).is_ok_and(|place| place.is_some());
                return if inside { bail!("it is not modelled") } else { Ok(()) };
            }
        };
        if args.iter().any(|arg| arg.has("RENAME_EXCHANGE") || arg.has("RENAME_WHITEOUT")) {
            bail!("this way to rename is not modelled");
        }
        let moves = call.name.starts_with("rename");
        if from.is_some() != to.is_some() && !call.name.starts_with("unlink") && call.name != "rmdir" {
            bail!("a name that comes into the directory, or leaves it, is not modelled");
        }
        let Some(from) = from else { return Ok(()) };
        let Some(inode) = self.names.get(&from).copied() else {
            bail!(Unknown(from.1));
        };
        let mut edits = Vec::new();
        if let Some((dir, name)) = to {
            let was = self.names.get(&(dir, name.clone())).copied();
            if was == Some(inode) {
                return Ok(());
            }
            edits.push(Edit { dir, name, was, becomes: Some(inode) });
        }
        if moves || edits.is_empty() {
            edits.push(Edit { dir: from.0, name: from.1, was: Some(inode), becomes: None });
        }
        self.rename(call, edits);
        Ok(())
    }

    fn rename(&mut self, call: &Call, edits: Vec<Edit>) {
        edit(&mut self.names, &edits);
        self.note(call, Change::Names(edits));
    }

    fn make_dir(&mut self, call: &Call, dirfd: Option<usize>, at: usize) -> Result<()> {
        if let Some((dir, name)) = self.place(dirfd, &call.args, at)? {
            self.make(call, dir, name, Node::Directory);
        }
        Ok(())
    }

    fn make(&mut self, call: &Call, dir: Inode, name: String, node: Node) -> Inode {
        let inode = self.history.nodes.len();
        self.history.nodes.push(node);
        self.rename(call, vec![Edit { dir, name, was: None, becomes: Some(inode) }]);
        inode
    }

    fn open(&mut self, call: &Call, dirfd: Option<usize>, at: usize) -> Result<()> {
        let flags = call.args.get(at + 1).cloned().unwrap_or_default();
        let flags = if call.name == "creat" { Arg { word: "O_CREAT|O_TRUNC".into(), bytes: None } } else { flags };
        let inode = match self.whole(dirfd, &call.args, at)? {
            None => return Ok(()),
            Some(path) if path.as_os_str().is_empty() => ROOT,
            Some(path) => {
                let place = self.resolve(&path)?;
                match self.names.get(&place).copied() {
                    Some(inode) => inode,
                    None if flags.has("O_CREAT") => self.make(call, place.0, place.1, Node::File(Vec::new())),
                    None => bail!(Unknown(place.1)),
                }
            }
        };
        if flags.has("O_TRUNC") && self.len(inode) > 0 {
            self.lens.insert(inode, 0);
            self.note(call, Change::Size { file: inode, len: 0 });
        }
        self.give(call, What::Node(inode), flags.has("O_APPEND"));
        Ok(())
    }

    fn give(&mut self, call: &Call, what: What, appends: bool) {
        if let Some(fd) = call.answer {
            self.descriptors.insert(fd, self.opens.len());
            self.opens.push(Open { what, position: 0, appends });
        }
    }

    fn duplicate(&mut self, call: &Call) -> Result<()> {
        let old = self.descriptors.get(&number(&call.args, 0)?).copied();
        if let Some(new) = call.answer {
            match old {
                Some(old) => self.descriptors.insert(new, old),
                None => self.descriptors.remove(&new),
            };
        }
        Ok(())
    }

    fn write(&mut self, call: &Call) -> Result<()> {
        let args = &call.args;
        let Some(open) = self.opened(args, 0).copied() else { return Ok(()) };
        let mut bytes = args.get(1).and_then(|arg| arg.bytes.clone()).unwrap_or_default();
        bytes.truncate(call.answer.map_or(usize::MAX, |n| n as usize));
        let file = match open.what {
            What::Conn(conn) => {
                self.sent.push(Sent { conn, begin: call.begin, bytes });
                return Ok(());
            }
            What::Node(file) => file,
        };
        let offset = match call.name.as_str() {
            "pwrite64" | "pwritev" | "pwritev2" => number(args, 3)? as usize,
            "write" | "writev" if open.appends => self.len(file),
            "write" | "writev" => open.position,
            other => bail!("{other} to a file"),
        };
        let end = offset + bytes.len();
        if !call.name.starts_with("pw") {
            self.opened(args, 0).into_iter().for_each(|open| open.position = end);
        }
        let len = self.len(file).max(end);
        self.lens.insert(file, len);
        self.note(call, Change::Write { file, offset, bytes });
        Ok(())
    }

    fn resize(&mut self, call: &Call) -> Result<()> {
        let args = &call.args;
        if call.name == "truncate" {
            return match self.place(None, args, 0)? {
                Some(_) => bail!("by a path it is not modelled"),
                None => Ok(()),
            };
        }
        let Some(file) = self.node(args, 0) else { return Ok(()) };
        if call.name == "ftruncate" {
            let len = number(args, 1)? as usize;
            self.lens.insert(file, len);
            self.note(call, Change::Size { file, len });
            return Ok(());
        }
        match args.get(1).map(|arg| arg.word.as_str()) {
            Some("0") => {
                let len = (number(args, 2)? + number(args, 3)?) as usize;
                let longer = self.len(file).max(len);
                self.lens.insert(file, longer);
                self.note(call, Change::Reserve { file, len });
                Ok(())
            }
            Some("FALLOC_FL_KEEP_SIZE") => Ok(()),
            mode => bail!("the mode {mode:?} is not modelled"),
        }
    }

    fn map(&self, args: &[Arg]) -> Result<()> {
        let [_, _, prot, flags, ..] = args else { return Ok(()) };
        if self.node(args, 4).is_some() && prot.has("PROT_WRITE") && flags.has("MAP_SHARED") {
            bail!("a file that is written through memory is not modelled");
        }
        Ok(())
    }

    fn note(&mut self, call: &Call, change: Change) {
        self.history.events.push(Event { begin: call.begin, end: call.end, change });
    }

    fn len(&self, inode: Inode) -> usize {
        self.lens.get(&inode).copied().unwrap_or(0)
    }

    fn opened(&mut self, args: &[Arg], at: usize) -> Option<&mut Open> {
        let index = *self.descriptors.get(&args.get(at)?.number()?)?;
        self.opens.get_mut(index)
    }

    fn node(&self, args: &[Arg], at: usize) -> Option<Inode> {
        let index = *self.descriptors.get(&args.get(at)?.number()?)?;
        match self.opens[index].what {
            What::Node(inode) => Some(inode),
            What::Conn(_) => None,
        }
    }

    /// Directory and name of a path argument, if it is in our directory.
    fn place(&self, dirfd: Option<usize>, args: &[Arg], at: usize) -> Result<Option<(Inode, String)>> {
        match self.whole(dirfd, args, at)? {
            Some(path) if path.as_os_str().is_empty() => bail!("the directory itself"),
            Some(path) => self.resolve(&path).map(Some),
            None => Ok(None),
        }
    }

    /// A path argument relative to our directory, if it is in it. What is below an open directory has its number before it.
    fn whole(&self, dirfd: Option<usize>, args: &[Arg], at: usize) -> Result<Option<PathBuf>> {
        let path = PathBuf::from(text(args, at)?);
        if path.is_absolute() {
            return Ok(path.strip_prefix(self.root).ok().map(Path::to_owned));
        }
        match dirfd.and_then(|at| args.get(at)).filter(|dir| dir.word != "AT_FDCWD") {
            None => Ok(self.cwd.join(path).strip_prefix(self.root).ok().map(Path::to_owned)),
            Some(dir) => {
                let node = self.node(std::slice::from_ref(dir), 0);
                Ok(node.map(|inode| Path::new(&format!("/{inode}")).join(path)))
            }
        }
    }

    fn resolve(&self, path: &Path) -> Result<(Inode, String)> {
        let mut dir = ROOT;
        let mut parts = Vec::new();
        for part in path.components() {
            match part {
                Component::Normal(name) => parts.push(name.to_str().context("a name that is text")?),
                Component::CurDir | Component::RootDir => {}
                _ => bail!("{} is not modelled", path.display()),
            }
        }
        if path.is_absolute() {
            dir = parts.remove(0).parse()?;
        }
        let last = parts.pop().context("a name")?;
        for name in parts {
            dir = *self.names.get(&(dir, name.to_owned())).ok_or_else(|| Unknown(name.to_owned()))?;
        }
        Ok((dir, last.to_owned()))
    }
}

fn number(args: &[Arg], at: usize) -> Result<i64> {
    args.get(at).and_then(Arg::number).with_context(|| format!("argument {at} is no number"))
}

fn text(args: &[Arg], at: usize) -> Result<&str> {
    let bytes =
        args.get(at).and_then(|arg| arg.bytes.as_deref()).with_context(|| format!("argument {at} is no path"))?;
    Ok(std::str::from_utf8(bytes)?)
}

#[cfg(test)]
mod tests;
