//! What the STORE forms leave at their destination.

use effect::{Deadline, FoldedWriter, Kind, Op};
use engine::{Emitter, State, Stop};

use super::unsigned_zero;

/// Makes `dest` the sorted set of these members, whatever it was; without members it goes.
pub(super) fn store<'m>(
    state: &State<'_>,
    out: &mut Emitter<'_>,
    dest: &[u8],
    members: impl ExactSizeIterator<Item = (&'m [u8], f64)>,
) -> Result<(), Stop> {
    let present = state.exists(dest)?;
    if members.len() == 0 {
        if present {
            out.remove(dest);
        }
        return Ok(());
    }
    // Positions of lists alone depend on the home.
    let (mut folded, home) = (Vec::new(), 0);
    let mut writer = FoldedWriter::collection(&mut folded, Kind::ZSet, home, members.len());
    members.for_each(|(member, score)| writer.scored(member, unsigned_zero(score)));
    out.emit(dest, !present, Op::Replace { value: engine::unfold(home, &folded), deadline: Deadline::Clear });
    Ok(())
}
