//! Connections as TCP gives them: in order, late, and until they break. Between two connections there is no order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// One direction of a connection.
#[derive(Debug, Default)]
struct Pipe {
    frames: VecDeque<Item>,
    /// When the last of them arrives.
    last_ms: i64,
}

/// What arrives.
#[derive(Debug)]
pub enum Item {
    /// The connection is open.
    Open,
    /// A frame.
    Frame(Vec<u8>),
    /// The other side has closed it.
    Close,
}

/// A connection between two starts of two nodes.
#[derive(Debug)]
struct Conn {
    /// The ends: node, and which of its starts.
    ends: [(u64, u32); 2],
    pipes: [Pipe; 2],
}

/// All connections, and which ways are blocked.
#[derive(Debug, Default)]
pub struct Net {
    conns: BTreeMap<u64, Conn>,
    next: u64,
    /// Nothing gets from the first to the second.
    pub blocked: BTreeSet<(u64, u64)>,
}

impl Net {
    /// Opens a connection; its number.
    pub fn open(&mut self, a: (u64, u32), b: (u64, u32)) -> u64 {
        self.next += 1;
        self.conns.insert(self.next, Conn { ends: [a, b], pipes: Default::default() });
        self.next
    }

    /// Whether these two starts are connected.
    pub fn joins(&self, a: (u64, u32), b: (u64, u32)) -> bool {
        self.conns.values().any(|c| c.ends == [a, b] || c.ends == [b, a])
    }

    /// All connections of a node.
    pub fn of(&self, node: u64) -> Vec<u64> {
        self.conns.iter().filter(|(_, c)| c.ends.iter().any(|end| end.0 == node)).map(|(id, _)| *id).collect()
    }

    /// Number and ends of all connections.
    pub fn all(&self) -> Vec<u64> {
        self.conns.keys().copied().collect()
    }

    /// Puts something on its way towards `node`; when it arrives, unless something is in the way.
    pub fn put(&mut self, id: u64, from: u64, item: Item, arrives_ms: i64) -> Option<(usize, i64)> {
        let conn = self.conns.get_mut(&id)?;
        let way = usize::from(conn.ends[0].0 != from);
        let pipe = &mut conn.pipes[way];
        pipe.last_ms = pipe.last_ms.max(arrives_ms);
        pipe.frames.push_back(item);
        Some((way, pipe.last_ms))
    }

    /// Whether the way is blocked.
    pub fn is_blocked(&self, id: u64, way: usize) -> bool {
        self.conns.get(&id).is_some_and(|c| self.blocked.contains(&(c.ends[way].0, c.ends[1 - way].0)))
    }

    /// The end of that way.
    pub fn end(&self, id: u64, way: usize) -> Option<(u64, u32)> {
        self.conns.get(&id).map(|c| c.ends[1 - way])
    }

    /// What arrives next at the end of that way.
    pub fn take(&mut self, id: u64, way: usize) -> Option<Item> {
        self.conns.get_mut(&id)?.pipes[way].frames.pop_front()
    }

    /// Forgets a connection.
    pub fn remove(&mut self, id: u64) {
        self.conns.remove(&id);
    }
}
