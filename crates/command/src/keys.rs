//! Keys of any type.

use crate::cx::Cx;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[Spec {
    name: "del",
    arity: -2,
    flags: Flags::WRITE,
    keys: Keys::REST,
    group: Group::Generic,
    since: "1.0.0",
    complexity: "O(N) where N is the number of keys; what a large value needs to be freed is done aside",
    summary: "Deletes one or more keys.",
    syntax: "key [key ...]",
    run: Run::Data(del),
}];

fn del(cx: &mut Cx<'_, '_>) -> Outcome {
    let mut removed: Vec<&[u8]> = Vec::new();
    for key in cx.args.iter().skip(1) {
        if cx.state.exists(key)? && !removed.contains(&key) {
            removed.push(key);
        }
    }
    for key in &removed {
        cx.out.remove(key);
    }
    cx.reply.int(removed.len() as i64);
    Ok(())
}
