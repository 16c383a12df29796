//! A B+tree addressed by rank: sequences whose leaves are dense blocks of elements.
//!
//! Inner nodes hold, per child, how many elements are below it and its first key. An ordered collection finds a rank
//! by a predicate over keys and then works at that rank; the tree itself compares nothing.

use super::wide::{Epoch, Mark};
use std::ops::Range;

/// Children of an inner node before it splits.
const FANOUT: usize = 32;

/// A block of consecutive elements.
pub(super) trait Leaf: Sized {
    /// What tells where an element stands.
    type Key: Clone;
    /// What is inserted.
    type Item<'i>;

    fn len(&self) -> usize;
    /// The key of the first element; the leaf is not empty.
    fn first(&self) -> Self::Key;
    /// How many leading elements satisfy the predicate.
    fn partition_point(&self, below: &mut dyn FnMut(&Self::Key) -> bool) -> usize;
    /// A leaf of one new element.
    fn single(item: Self::Item<'_>, epoch: Epoch) -> Self;
    /// Inserts before the element at `at` one that is marked as new; when that needs a split, returns the right part.
    fn insert(&mut self, at: usize, item: Self::Item<'_>, epoch: Epoch) -> Option<Self>;
    /// Removes an element and returns the mark that it had.
    fn remove(&mut self, at: usize, epoch: Epoch) -> Mark;
    /// Brings the marks to an epoch.
    fn advance(&mut self, to: Epoch);
    /// Brings the marks to the epoch behind an image that is given up.
    fn give_up(&mut self, to: Epoch);
    /// No element has a row any more: all are new.
    fn renew(&mut self, to: Epoch);
    /// Removes some elements, never all.
    fn remove_range(&mut self, range: Range<usize>);
    /// Whether the leaf is so empty that it should look for a neighbour to merge with.
    fn is_sparse(&self) -> bool;
    /// Moves all elements of the right neighbour here, or does nothing if they do not fit.
    fn absorb(&mut self, right: &mut Self) -> bool;
    /// Bytes of the leaf's own allocations.
    fn heap(&self) -> usize;
}

enum Node<L: Leaf> {
    Leaf(L),
    Inner(Box<Inner<L>>),
}

struct Inner<L: Leaf> {
    counts: Vec<usize>,
    keys: Vec<L::Key>,
    children: Vec<Node<L>>,
}

/// A sequence of elements in leaves.
pub(super) struct Tree<L: Leaf> {
    root: Option<Node<L>>,
    len: usize,
    leaves: usize,
    heap: usize,
    /// As of when the elements' marks are asked for and set.
    epoch: Epoch,
}

/// What an operation below changed in the totals.
#[derive(Default)]
struct Change {
    heap: isize,
    leaves: isize,
    epoch: Epoch,
}

impl Change {
    fn at(epoch: Epoch) -> Self {
        Self { epoch, ..Self::default() }
    }
}

impl<L: Leaf> Node<L> {
    fn count(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.len(),
            Self::Inner(inner) => inner.counts.iter().sum(),
        }
    }

    fn first(&self) -> L::Key {
        match self {
            Self::Leaf(leaf) => leaf.first(),
            Self::Inner(inner) => inner.keys[0].clone(),
        }
    }

    fn insert(&mut self, at: usize, item: L::Item<'_>, change: &mut Change) -> Option<Self> {
        match self {
            Self::Leaf(leaf) => {
                let before = leaf.heap();
                let right = leaf.insert(at, item, change.epoch);
                change.heap += leaf.heap() as isize - before as isize;
                let right = right?;
                change.heap += right.heap() as isize;
                change.leaves += 1;
                Some(Self::Leaf(right))
            }
            Self::Inner(inner) => inner.insert(at, item, change).map(|right| Self::Inner(Box::new(right))),
        }
    }

    /// Adds a leaf before all others, or behind them; answers what stands beside this node then.
    fn add_leaf(&mut self, leaf: L, front: bool) -> Option<Self> {
        match self {
            Self::Leaf(_) => Some(Self::Leaf(leaf)),
            Self::Inner(inner) => inner.add_leaf(leaf, front).map(|beside| Self::Inner(Box::new(beside))),
        }
    }

    /// Lets `visit` change the leaves below in ways that keep their elements.
    fn each_leaf(&mut self, visit: &mut impl FnMut(&mut L)) {
        match self {
            Self::Leaf(leaf) => visit(leaf),
            Self::Inner(inner) => inner.children.iter_mut().for_each(|child| child.each_leaf(visit)),
        }
    }

    fn remove(&mut self, at: usize, change: &mut Change) -> Mark {
        match self {
            Self::Leaf(leaf) => {
                let before = leaf.heap();
                let mark = leaf.remove(at, change.epoch);
                change.heap += leaf.heap() as isize - before as isize;
                mark
            }
            Self::Inner(inner) => inner.remove(at, change),
        }
    }

    /// Removes some elements, never all; nodes that are wholly among them go to `gone`.
    fn remove_range(&mut self, range: Range<usize>, change: &mut Change, gone: &mut Vec<Self>) {
        match self {
            Self::Leaf(leaf) => {
                let before = leaf.heap();
                leaf.remove_range(range);
                change.heap += leaf.heap() as isize - before as isize;
            }
            Self::Inner(inner) => inner.remove_range(range, change, gone),
        }
    }

    /// The leaves below, and their allocations.
    fn weigh(&self) -> Change {
        match self {
            Self::Leaf(leaf) => Change { heap: leaf.heap() as isize, leaves: 1, ..Change::default() },
            Self::Inner(inner) => inner.children.iter().map(Self::weigh).fold(Change::default(), |sum, one| Change {
                heap: sum.heap + one.heap,
                leaves: sum.leaves + one.leaves,
                ..sum
            }),
        }
    }

    /// The result of `change`, and the leaf's heap before and after it.
    fn alter<R>(&mut self, at: usize, change: impl FnOnce(&mut L, usize) -> R) -> (R, usize, usize) {
        match self {
            Self::Leaf(leaf) => {
                let before = leaf.heap();
                let result = change(leaf, at);
                (result, before, leaf.heap())
            }
            Self::Inner(inner) => {
                let (child, place) = inner.child(at, false);
                let result = inner.children[child].alter(place, change);
                if place == 0 {
                    inner.keys[child] = inner.children[child].first();
                }
                result
            }
        }
    }

    fn is_sparse(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.is_sparse(),
            Self::Inner(inner) => inner.children.len() < FANOUT / 4,
        }
    }

    /// Moves all of the right neighbour here if it fits.
    fn absorb(&mut self, right: &mut Self, change: &mut Change) -> bool {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(right)) => {
                let before = left.heap() + right.heap();
                let done = left.absorb(right);
                if done {
                    change.heap += left.heap() as isize - before as isize;
                    change.leaves -= 1;
                }
                done
            }
            (Self::Inner(left), Self::Inner(right)) if left.children.len() + right.children.len() <= FANOUT => {
                left.counts.append(&mut right.counts);
                left.keys.append(&mut right.keys);
                left.children.append(&mut right.children);
                true
            }
            _ => false,
        }
    }
}

impl<L: Leaf> Inner<L> {
    fn pair(left: Node<L>, right: Node<L>) -> Self {
        Self {
            counts: vec![left.count(), right.count()],
            keys: vec![left.first(), right.first()],
            children: vec![left, right],
        }
    }

    /// The child that holds the element at `at`, and the place within; `behind` prefers the end of one child to the
    /// start of the next.
    fn child(&self, mut at: usize, behind: bool) -> (usize, usize) {
        let last = self.counts.len() - 1;
        for (child, count) in self.counts[..last].iter().enumerate() {
            if at < *count || (behind && at == *count) {
                return (child, at);
            }
            at -= count;
        }
        (last, at)
    }

    fn insert(&mut self, at: usize, item: L::Item<'_>, change: &mut Change) -> Option<Self> {
        let (child, place) = self.child(at, true);
        let right = self.children[child].insert(place, item, change);
        self.counts[child] += 1;
        if place == 0 {
            self.keys[child] = self.children[child].first();
        }
        let right = right?;
        let moved = right.count();
        self.counts[child] -= moved;
        self.counts.insert(child + 1, moved);
        self.keys[child] = self.children[child].first();
        self.keys.insert(child + 1, right.first());
        self.children.insert(child + 1, right);
        if self.children.len() <= FANOUT {
            return None;
        }
        // Ends that grow leave full nodes behind; elsewhere both halves keep room.
        let cut = match child + 2 {
            end if end == self.children.len() => FANOUT - 2,
            2 => 3,
            _ => FANOUT / 2,
        };
        Some(Self {
            counts: self.counts.split_off(cut),
            keys: self.keys.split_off(cut),
            children: self.children.split_off(cut),
        })
    }

    fn add_leaf(&mut self, leaf: L, front: bool) -> Option<Self> {
        let (end, added) = (if front { 0 } else { self.children.len() - 1 }, leaf.len());
        let beside = self.children[end].add_leaf(leaf, front);
        let moved = beside.as_ref().map_or(0, Node::count);
        self.counts[end] = self.counts[end] + added - moved;
        self.keys[end] = self.children[end].first();
        let beside = beside?;
        let place = if front { 0 } else { self.children.len() };
        self.counts.insert(place, moved);
        self.keys.insert(place, beside.first());
        self.children.insert(place, beside);
        if self.children.len() <= FANOUT {
            return None;
        }
        // A full node stays behind.
        let some = if front { 0..2 } else { FANOUT - 1..FANOUT + 1 };
        Some(Self {
            counts: self.counts.drain(some.clone()).collect(),
            keys: self.keys.drain(some.clone()).collect(),
            children: self.children.drain(some).collect(),
        })
    }

    /// Takes the first leaf out, or the last. The node may be without children then.
    fn take_leaf(&mut self, front: bool, change: &mut Change) -> L {
        let end = if front { 0 } else { self.children.len() - 1 };
        let leaf = match &mut self.children[end] {
            Node::Inner(inner) => inner.take_leaf(front, change),
            Node::Leaf(_) => {
                self.counts.remove(end);
                self.keys.remove(end);
                match self.children.remove(end) {
                    Node::Leaf(leaf) => return leaf,
                    Node::Inner(_) => unreachable!("it was a leaf"),
                }
            }
        };
        self.counts[end] -= leaf.len();
        if self.counts[end] == 0 {
            self.drop_child(end);
        } else {
            self.keys[end] = self.children[end].first();
            self.fill_up(end, change);
        }
        leaf
    }

    fn remove(&mut self, at: usize, change: &mut Change) -> Mark {
        let (child, place) = self.child(at, false);
        let mark = self.children[child].remove(place, change);
        self.counts[child] -= 1;
        if self.counts[child] == 0 {
            if let Node::Leaf(leaf) = &self.children[child] {
                change.heap -= leaf.heap() as isize;
                change.leaves -= 1;
            }
            self.drop_child(child);
            return mark;
        }
        if place == 0 {
            self.keys[child] = self.children[child].first();
        }
        self.fill_up(child, change);
        mark
    }

    fn remove_range(&mut self, range: Range<usize>, change: &mut Change, gone: &mut Vec<Node<L>>) {
        let (mut start, mut whole) = (0, 0..0);
        for child in 0..self.counts.len() {
            let here = start..start + self.counts[child];
            start = here.end;
            let (from, to) = (range.start.max(here.start), range.end.min(here.end));
            if from >= to {
                continue;
            }
            if to - from == here.len() {
                whole = if whole.is_empty() { child..child + 1 } else { whole.start..child + 1 };
                continue;
            }
            self.children[child].remove_range(from - here.start..to - here.start, change, gone);
            self.counts[child] -= to - from;
            self.keys[child] = self.children[child].first();
        }
        for node in self.children.drain(whole.clone()) {
            let weight = node.weigh();
            change.heap -= weight.heap;
            change.leaves -= weight.leaves;
            gone.push(node);
        }
        self.counts.drain(whole.clone());
        self.keys.drain(whole.clone());
        // What is left of the nodes at both ends may be little.
        for child in [whole.start, whole.start.saturating_sub(1)] {
            if child < self.children.len() {
                self.fill_up(child, change);
            }
        }
    }

    /// Merges a child that has become sparse with a neighbour.
    fn fill_up(&mut self, child: usize, change: &mut Change) {
        if !self.children[child].is_sparse() {
            return;
        }
        for left in [Some(child), child.checked_sub(1)].into_iter().flatten() {
            if let Some((here, rest)) = self.children[left..].split_first_mut()
                && let Some(right) = rest.first_mut()
                && here.absorb(right, change)
            {
                self.counts[left] += self.counts[left + 1];
                return self.drop_child(left + 1);
            }
        }
    }

    fn drop_child(&mut self, child: usize) {
        self.counts.remove(child);
        self.keys.remove(child);
        self.children.remove(child);
    }
}

impl<L: Leaf> Default for Tree<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Leaf> Tree<L> {
    pub(super) fn new() -> Self {
        Self { root: None, len: 0, leaves: 0, heap: 0, epoch: Epoch::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn note(&mut self, change: &Change) {
        self.heap = self.heap.strict_add_signed(change.heap);
        self.leaves = self.leaves.strict_add_signed(change.leaves);
    }

    /// Inserts before the element of rank `at`, which is at most the length.
    pub(super) fn insert(&mut self, at: usize, item: L::Item<'_>) {
        debug_assert!(at <= self.len, "an insertion lies within the sequence");
        self.len += 1;
        let Some(root) = &mut self.root else {
            let leaf = L::single(item, self.epoch);
            self.heap += leaf.heap();
            self.leaves = 1;
            self.root = Some(Node::Leaf(leaf));
            return;
        };
        let mut change = Change::at(self.epoch);
        let right = root.insert(at, item, &mut change);
        self.note(&change);
        if let Some(right) = right
            && let Some(left) = self.root.take()
        {
            self.root = Some(Node::Inner(Box::new(Inner::pair(left, right))));
        }
    }

    /// Adds a leaf before all others, or behind them.
    pub(super) fn add_leaf(&mut self, leaf: L, front: bool) {
        self.len += leaf.len();
        self.heap += leaf.heap();
        self.leaves += 1;
        let root = match self.root.take() {
            None => Node::Leaf(leaf),
            Some(mut root) => match (root.add_leaf(leaf, front), front) {
                (None, _) => root,
                (Some(left), true) => Node::Inner(Box::new(Inner::pair(left, root))),
                (Some(right), false) => Node::Inner(Box::new(Inner::pair(root, right))),
            },
        };
        self.root = Some(root);
    }

    /// Takes the first leaf out, or the last.
    pub(super) fn take_leaf(&mut self, front: bool) -> Option<L> {
        let mut change = Change::default();
        let leaf = match self.root.take()? {
            Node::Leaf(leaf) => leaf,
            Node::Inner(mut inner) => {
                let leaf = inner.take_leaf(front, &mut change);
                self.root = Some(Node::Inner(inner));
                leaf
            }
        };
        self.note(&change);
        self.len -= leaf.len();
        self.heap -= leaf.heap();
        self.leaves -= 1;
        self.lower();
        Some(leaf)
    }

    /// Removes the element of rank `at`, which is below the length, and returns the mark that it had.
    pub(super) fn remove(&mut self, at: usize) -> Mark {
        debug_assert!(at < self.len, "a removal lies within the sequence");
        let Some(root) = &mut self.root else { return Mark::New };
        let mut change = Change::at(self.epoch);
        let mark = root.remove(at, &mut change);
        self.note(&change);
        self.len -= 1;
        if self.len == 0 {
            *self = Self { epoch: self.epoch, ..Self::new() };
            return mark;
        }
        self.lower();
        mark
    }

    /// Removes the elements of these ranks and returns what is to be freed of them, in time proportional to the leaves.
    pub(super) fn remove_range(&mut self, range: Range<usize>) -> Leaves<L> {
        debug_assert!(range.end <= self.len, "a removal lies within the sequence");
        if range.is_empty() {
            return Leaves(Vec::new());
        }
        if range.len() == self.len {
            let rest = Self { epoch: self.epoch, ..Self::new() };
            return std::mem::replace(self, rest).into_leaves();
        }
        let (mut change, mut gone) = (Change::default(), Vec::new());
        self.len -= range.len();
        if let Some(root) = &mut self.root {
            root.remove_range(range, &mut change, &mut gone);
        }
        self.note(&change);
        self.lower();
        Leaves(gone)
    }

    /// A root with one child gives way to it.
    fn lower(&mut self) {
        while let Some(Node::Inner(inner)) = &mut self.root
            && inner.children.len() == 1
        {
            self.root = inner.children.pop();
        }
    }

    /// How many leading elements satisfy the predicate, which holds for a prefix of the sequence.
    pub(super) fn partition_point(&self, mut below: impl FnMut(&L::Key) -> bool) -> usize {
        let mut rank = 0;
        let Some(mut node) = self.root.as_ref() else { return 0 };
        loop {
            match node {
                Node::Leaf(leaf) => return rank + leaf.partition_point(&mut below),
                Node::Inner(inner) => {
                    let Some(child) = inner.keys.partition_point(&mut below).checked_sub(1) else { return rank };
                    rank += inner.counts[..child].iter().sum::<usize>();
                    node = &inner.children[child];
                }
            }
        }
    }

    /// The leaf that holds the element of this rank, and the rank of its first element.
    pub(super) fn leaf_at(&self, rank: usize) -> Option<(&L, usize)> {
        if rank >= self.len {
            return None;
        }
        let mut node = self.root.as_ref()?;
        let mut place = rank;
        loop {
            match node {
                Node::Leaf(leaf) => return Some((leaf, rank - place)),
                Node::Inner(inner) => {
                    let (child, within) = inner.child(place, false);
                    place = within;
                    node = &inner.children[child];
                }
            }
        }
    }

    /// Lets `change` alter the leaf of the element in ways that keep its length.
    pub(super) fn alter<R>(&mut self, rank: usize, change: impl FnOnce(&mut L, usize) -> R) -> Option<R> {
        if rank >= self.len {
            return None;
        }
        let (result, before, after) = self.root.as_mut()?.alter(rank, change);
        self.heap = self.heap + after - before;
        Some(result)
    }

    /// As of when the elements' marks are meant.
    #[inline]
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// An image begins, or is written.
    pub(super) fn next_epoch(&mut self) {
        self.epoch = self.epoch.next();
    }

    /// Brings the marks of all elements to the present epoch.
    pub(super) fn advance_all(&mut self) {
        let epoch = self.epoch;
        self.each_leaf(|leaf| leaf.advance(epoch));
    }

    /// The image is given up: what belonged to it has changed. In time proportional to the leaves.
    pub(super) fn give_up(&mut self) {
        let (now, next) = (self.epoch, self.epoch.next());
        self.each_leaf(|leaf| {
            leaf.advance(now);
            leaf.give_up(next);
        });
        self.epoch = next;
    }

    /// No element has a row any more: all are new.
    pub(super) fn renew(&mut self) {
        let epoch = self.epoch;
        self.each_leaf(|leaf| leaf.renew(epoch));
    }

    /// Lets `visit` change the marks of all leaves.
    fn each_leaf(&mut self, mut visit: impl FnMut(&mut L)) {
        let mut heap = 0;
        if let Some(root) = &mut self.root {
            root.each_leaf(&mut |leaf| {
                visit(leaf);
                heap += leaf.heap();
            });
        }
        self.heap = heap;
    }

    /// The tree taken apart, to be freed in slices.
    pub(super) fn into_leaves(self) -> Leaves<L> {
        Leaves(self.root.into_iter().collect())
    }

    /// Bytes of the leaves, and about those of the inner nodes.
    pub(super) fn memory_bytes(&self) -> usize {
        let per_leaf = size_of::<usize>() + size_of::<L::Key>() + size_of::<Node<L>>();
        self.heap + self.leaves * per_leaf * 3 / 2
    }

    /// Asserts that counts, keys and totals are those of the leaves, and all leaves equally deep.
    pub(super) fn validate(&self, same: &impl Fn(&L::Key, &L::Key) -> bool) {
        fn walk<L: Leaf>(node: &Node<L>, same: &impl Fn(&L::Key, &L::Key) -> bool) -> (usize, usize, usize, usize) {
            match node {
                Node::Leaf(leaf) => {
                    assert!(leaf.len() > 0, "a leaf is empty");
                    (leaf.len(), 1, leaf.heap(), 0)
                }
                Node::Inner(inner) => {
                    assert!((1..=FANOUT).contains(&inner.children.len()));
                    assert_eq!(inner.counts.len(), inner.children.len());
                    assert_eq!(inner.keys.len(), inner.children.len());
                    let (mut len, mut leaves, mut heap, mut depth) = (0, 0, 0, None);
                    for (at, child) in inner.children.iter().enumerate() {
                        let below = walk(child, same);
                        assert_eq!(below.0, inner.counts[at], "a count is wrong");
                        assert!(same(&child.first(), &inner.keys[at]), "a first key is stale");
                        assert_eq!(*depth.get_or_insert(below.3), below.3, "leaves differ in depth");
                        (len, leaves, heap) = (len + below.0, leaves + below.1, heap + below.2);
                    }
                    (len, leaves, heap, depth.map_or(0, |below| below + 1))
                }
            }
        }
        let found = self.root.as_ref().map_or((0, 0, 0, 0), |root| walk(root, same));
        assert_eq!((found.0, found.1, found.2), (self.len, self.leaves, self.heap), "totals are wrong");
    }
}

/// What is left of a tree that is being freed.
pub(super) struct Leaves<L: Leaf>(Vec<Node<L>>);

impl<L: Leaf> Leaves<L> {
    /// Takes in one more leaf.
    pub(super) fn add(&mut self, leaf: L) {
        self.0.push(Node::Leaf(leaf));
    }
}

impl<L: Leaf> Iterator for Leaves<L> {
    type Item = L;

    fn next(&mut self) -> Option<L> {
        loop {
            match self.0.pop()? {
                Node::Leaf(leaf) => return Some(leaf),
                Node::Inner(inner) => self.0.extend(inner.children),
            }
        }
    }
}
