//! What views do about elements that are away.

use crate::state::Site;
use crate::stop::Stop;
use crate::value::{Away, Part, mix};

/// Elements that are brought in for one that is picked at random.
const PICKED_FROM: usize = 4;
/// Elements of one page of a scan that are brought in, at most.
pub(super) const SCANNED_MOST: usize = 10_000;

/// What a look-up by name needs.
pub(super) fn named(name: &[u8]) -> Part {
    Part::Named(vec![name.into()])
}

/// What was found by rank, unless some of it is away.
#[inline]
pub(super) fn here<T>(site: &Site<'_>, found: Result<T, Away>) -> Result<T, Stop> {
    found.or_else(|Away(ranks)| site.miss(Part::Ranks(ranks)))
}

/// Sees to it that none is away.
pub(super) fn whole(site: &Site<'_>, away: usize) -> Result<(), Stop> {
    if away > 0 { site.miss(Part::Whole) } else { Ok(()) }
}

/// Sees to it that none of these that `lacks` answers for is away.
pub(super) fn gather<'n>(
    site: &Site<'_>,
    away: usize,
    names: impl Iterator<Item = &'n [u8]>,
    lacks: impl Fn(&[u8]) -> bool,
) -> Result<(), Stop> {
    if away == 0 {
        return Ok(());
    }
    let lacking: Vec<Box<[u8]>> = names.filter(|name| lacks(name)).map(Into::into).collect();
    if lacking.is_empty() { Ok(()) } else { site.miss(Part::Named(lacking)) }
}

/// Whether the random number stands for one of those that are away: then the hashes of names from which on it is looked for.
pub(super) fn picks_away(random: u64, len: usize, away: usize) -> Option<[u64; 2]> {
    let mut state = random;
    let drawn = ((u128::from(mix(&mut state)) * len as u128) >> 64) as usize;
    (drawn < away).then(|| [mix(&mut state), 0])
}

/// The first element that `find` answers between two hashes, from one on: page by page, each larger than the one before, since
/// what has rows may have gone.
pub(super) fn pick_from<T>(
    site: &Site<'_>,
    mut from: u64,
    mut find: impl FnMut(u64, Option<u64>) -> Option<T>,
) -> Result<Option<T>, Stop> {
    let mut count = PICKED_FROM;
    loop {
        let end = site.hashes(from, count)?;
        match (find(from, end), end) {
            (None, Some(next)) => (from, count) = (next, (2 * count).min(SCANNED_MOST)),
            (found, _) => return Ok(found),
        }
    }
}
