//! BITOP: strings combined bit by bit; the shorter ones are followed by zeros.

use effect::{Deadline, Op};

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// What is done with the sources; X is the first of them, Y the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
    /// In X and in no Y.
    Diff,
    /// In some Y and not in X.
    Diff1,
    /// In X and in some Y.
    AndOr,
    /// In exactly one source.
    One,
}

impl Operation {
    const NAMES: [(&'static str, Operation); 8] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];

    fn needs_two(self) -> bool {
        matches!(self, Self::Diff | Self::Diff1 | Self::AndOr)
    }

    /// The result over `len` bytes.
    fn run(self, sources: &[&[u8]], len: usize) -> Vec<u8> {
        let (first, others) = sources.split_first().expect("the arity asks for a source");
        let mut result = first.to_vec();
        result.resize(len, 0);
        match self {
            Self::And => others.iter().for_each(|other| {
                fold(&mut result, other, |r, o| r & o);
                result[other.len()..].fill(0);
            }),
            Self::Or => others.iter().for_each(|other| fold(&mut result, other, |r, o| r | o)),
            Self::Xor => others.iter().for_each(|other| fold(&mut result, other, |r, o| r ^ o)),
            Self::Not => result.iter_mut().for_each(|byte| *byte = !*byte),
            Self::Diff => others.iter().for_each(|other| fold(&mut result, other, |r, o| r & !o)),
            Self::Diff1 => {
                let any = Self::Or.run(others, len);
                fold(&mut result, &any, |r, o| !r & o);
            }
            Self::AndOr => {
                let any = Self::Or.run(others, len);
                fold(&mut result, &any, |r, o| r & o);
            }
            Self::One => {
                // What was seen twice is kept aside and taken out at the end.
                let mut twice = vec![0; len];
                for other in others {
                    let seen = twice.iter_mut().zip(&result).zip(*other);
                    seen.for_each(|((twice, any), other)| *twice |= any & other);
                    fold(&mut result, other, |r, o| r | o);
                }
                fold(&mut result, &twice, |r, o| r & !o);
            }
        }
        result
    }
}

/// Combines what both have; a loop that the compiler turns into vector instructions.
fn fold(result: &mut [u8], other: &[u8], combine: impl Fn(u8, u8) -> u8) {
    result.iter_mut().zip(other).for_each(|(byte, other)| *byte = combine(*byte, *other));
}

pub(super) fn bitop(cx: &mut Cx<'_, '_>) -> Outcome {
    let named = Operation::NAMES.iter().find(|(name, _)| parse::is(cx.arg(1), name));
    let (name, operation) = named.ok_or(errors::SYNTAX)?;
    if *operation == Operation::Not && cx.argc() != 4 {
        return Err(errors::BITOP_NOT_ONE);
    }
    if operation.needs_two() && cx.argc() < 5 {
        return Err(errors::bitop_needs_two(name));
    }
    let mut sources = Vec::with_capacity(cx.argc() - 3);
    for key in cx.args.iter().skip(3) {
        sources.push(cx.state.string(key)?.unwrap_or_default());
    }
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let target = cx.arg(2);
    if len > 0 {
        let value = operation.run(&sources, len);
        let fresh = !cx.state.exists(target)?;
        cx.out.emit(target, fresh, Op::Set { value: &value, deadline: Deadline::Clear });
    } else if cx.state.exists(target)? {
        cx.out.remove(target);
    }
    cx.reply.int(len as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn results_are_those_of_single_bits(
            sources in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 2..5),
        ) {
            let sources: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
            let len = sources.iter().map(|s| s.len()).max().unwrap_or(0);
            for (name, operation) in Operation::NAMES {
                let result = operation.run(&sources, len);
                for at in 0..len * 8 {
                    let bit = |s: &[u8]| s.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1);
                    let x = bit(sources[0]);
                    let ys = sources[1..].iter().filter(|s| bit(s)).count();
                    let expected = match operation {
                        Operation::And => x && ys == sources.len() - 1,
                        Operation::Or => x || ys > 0,
                        Operation::Xor => (usize::from(x) + ys) % 2 == 1,
                        Operation::Not => !x,
                        Operation::Diff => x && ys == 0,
                        Operation::Diff1 => !x && ys > 0,
                        Operation::AndOr => x && ys > 0,
                        Operation::One => usize::from(x) + ys == 1,
                    };
                    prop_assert_eq!(bit(&result), expected, "{} bit {}", name, at);
                }
            }
        }
    }
}
