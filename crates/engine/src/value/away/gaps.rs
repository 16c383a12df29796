//! `Gaps`: where elements of an ordered value are away, and how many.

use std::ops::Range;

/// How many elements in order are away between which keys, both included. There may be others in memory between them.
///
/// *Invariant:* gaps do not overlap, ascend, and none is empty.
#[derive(Default)]
pub(in crate::value) struct Gaps<K> {
    firsts: Vec<K>,
    lasts: Vec<K>,
    counts: Vec<u32>,
    elements: usize,
}

/// Where a rank lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    /// At this rank among the elements in memory.
    Here(usize),
    /// In this gap.
    Gap(usize),
}

impl<K: Ord + Clone> Gaps<K> {
    pub(in crate::value) fn new() -> Self {
        Self { firsts: Vec::new(), lasts: Vec::new(), counts: Vec::new(), elements: 0 }
    }

    /// How many elements are away.
    pub(in crate::value) fn elements(&self) -> usize {
        self.elements
    }

    pub(in crate::value) fn len(&self) -> usize {
        self.counts.len()
    }

    /// First key, last key and elements of a gap.
    pub(in crate::value) fn get(&self, at: usize) -> Option<(&K, &K, usize)> {
        Some((self.firsts.get(at)?, self.lasts.get(at)?, *self.counts.get(at)? as usize))
    }

    /// The first gap that does not end before the key.
    pub(in crate::value) fn from(&self, key: &K) -> usize {
        self.lasts.partition_point(|last| last < key)
    }

    /// The first gap that does not end at the key or before it.
    pub(in crate::value) fn behind(&self, key: &K) -> usize {
        self.lasts.partition_point(|last| last <= key)
    }

    /// The gap in which the key lies.
    pub(in crate::value) fn find(&self, key: &K) -> Option<usize> {
        let at = self.from(key);
        self.firsts.get(at).filter(|first| *first <= key).map(|_| at)
    }

    /// How many of the first gaps end at keys that satisfy `below`, which holds for all before a bound.
    pub(in crate::value) fn with_last(&self, below: impl Fn(&K) -> bool) -> usize {
        self.lasts.partition_point(below)
    }

    /// The largest of the gaps that lie between two keys, or across them.
    pub(in crate::value) fn touched(&self, first: &K, last: &K) -> Option<(&K, &K, usize)> {
        let end = self.firsts.partition_point(|other| other <= last);
        (self.from(first)..end).filter_map(|at| self.get(at)).max_by_key(|(.., count)| *count)
    }

    /// How many elements are away in the first gaps, of which there are `gaps`.
    pub(in crate::value) fn before(&self, gaps: usize) -> usize {
        self.counts[..gaps].iter().map(|count| *count as usize).sum()
    }

    /// One of a gap's elements is away no more. The gap goes with its last one.
    pub(in crate::value) fn take_one(&mut self, at: usize) {
        self.elements -= 1;
        self.counts[at] -= 1;
        if self.counts[at] == 0 {
            self.remove(at);
        }
    }

    fn remove(&mut self, at: usize) {
        self.firsts.remove(at);
        self.lasts.remove(at);
        self.elements -= self.counts.remove(at) as usize;
    }

    /// So many elements between two keys are away from now on. One gap is made of it and of those that it touches.
    pub(in crate::value) fn add(&mut self, mut first: K, mut last: K, mut count: usize) {
        let at = self.from(&first);
        let end = self.firsts.partition_point(|other| *other <= last);
        if at < end {
            count += self.counts[at..end].iter().map(|count| *count as usize).sum::<usize>();
            first = first.min(self.firsts[at].clone());
            last = last.max(self.lasts[end - 1].clone());
            self.elements -= self.counts[at..end].iter().map(|count| *count as usize).sum::<usize>();
        }
        self.elements += count;
        self.firsts.splice(at..end, [first]);
        self.lasts.splice(at..end, [last]);
        self.counts.splice(at..end, [u32::try_from(count).unwrap_or(u32::MAX)]);
    }

    /// Adds a gap behind all others.
    pub(in crate::value) fn push(&mut self, first: K, last: K, count: usize) -> Option<()> {
        let follows = self.lasts.last().is_none_or(|before| *before < first) && first <= last;
        let count = u32::try_from(count).ok().filter(|count| follows && *count > 0)?;
        self.firsts.push(first);
        self.lasts.push(last);
        self.counts.push(count);
        self.elements += count as usize;
        Some(())
    }

    /// Makes one gap of two neighbours, if they have at most `most` elements together.
    pub(in crate::value) fn join(&mut self, at: usize, most: usize) {
        if let [one, other] = self.counts[at..(at + 2).min(self.counts.len())]
            && (one + other) as usize <= most
        {
            self.lasts.remove(at);
            self.firsts.remove(at + 1);
            self.counts[at] += self.counts.remove(at + 1);
        }
    }

    /// Where a rank lies among all elements; `place` answers how many elements in memory come before a key, or, if `behind` is
    /// said, not behind it.
    fn locate(&self, rank: usize, place: &impl Fn(&K, bool) -> usize) -> Spot {
        let sums = self.sums();
        let (mut low, mut high) = (0, self.len());
        // The first gap that begins behind the rank.
        while low < high {
            let middle = (low + high) / 2;
            if place(&self.firsts[middle], false) + sums[middle] <= rank {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(before) = low.checked_sub(1) else { return Spot::Here(rank) };
        let end = place(&self.lasts[before], true) + sums[low];
        if rank < end { Spot::Gap(before) } else { Spot::Here(rank - sums[low]) }
    }

    /// These ranks among the elements in memory; `None`: some lie in a gap.
    pub(in crate::value) fn here(
        &self,
        ranks: &Range<usize>,
        place: &impl Fn(&K, bool) -> usize,
    ) -> Option<Range<usize>> {
        let at = |rank| match self.locate(rank, place) {
            Spot::Here(here) => Some(here),
            Spot::Gap(_) => None,
        };
        let first = at(ranks.start)?;
        let last = if ranks.len() > 1 { at(ranks.end - 1)? } else { first };
        // They are as many as in memory, or a gap lies between them.
        (last - first + 1 == ranks.len()).then_some(first..last + 1)
    }

    /// How many elements are away before each gap, and behind the last one.
    fn sums(&self) -> Vec<usize> {
        let mut sum = 0;
        let mut sums = Vec::with_capacity(self.len() + 1);
        sums.push(0);
        sums.extend(self.counts.iter().map(|count| {
            sum += *count as usize;
            sum
        }));
        sums
    }

    /// The gaps that some of these ranks lie in.
    pub(in crate::value) fn at_ranks(&self, ranks: &Range<usize>, place: &impl Fn(&K, bool) -> usize) -> Range<usize> {
        if ranks.is_empty() {
            return 0..0;
        }
        let behind = |spot, rank: usize| match spot {
            Spot::Gap(at) => at,
            // As many gaps come before it as make the difference of the ranks.
            Spot::Here(here) => self.gaps_with(rank - here),
        };
        let start = behind(self.locate(ranks.start, place), ranks.start);
        let end = match self.locate(ranks.end - 1, place) {
            Spot::Gap(at) => at + 1,
            Spot::Here(here) => self.gaps_with(ranks.end - 1 - here),
        };
        start..end
    }

    /// How many of the first gaps have so many elements together.
    fn gaps_with(&self, elements: usize) -> usize {
        let mut sum = 0;
        self.counts
            .iter()
            .take_while(|count| {
                sum += **count as usize;
                sum <= elements
            })
            .count()
    }

    /// Bytes of the gaps, without what their keys point to.
    pub(in crate::value) fn memory_bytes(&self) -> usize {
        self.counts.capacity() * (2 * size_of::<K>() + size_of::<u32>())
    }

    pub(in crate::value) fn validate(&self) {
        assert_eq!(self.elements, self.before(self.len()));
        assert!(self.counts.iter().all(|count| *count > 0), "a gap is empty");
        let ends = self.firsts.iter().zip(&self.lasts);
        let all: Vec<&K> = ends.flat_map(|(first, last)| [first, last]).collect();
        assert!(all.chunks(2).all(|gap| gap[0] <= gap[1]), "a gap ends before it begins");
        assert!(all[..].windows(2).skip(1).step_by(2).all(|two| two[0] < two[1]), "gaps overlap");
    }
}
