//! The ends of a list: which indexes lie there, and which position comes beyond.

use std::ops::Range;

use effect::{ListPos, Side};
use engine::{ListView, Stop};
use resp::Reply;

use crate::errors;
use crate::parse;

/// LEFT or RIGHT.
pub(super) fn side(text: &[u8]) -> Result<Side, Stop> {
    if parse::is(text, "LEFT") {
        Ok(Side::Head)
    } else if parse::is(text, "RIGHT") {
        Ok(Side::Tail)
    } else {
        Err(errors::SYNTAX)
    }
}

/// The position of the element at an end.
pub(super) fn position(list: &ListView<'_>, side: Side) -> Result<Option<ListPos>, Stop> {
    match side {
        Side::Head => list.first_position(),
        Side::Tail => list.last_position(),
    }
}

/// Where `me` pushes its first element beyond `end`, the position of the element there (`None`: there is no list).
pub(super) fn beyond(end: Option<&ListPos>, side: Side, me: u64) -> ListPos {
    match side {
        Side::Head => ListPos::before_head(end, me),
        Side::Tail => ListPos::after_tail(end, me),
    }
}

/// The indexes of up to `count` elements at an end of a list of `len`.
pub(super) fn indexes(side: Side, count: usize, len: usize) -> Range<usize> {
    let count = count.min(len);
    match side {
        Side::Head => 0..count,
        Side::Tail => len - count..len,
    }
}

/// Writes these elements as an array, beginning with the one that stands nearest to `side`.
pub(super) fn reply(reply: &mut Reply<'_>, list: &ListView<'_>, indexes: Range<usize>, side: Side) -> Result<(), Stop> {
    reply.array(indexes.len());
    each(list, indexes, side, |value| reply.bulk(value))
}

/// Hands these elements to `visit`, beginning with the one that stands nearest to `side`.
pub(super) fn each(
    list: &ListView<'_>,
    indexes: Range<usize>,
    side: Side,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), Stop> {
    if indexes.len() == 1 {
        // The usual case, without the memory that a range needs.
        list.get(indexes.start)?.into_iter().for_each(visit);
        return Ok(());
    }
    let values = list.range(indexes)?;
    match side {
        Side::Head => values.for_each(&mut visit),
        Side::Tail => values.rev().for_each(&mut visit),
    }
    Ok(())
}
