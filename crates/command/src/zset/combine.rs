//! ZUNION, ZINTER, ZDIFF, their STORE forms, ZINTERCARD.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use engine::Stop;
use smallvec::{SmallVec, smallvec};

use super::reply_members;
use super::source::{Name, Source};
use super::store::store;
use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// How the inputs are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// What becomes of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Reply,
    /// It is stored at argument 1.
    Key,
    /// Its members are counted.
    Count,
}

/// How the scores of a member in several inputs become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The sum of the weights of the inputs that have the member, whatever its scores.
    Count,
}

impl Aggregate {
    fn read(text: &[u8]) -> Result<Self, Stop> {
        match text {
            _ if parse::is(text, "SUM") => Ok(Self::Sum),
            _ if parse::is(text, "MIN") => Ok(Self::Min),
            _ if parse::is(text, "MAX") => Ok(Self::Max),
            _ if parse::is(text, "COUNT") => Ok(Self::Count),
            _ => Err(errors::SYNTAX),
        }
    }

    /// What one input contributes. Infinity times zero is no number.
    fn weigh(self, weight: f64, score: f64) -> f64 {
        if self == Self::Count { weight } else { weight * score }
    }

    /// Two contributions in one. Infinities that cancel each other out are 0.
    fn join(self, one: f64, other: f64) -> f64 {
        match self {
            Self::Sum | Self::Count => or_zero(one + other),
            Self::Min if other < one => other,
            Self::Max if other > one => other,
            Self::Min | Self::Max => one,
        }
    }
}

/// Zero for what is no number.
fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// The options behind the keys.
struct Options {
    weights: SmallVec<[f64; 8]>,
    aggregate: Aggregate,
    scores: bool,
    /// Members at which counting ends; 0 for none.
    limit: usize,
}

impl Options {
    fn read(cx: &Cx<'_, '_>, operation: Operation, target: Target, keys: &Range<usize>) -> Result<Self, Stop> {
        let mut options =
            Self { weights: smallvec![1.0; keys.len()], aggregate: Aggregate::Sum, scores: false, limit: 0 };
        let weighs = operation != Operation::Difference && target != Target::Count;
        let mut at = keys.end;
        while let Some(option) = cx.args.get(at) {
            let behind = cx.argc() - at - 1;
            if weighs && behind >= keys.len() && parse::is(option, "WEIGHTS") {
                for (weight, text) in options.weights.iter_mut().zip(cx.args.iter().skip(at + 1)) {
                    *weight = parse::float_opt(text).ok_or(errors::WEIGHT_NOT_A_FLOAT)?;
                }
                at += keys.len();
            } else if weighs && behind >= 1 && parse::is(option, "AGGREGATE") {
                options.aggregate = Aggregate::read(cx.arg(at + 1))?;
                at += 1;
            } else if target == Target::Reply && parse::is(option, "WITHSCORES") {
                options.scores = true;
            } else if target == Target::Count && behind >= 1 && parse::is(option, "LIMIT") {
                options.limit = parse::not_negative(cx.arg(at + 1), errors::LIMIT_NEGATIVE)?;
                at += 1;
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

/// An input with its weight.
struct Input<'s> {
    source: Source<'s>,
    weight: f64,
    len: usize,
}

/// Members of a result with their scores.
type Rows<'s> = Vec<(Name<'s>, f64)>;

fn union<'s>(inputs: &[Input<'s>], aggregate: Aggregate) -> Result<Rows<'s>, Stop> {
    let largest = inputs.last().map_or(0, |input| input.len);
    let mut scores: HashMap<Name<'s>, f64> = HashMap::with_capacity(largest);
    for input in inputs {
        for (name, score) in input.source.iter()? {
            let score = or_zero(aggregate.weigh(input.weight, score));
            match scores.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(score);
                }
                Entry::Occupied(mut place) => {
                    let joined = aggregate.join(*place.get(), score);
                    place.insert(joined);
                }
            }
        }
    }
    Ok(scores.into_iter().collect())
}

/// Hands the members that all inputs have to `found` until it answers no. The first input is the smallest.
fn intersect<'s>(
    inputs: &[Input<'s>],
    aggregate: Aggregate,
    mut found: impl FnMut(Name<'s>, f64) -> bool,
) -> Result<(), Stop> {
    let Some((first, others)) = inputs.split_first() else { return Ok(()) };
    'members: for (name, score) in first.source.iter()? {
        let mut total = or_zero(aggregate.weigh(first.weight, score));
        for other in others {
            let Some(score) = other.source.score(&name.0)? else { continue 'members };
            total = aggregate.join(total, aggregate.weigh(other.weight, score));
        }
        if !found(name, total) {
            break;
        }
    }
    Ok(())
}

fn subtract<'s>(inputs: &[Input<'s>]) -> Result<Rows<'s>, Stop> {
    let Some((first, others)) = inputs.split_first() else { return Ok(Rows::new()) };
    let mut rows = Rows::new();
    'members: for (name, score) in first.source.iter()? {
        for other in others {
            if other.source.score(&name.0)?.is_some() {
                continue 'members;
            }
        }
        rows.push((name, score));
    }
    Ok(rows)
}

/// The arguments of the keys, which argument `at` counts.
fn read_keys(cx: &Cx<'_, '_>, at: usize, name: &str) -> Result<Range<usize>, Stop> {
    let count = parse::int(cx.arg(at))?;
    if count < 1 {
        return Err(errors::needs_one_key(name));
    }
    let count = usize::try_from(count).ok().filter(|count| *count < cx.argc() - at).ok_or(errors::SYNTAX)?;
    Ok(at + 1..at + 1 + count)
}

fn run(cx: &mut Cx<'_, '_>, operation: Operation, target: Target, name: &str) -> Outcome {
    let keys = read_keys(cx, if target == Target::Key { 2 } else { 1 }, name)?;
    // Redis looks at the keys before it reads the options behind them.
    let mut inputs = Vec::with_capacity(keys.len());
    for at in keys.clone() {
        let source = Source::open(cx.state, cx.args.get(at).unwrap_or_default())?;
        let len = source.len()?;
        inputs.push(Input { source, weight: 1.0, len });
    }
    let options = Options::read(cx, operation, target, &keys)?;
    for (input, weight) in inputs.iter_mut().zip(&options.weights) {
        input.weight = *weight;
    }
    if operation != Operation::Difference {
        // The order also says in which order doubles are added up.
        inputs.sort_by_key(|input| input.len);
    }
    if target == Target::Count {
        let mut count = 0;
        intersect(&inputs, options.aggregate, |_, _| {
            count += 1;
            count != options.limit
        })?;
        cx.reply.int(count as i64);
        return Ok(());
    }
    let mut rows = match operation {
        Operation::Union => union(&inputs, options.aggregate)?,
        Operation::Intersection => {
            let mut rows = Rows::new();
            intersect(&inputs, options.aggregate, |name, score| {
                rows.push((name, score));
                true
            })?;
            rows
        }
        Operation::Difference => subtract(&inputs)?,
    };
    rows.sort_unstable_by(|(a, x), (b, y)| {
        x.partial_cmp(y).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.0.cmp(&b.0))
    });
    let members = rows.iter().map(|(name, score)| (&*name.0, *score));
    if target == Target::Key {
        let dest = cx.args.get(1).unwrap_or_default();
        store(cx.state, cx.out, dest, members)?;
        cx.reply.int(rows.len() as i64);
    } else {
        reply_members(&mut cx.reply, members, options.scores);
    }
    Ok(())
}

pub(super) fn zunion(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Operation::Union, Target::Reply, "zunion")
}

pub(super) fn zinter(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Operation::Intersection, Target::Reply, "zinter")
}

pub(super) fn zdiff(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Operation::Difference, Target::Reply, "zdiff")
}

pub(super) fn zunionstore(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Operation::Union, Target::Key, "zunionstore")
}

pub(super) fn zinterstore(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Operation::Intersection, Target::Key, "zinterstore")
}

pub(super) fn zdiffstore(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Operation::Difference, Target::Key, "zdiffstore")
}

pub(super) fn zintercard(cx: &mut Cx<'_, '_>) -> Outcome {
    run(cx, Operation::Intersection, Target::Count, "zintercard")
}
