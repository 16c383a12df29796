//! Strings.

use effect::Op;

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "get",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::ONE,
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the string value of a key.",
        syntax: "key",
        run: Run::Data(get),
    },
    Spec {
        name: "incr",
        arity: 2,
        flags: Flags::WRITE.and(Flags::DENYOOM).and(Flags::FAST),
        keys: Keys::ONE,
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Increments the integer value of a key by one, from 0 if the key does not exist.",
        syntax: "key",
        run: Run::Data(incr),
    },
];

fn get(cx: &mut Cx<'_, '_>) -> Outcome {
    match cx.state.string(cx.arg(1))? {
        Some(value) => cx.reply.bulk(value),
        None => cx.reply.null(),
    }
    Ok(())
}

fn incr(cx: &mut Cx<'_, '_>) -> Outcome {
    add(cx, 1)
}

/// Adds `delta` to the integer at argument 1.
fn add(cx: &mut Cx<'_, '_>, delta: i64) -> Outcome {
    let key = cx.arg(1);
    let old = cx.state.string(key)?;
    let fresh = old.is_none();
    let sum = parse::int(old.unwrap_or(b"0"))?.checked_add(delta).ok_or(errors::OVERFLOW)?;
    cx.out.emit(key, fresh, Op::AddInt(delta));
    cx.reply.int(sum);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::harness::Harness;

    #[test]
    fn incr_counts_and_survives_a_restart() {
        let mut h = Harness::new();
        for n in 1..=100 {
            h.expect("INCR k", &n.to_string());
        }
        h.expect("GET k", "100");
        h.reopen();
        h.expect("INCR k", "101");
        h.expect("DEL k nosuch k", "1");
        h.expect("GET k", "nil");
        h.reopen();
        h.expect("GET k", "nil");
    }
}
