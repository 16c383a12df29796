//! What a crash at one moment may take: which changes had been made durable by then, and which are pending.
//!
//! A change is *durable* if it had ended before a sync began that had ended by the moment: of its file, or for names of one of
//! their directories. Every other change that had begun is *pending*: it may be there, or not, or by halves.
//!
//! Names are kept in one of two ways. `ordered`, as journals of ext4 and xfs do: of the pending changes of one directory a prefix
//! survives, and whatever is durable has all before it in its directories. `free`, as POSIX would allow: each on its own. In both a
//! change of names happens at once or not at all (a rename over a file never leaves neither), and bytes that were synced are
//! found under whatever name the file then has.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::history::{Change, History, Inode, Names, edit};

/// How names survive that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// Of each directory a prefix.
    Ordered,
    /// Each for itself.
    Free,
}

/// A moment of a history, by line of the trace.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The history.
    pub history: &'a History,
    /// The line: whatever began behind it has not happened.
    pub at: usize,
    /// Changes of names that may be lost, in order.
    pub names: Vec<usize>,
    /// By file the changes of its bytes that may be lost, in order.
    pub files: BTreeMap<Inode, Vec<usize>>,
    durable_names: BTreeSet<usize>,
}

impl<'a> Moment<'a> {
    /// What is durable and what is pending when line `at` has been written.
    pub fn of(history: &'a History, at: usize, order: Order) -> Moment<'a> {
        let synced = syncs(history, at);
        let safe = |inode: Inode, end: usize| synced.get(&inode).is_some_and(|begin| end < *begin);
        let mut moment =
            Moment { history, at, names: Vec::new(), files: BTreeMap::new(), durable_names: BTreeSet::new() };
        // What is durable takes along, in an ordered journal, whatever its directories had before it.
        let mut taken: BTreeSet<Inode> = BTreeSet::new();
        for (i, event) in history.events.iter().enumerate().rev().filter(|(_, event)| event.begin <= at) {
            match &event.change {
                Change::Names(edits) => {
                    let by_order = order == Order::Ordered && edits.iter().any(|edit| taken.contains(&edit.dir));
                    if by_order || edits.iter().any(|edit| safe(edit.dir, event.end)) {
                        taken.extend(edits.iter().map(|edit| edit.dir));
                        moment.durable_names.insert(i);
                    } else {
                        moment.names.push(i);
                    }
                }
                change => {
                    if let Some(file) = change.file().filter(|file| !safe(*file, event.end)) {
                        moment.files.entry(file).or_default().push(i);
                    }
                }
            }
        }
        moment.names.reverse();
        moment.files.values_mut().for_each(|events| events.reverse());
        moment
    }

    /// The names after the crash, if these pending changes of names survive.
    pub fn names_with(&self, kept: &BTreeSet<usize>) -> Names {
        let mut names = self.history.names.clone();
        for (i, event) in self.history.events.iter().enumerate() {
            if let Change::Names(edits) = &event.change
                && (self.durable_names.contains(&i) || kept.contains(&i))
            {
                edit(&mut names, edits);
            }
        }
        names
    }

    /// Before this line nothing was left to be made durable: what had ended by then survives, whichever way the crash goes. A
    /// file that has been removed does not count, nor a name that goes, for whoever removes needs it no more.
    pub fn safe_until(&self) -> usize {
        let names = self.names_with(&self.names.iter().copied().collect());
        let there: BTreeSet<Inode> = names.into_values().collect();
        let events = &self.history.events;
        let adds = |i: &&usize| match &events[**i].change {
            Change::Names(edits) => edits.iter().any(|edit| edit.becomes.is_some_and(|inode| there.contains(&inode))),
            _ => true,
        };
        let bytes = self.files.iter().filter(|(file, _)| there.contains(file)).flat_map(|(_, pending)| pending);
        let all = self.names.iter().filter(adds).chain(bytes);
        all.map(|i| events[*i].end).min().unwrap_or(usize::MAX)
    }

    /// True for a change that had not ended when the crash came, or that no sync has covered.
    pub fn is_pending(&self, event: usize) -> bool {
        match self.history.events[event].change.file() {
            Some(file) => self.files.get(&file).is_some_and(|pending| pending.contains(&event)),
            None => self.names.contains(&event),
        }
    }
}

/// For each file and directory, when the last sync began that had ended by `at`.
fn syncs(history: &History, at: usize) -> HashMap<Inode, usize> {
    let mut synced: HashMap<Inode, usize> = HashMap::new();
    for event in history.events.iter().filter(|event| event.end <= at) {
        if let Change::Sync(inode) = event.change {
            let begin = synced.entry(inode).or_default();
            *begin = event.begin.max(*begin);
        }
    }
    synced
}

#[cfg(test)]
mod tests {
    use super::super::history::{Edit, Event, Node, ROOT};
    use super::*;

    fn event(begin: usize, end: usize, change: Change) -> Event {
        Event { begin, end, change }
    }

    fn create(name: &str, inode: Inode) -> Change {
        Change::Names(vec![Edit { dir: ROOT, name: name.into(), was: None, becomes: Some(inode) }])
    }

    fn write(offset: usize) -> Change {
        Change::Write { file: 1, offset, bytes: vec![1; 10] }
    }

    fn history(events: Vec<Event>) -> History {
        let nodes = vec![Node::Directory, Node::File(Vec::new()), Node::File(Vec::new())];
        History { nodes, names: Names::new(), events }
    }

    #[test]
    fn a_write_is_durable_only_if_it_had_ended_before_a_sync_began_that_has_ended() {
        let history = history(vec![
            event(0, 0, create("a", 1)),
            event(1, 2, write(0)),
            event(1, 4, write(10)),
            event(3, 6, Change::Sync(1)),
        ]);
        let pending = |at| Moment::of(&history, at, Order::Ordered).files.get(&1).cloned().unwrap_or_default();
        assert_eq!(pending(5), [1, 2], "the sync has not ended");
        assert_eq!(pending(6), [2], "one of them ended after the sync had begun");
    }

    #[test]
    fn a_synced_directory_has_its_names_and_a_synced_file_may_have_none() {
        let history = history(vec![
            event(0, 0, create("a", 1)),
            event(1, 1, Change::Sync(1)),
            event(2, 2, Change::Sync(ROOT)),
            event(3, 3, create("b", 2)),
        ]);
        assert_eq!(Moment::of(&history, 1, Order::Free).names, [0]);
        let moment = Moment::of(&history, 3, Order::Free);
        assert_eq!(moment.names, [3]);
        assert_eq!(moment.names_with(&BTreeSet::new()).len(), 1);
        assert_eq!(moment.names_with(&BTreeSet::from([3])).len(), 2);
    }

    #[test]
    fn nothing_is_safe_behind_a_write_that_no_sync_has_covered() {
        let history = history(vec![
            event(0, 0, create("a", 1)),
            event(1, 1, Change::Sync(ROOT)),
            event(2, 2, write(0)),
            event(3, 4, Change::Sync(1)),
            event(5, 6, write(10)),
        ]);
        let safe = |at| Moment::of(&history, at, Order::Ordered).safe_until();
        assert_eq!([safe(0), safe(1), safe(2), safe(4), safe(5)], [0, usize::MAX, 2, usize::MAX, 6]);
    }
}
