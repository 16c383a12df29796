//! What a process did to a directory: a tree as it was before, and the changes since, each with when it began and had ended.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Result, bail};

/// A file or directory, whatever its name is at the moment.
pub type Inode = usize;

/// The directory itself.
pub const ROOT: Inode = 0;

/// What something is, and a file's bytes before the first change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory; its entries are in the history's names.
    Directory,
    /// A file.
    File(Vec<u8>),
}

/// One entry of a directory changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The directory.
    pub dir: Inode,
    /// The name in it.
    pub name: String,
    /// What it named before.
    pub was: Option<Inode>,
    /// What it names then.
    pub becomes: Option<Inode>,
}

/// What a call changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bytes were written.
    Write { file: Inode, offset: usize, bytes: Vec<u8> },
    /// The file was cut or made longer.
    Size { file: Inode, len: usize },
    /// Room was made: the file is at least as long.
    Reserve { file: Inode, len: usize },
    /// Entries of directories changed, all at once.
    Names(Vec<Edit>),
    /// A file or a directory was made durable.
    Sync(Inode),
}

impl Change {
    /// The file whose bytes change.
    pub fn file(&self) -> Option<Inode> {
        match self {
            Change::Write { file, .. } | Change::Size { file, .. } | Change::Reserve { file, .. } => Some(*file),
            Change::Names(_) | Change::Sync(_) => None,
        }
    }
}

/// A change and when it was made, in lines of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// It had not begun before.
    pub begin: usize,
    /// It was done by then; `NEVER` if the process died first.
    pub end: usize,
    /// What changed.
    pub change: Change,
}

/// The names of a tree: what each directory's entries stand for.
pub type Names = BTreeMap<(Inode, String), Inode>;

/// A tree and its changes, in the order of their ends.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// All files and directories that were ever there.
    pub nodes: Vec<Node>,
    /// The names before the first change.
    pub names: Names,
    /// The changes.
    pub events: Vec<Event>,
}

impl History {
    /// The tree at `dir` as it is, all of it durable.
    pub fn of(dir: &Path) -> Result<History> {
        let mut history = History { nodes: vec![Node::Directory], ..History::default() };
        history.load(dir, ROOT)?;
        Ok(history)
    }

    fn load(&mut self, path: &Path, dir: Inode) -> Result<()> {
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { bail!("a file name that is no text") };
            let kind = entry.file_type()?;
            let inode = self.nodes.len();
            self.names.insert((dir, name), inode);
            if kind.is_dir() {
                self.nodes.push(Node::Directory);
                self.load(&entry.path(), inode)?;
            } else {
                self.nodes.push(Node::File(std::fs::read(entry.path())?));
            }
        }
        Ok(())
    }

    /// The tree before the first change: by path, a file's bytes, or none for a directory.
    pub fn tree(&self) -> BTreeMap<String, Option<&[u8]>> {
        let labels = self.labels();
        let content = |inode: &Inode| match &self.nodes[*inode] {
            Node::File(bytes) => Some(&bytes[..]),
            Node::Directory => None,
        };
        self.names.values().filter_map(|inode| Some((labels.get(inode)?.clone(), content(inode)))).collect()
    }

    /// The names and the lengths of all files when every change has been made.
    pub fn end(&self) -> (Names, HashMap<Inode, usize>) {
        let first = self.nodes.iter().enumerate().filter_map(|(inode, node)| match node {
            Node::File(bytes) => Some((inode, bytes.len())),
            Node::Directory => None,
        });
        let (mut names, mut lens) = (self.names.clone(), first.collect::<HashMap<_, _>>());
        for event in &self.events {
            let (file, len) = match &event.change {
                Change::Names(edits) => {
                    edit(&mut names, edits);
                    continue;
                }
                Change::Sync(_) => continue,
                Change::Write { file, offset, bytes } => (*file, offset + bytes.len()),
                Change::Reserve { file, len } => (*file, *len),
                Change::Size { file, len } => {
                    lens.insert(*file, *len);
                    continue;
                }
            };
            let longest = lens.entry(file).or_default();
            *longest = len.max(*longest);
        }
        (names, lens)
    }

    /// A name for each file and directory that ever had one, for reports.
    pub fn labels(&self) -> HashMap<Inode, String> {
        let mut labels = HashMap::from([(ROOT, ".".to_owned())]);
        let edits = self.events.iter().filter_map(|event| match &event.change {
            Change::Names(edits) => Some(edits),
            _ => None,
        });
        let later = edits.flatten().filter_map(|edit| Some(((edit.dir, edit.name.clone()), edit.becomes?)));
        let all: Vec<_> = self.names.clone().into_iter().chain(later).collect();
        // A directory may be named after what is in it.
        for _ in 0..8 {
            for ((dir, name), inode) in &all {
                if let Some(folder) = labels.get(dir) {
                    let label = if *dir == ROOT { name.clone() } else { format!("{folder}/{name}") };
                    labels.insert(*inode, label);
                }
            }
        }
        labels
    }
}

/// Makes the edits of one change, as far as they still fit: what an entry names by now is not taken away for something else.
pub fn edit(names: &mut Names, edits: &[Edit]) {
    for Edit { dir, name, was, becomes } in edits {
        let place = (*dir, name.clone());
        match becomes {
            Some(inode) => drop(names.insert(place, *inode)),
            None if names.get(&place).copied() == *was => drop(names.remove(&place)),
            None => {}
        }
    }
}
