//! `Wheel`: a hierarchical timing wheel over unix milliseconds.
//!
//! Eleven levels of 64 slots cover all of `i64`. An entry lies on the level of the highest group of six bits in which
//! its deadline differs from the wheel's time, so each entry moves down at most ten times and most never do.
//! After Varghese and Lauck, *Hashed and Hierarchical Timing Wheels* (1987).
//!
//! Entries are never removed one by one: the owner ignores tokens that are stale and calls [`Wheel::retain`] when they
//! outnumber the live ones.

/// Bits of the deadline that one level tells apart.
const LEVEL_BITS: u32 = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 64_usize.div_ceil(LEVEL_BITS as usize);
/// Entries per block, so that a slot of millions never moves them to grow.
const BLOCK: usize = 512;

/// The deadline with its sign bit flipped, so that it orders as an unsigned number, and the token.
type Timer = (u64, u64);

const SIGN: u64 = 1 << 63;

fn place(deadline: i64) -> u64 {
    deadline as u64 ^ SIGN
}

fn deadline(place: u64) -> i64 {
    (place ^ SIGN) as i64
}

/// A stack of timers in blocks.
#[derive(Default)]
struct Slot {
    blocks: Vec<Vec<Timer>>,
}

impl Slot {
    fn push(&mut self, timer: Timer) {
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(timer),
            None => self.blocks.push(vec![timer]),
            Some(_) => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(timer);
                self.blocks.push(block);
            }
        }
    }

    fn pop(&mut self) -> Option<Timer> {
        let block = self.blocks.last_mut()?;
        let timer = block.pop();
        if block.is_empty() {
            self.blocks.pop();
        }
        timer
    }

    fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    fn retain(&mut self, keep: &mut impl FnMut(i64, u64) -> bool) -> usize {
        let mut kept = Self::default();
        let mut gone = 0;
        for block in std::mem::take(&mut self.blocks) {
            for timer in block {
                if keep(deadline(timer.0), timer.1) {
                    kept.push(timer);
                } else {
                    gone += 1;
                }
            }
        }
        *self = kept;
        gone
    }

    fn memory_bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Vec<Timer>>()
            + self.blocks.iter().map(|block| block.capacity() * size_of::<Timer>()).sum::<usize>()
    }
}

struct Level {
    slots: [Slot; SLOTS],
    occupied: u64,
}

/// Tokens to be handed back when their deadline has come.
///
/// *Invariant:* an entry on level `l` agrees with the wheel's time in all bits above that level's six, and is greater
/// in those; so the lowest occupied slot of the lowest occupied level is the earliest.
pub struct Wheel {
    levels: [Option<Box<Level>>; LEVELS],
    /// Entries taken from the slot whose time has come, to fire or to move down, and entries inserted too late.
    pending: Slot,
    /// All entries at or before this time are in `pending`.
    time: u64,
    len: usize,
}

impl Wheel {
    /// An empty wheel that stands at `now`.
    pub fn new(now: i64) -> Self {
        Self { levels: Default::default(), pending: Slot::default(), time: place(now), len: 0 }
    }

    /// How many entries there are, stale ones with them.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry; one whose deadline has passed fires at the next advance.
    pub fn insert(&mut self, deadline: i64, token: u64) {
        self.len += 1;
        self.put((place(deadline), token));
    }

    fn put(&mut self, timer: Timer) {
        if timer.0 <= self.time {
            return self.pending.push(timer);
        }
        let highest = 63 - (timer.0 ^ self.time).leading_zeros();
        let level = highest / LEVEL_BITS;
        let slot = (timer.0 >> (level * LEVEL_BITS)) as usize % SLOTS;
        let level = self.levels[level as usize]
            .get_or_insert_with(|| Box::new(Level { slots: std::array::from_fn(|_| Slot::default()), occupied: 0 }));
        level.slots[slot].push(timer);
        level.occupied |= 1 << slot;
    }

    /// The level and slot of the earliest entries that are not pending, and the first time of that slot.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let (at, level) = self
            .levels
            .iter()
            .enumerate()
            .find_map(|(at, level)| level.as_ref().filter(|level| level.occupied != 0).map(|level| (at, level)))?;
        let slot = level.occupied.trailing_zeros() as usize;
        let shift = at as u32 * LEVEL_BITS;
        let above = u64::MAX.checked_shl(shift + LEVEL_BITS).unwrap_or(0);
        Some((at, slot, self.time & above | (slot as u64) << shift))
    }

    /// A time before which nothing fires: exact when it is near, else the start of the time span of a slot.
    pub fn next_deadline(&self) -> Option<i64> {
        if !self.pending.is_empty() {
            return Some(deadline(self.time));
        }
        self.earliest().map(|(_, _, start)| deadline(start))
    }

    /// Hands out the entries whose deadline is at or before `now`, in no order, and returns whether all of them are
    /// out. It stops after touching `budget` entries (at least one); the next call goes on from there. Nothing is
    /// before a `now` that is less than an earlier one: time that has gone back is waited for.
    pub fn advance(&mut self, now: i64, budget: usize, mut fire: impl FnMut(i64, u64)) -> bool {
        let now = place(now);
        if now < self.time {
            return true;
        }
        let mut left = budget.max(1);
        loop {
            while let Some(timer) = self.pending.pop() {
                if timer.0 <= now {
                    self.len -= 1;
                    fire(deadline(timer.0), timer.1);
                } else {
                    self.put(timer);
                }
                left -= 1;
                if left == 0 {
                    return self.pending.is_empty() && self.earliest().is_none_or(|(_, _, start)| start > now);
                }
            }
            let Some((level, slot, start)) = self.earliest().filter(|(_, _, start)| *start <= now) else {
                self.time = now;
                return true;
            };
            self.time = start;
            if let Some(level) = &mut self.levels[level] {
                level.occupied &= !(1 << slot);
                self.pending = std::mem::take(&mut level.slots[slot]);
            }
        }
    }

    /// Drops the entries that `keep` refuses, in time proportional to all.
    pub fn retain(&mut self, mut keep: impl FnMut(i64, u64) -> bool) {
        self.len -= self.pending.retain(&mut keep);
        for level in self.levels.iter_mut().flatten() {
            for (at, slot) in level.slots.iter_mut().enumerate() {
                self.len -= slot.retain(&mut keep);
                if slot.is_empty() {
                    level.occupied &= !(1 << at);
                }
            }
        }
    }

    /// Bytes of the wheel's allocations.
    pub fn memory_bytes(&self) -> usize {
        let levels = self.levels.iter().flatten();
        self.pending.memory_bytes()
            + levels
                .map(|level| size_of::<Level>() + level.slots.iter().map(Slot::memory_bytes).sum::<usize>())
                .sum::<usize>()
    }

    /// Asserts the invariants. For tests.
    pub fn validate(&self) {
        let mut len = self.pending.blocks.iter().map(Vec::len).sum::<usize>();
        for (at, level) in self.levels.iter().enumerate() {
            let Some(level) = level else { continue };
            let shift = at as u32 * LEVEL_BITS;
            for (number, slot) in level.slots.iter().enumerate() {
                assert_eq!(level.occupied >> number & 1 == 1, !slot.is_empty());
                for (place, _) in slot.blocks.iter().flatten() {
                    len += 1;
                    assert!(*place > self.time);
                    assert_eq!((*place >> shift) as usize % SLOTS, number);
                    let above = u64::MAX.checked_shl(shift + LEVEL_BITS).unwrap_or(0);
                    assert_eq!(place & above, self.time & above);
                }
            }
        }
        assert_eq!(len, self.len);
    }
}

#[cfg(test)]
mod tests;
