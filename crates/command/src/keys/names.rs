//! One key, or each of several: DEL, UNLINK, EXISTS, TOUCH, TYPE.

use effect::Kind;
use engine::Stop;

use super::{Seen, untouched};
use crate::cx::Cx;
use crate::spec::{Flags, Group, Keys, Outcome, Run, Spec};

/// The declarations of this family.
pub const SPECS: &[Spec] = &[
    Spec {
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
    },
    Spec {
        name: "unlink",
        arity: -2,
        flags: Flags::WRITE.and(Flags::FAST),
        keys: Keys::REST,
        group: Group::Generic,
        since: "4.0.0",
        complexity: "O(N) where N is the number of keys; what a large value needs to be freed is done aside",
        summary: "Deletes one or more keys; here the same as DEL.",
        syntax: "key [key ...]",
        run: Run::Data(del),
    },
    Spec {
        name: "exists",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::REST,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(N) where N is the number of keys",
        summary: "Counts those of the keys that exist, each as often as it is named.",
        syntax: "key [key ...]",
        run: Run::Data(exists),
    },
    Spec {
        name: "touch",
        arity: -2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::REST,
        group: Group::Generic,
        since: "3.2.1",
        complexity: "O(N) where N is the number of keys",
        summary: "Renews the access time of keys; counts those that exist.",
        syntax: "key [key ...]",
        run: Run::Data(touch),
    },
    Spec {
        name: "type",
        arity: 2,
        flags: Flags::READONLY.and(Flags::FAST),
        keys: Keys::ONE,
        group: Group::Generic,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Returns the type of the value at a key.",
        syntax: "key",
        run: Run::Data(kind),
    },
];

fn del(cx: &mut Cx<'_, '_>) -> Outcome {
    let args = cx.args;
    let mut seen = Seen::new(args.len() - 1);
    let mut removed = 0;
    // What is emitted is not seen by the look-ups of this run, so it may be emitted as it is found.
    for key in args.iter().skip(1) {
        if cx.state.exists(key)? && seen.is_new(key) {
            cx.out.remove(key);
            removed += 1;
        }
    }
    cx.reply.int(removed);
    Ok(())
}

/// Arguments that name keys that exist.
fn count(cx: &Cx<'_, '_>) -> Result<i64, Stop> {
    cx.args.iter().skip(1).try_fold(0, |found, key| Ok(found + i64::from(cx.state.exists(key)?)))
}

fn exists(cx: &mut Cx<'_, '_>) -> Outcome {
    let before = cx.state.set_touch(false);
    let found = count(cx);
    cx.state.set_touch(before);
    cx.reply.int(found?);
    Ok(())
}

fn touch(cx: &mut Cx<'_, '_>) -> Outcome {
    // Also for a client whose other commands leave access times alone.
    let before = cx.state.set_touch(true);
    let found = count(cx);
    cx.state.set_touch(before);
    cx.reply.int(found?);
    Ok(())
}

fn kind(cx: &mut Cx<'_, '_>) -> Outcome {
    let key = cx.arg(1);
    let kind = untouched(cx, |state| state.kind(key))?;
    cx.reply.simple(kind.map_or("none", Kind::name));
    Ok(())
}
