//! What of an operation its flags say.

use crate::op::{Deadline, Op, Side};

pub(super) fn deadline_of(op: &Op<'_>) -> Deadline {
    match op {
        Op::Set { deadline, .. } | Op::Put { deadline, .. } | Op::Replace { deadline, .. } => *deadline,
        _ => Deadline::Clear,
    }
}

pub(super) fn extra_of(op: &Op<'_>) -> bool {
    match op {
        Op::Push { side, .. } => *side == Side::Head,
        Op::Verdict { committed, .. } => *committed,
        Op::Bind(bind) => bind.exclusive,
        Op::Serialize(leader) => leader.is_some(),
        Op::GroupDefine(definition) => definition.is_some(),
        _ => false,
    }
}
