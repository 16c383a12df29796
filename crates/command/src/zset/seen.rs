//! What one command has already said of some members, before any of it is applied.

use std::collections::HashMap;

use smallvec::SmallVec;

/// Up to so many are compared with each other; more are hashed.
const FEW: usize = 16;

/// Members that a command has met, each with what it said last.
pub(super) enum Seen<'a, T> {
    /// There is one argument: nothing can be met again.
    Once,
    /// Searched one by one.
    Few(SmallVec<[(&'a [u8], T); FEW]>),
    /// Hashed.
    Many(HashMap<&'a [u8], T>),
}

impl<'a, T: Copy> Seen<'a, T> {
    /// For a command with so many members.
    pub(super) fn among(count: usize) -> Self {
        match count {
            0 | 1 => Self::Once,
            2..=FEW => Self::Few(SmallVec::new()),
            _ => Self::Many(HashMap::with_capacity(count)),
        }
    }

    /// What was said of the member last.
    pub(super) fn get(&self, member: &[u8]) -> Option<T> {
        match self {
            Self::Once => None,
            Self::Few(list) => list.iter().rev().find(|(other, _)| *other == member).map(|(_, said)| *said),
            Self::Many(map) => map.get(member).copied(),
        }
    }

    /// Says something of the member.
    pub(super) fn note(&mut self, member: &'a [u8], said: T) {
        match self {
            Self::Once => {}
            Self::Few(list) => list.push((member, said)),
            Self::Many(map) => {
                map.insert(member, said);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_last_counts_whatever_the_number_of_members() {
        let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
        for count in [2, 16, 17, 40] {
            let mut seen = Seen::among(count * 2);
            for round in 0..2 {
                for (at, name) in names[..count].iter().enumerate() {
                    assert_eq!(seen.get(name.as_bytes()), (round == 1).then_some(at));
                    seen.note(name.as_bytes(), at + round);
                }
            }
            assert_eq!(seen.get(b"0"), Some(1));
            assert_eq!(seen.get(b"none"), None);
        }
    }
}
