//! The rule of `docs/merging.md` as it stands there: parts, what takes them, and what is left. Slow, and of another making than the
//! code: nothing is applied, all effects are looked at together.

use std::collections::{BTreeMap, BTreeSet};

use bigdecimal::BigDecimal;
use effect::{Deadline, Dot, Kind, ListPos, Merge, Side, Stamp};

use crate::support::group::Entry;
use crate::support::view::{Held, View};
use crate::support::{Act, Bytes, Value, Whole};

#[derive(Debug, Clone, PartialEq)]
enum Part {
    Value(Bytes),
    Edit,
    Element(Kind, Bytes, Value),
    Delta(Kind, Bytes, Value),
    At(ListPos, Bytes),
    Content(ListPos, Bytes),
    /// `None` is never; whether it came with a value that is of this kind.
    Deadline(Option<i64>, Option<Kind>),
    FieldDeadline(Bytes, Option<i64>, bool),
}

impl Part {
    fn kind(&self) -> Option<Kind> {
        match self {
            Part::Value(_) | Part::Edit => Some(Kind::String),
            Part::Element(kind, ..) | Part::Delta(kind, ..) => Some(*kind),
            Part::At(..) | Part::Content(..) => Some(Kind::List),
            Part::Deadline(_, of) => *of,
            Part::FieldDeadline(..) => Some(Kind::Hash),
        }
    }

    /// Whether an effect that gives it is a write of its type.
    fn is_write(&self) -> bool {
        !matches!(self, Part::Content(..) | Part::Deadline(..) | Part::FieldDeadline(..))
    }
}

fn whole_kind(whole: &Whole) -> Kind {
    match whole {
        Whole::String(_) => Kind::String,
        Whole::List(_) => Kind::List,
        Whole::Hash(_) => Kind::Hash,
        Whole::Set(_) => Kind::Set,
        Whole::ZSet(_) => Kind::ZSet,
    }
}

fn gives_whole(whole: &Whole) -> Vec<Part> {
    match whole {
        Whole::String(bytes) => vec![Part::Value(bytes.clone())],
        Whole::List(runs) => {
            let at = |(first, values): &(ListPos, Vec<Bytes>)| {
                let first = first.clone();
                values.clone().into_iter().enumerate().map(move |(i, value)| Part::At(first.step(i as i64), value))
            };
            runs.iter().flat_map(at).collect()
        }
        Whole::Hash(fields) => {
            let both = |(name, value, at): &(Bytes, Bytes, Option<i64>)| {
                let element = Part::Element(Kind::Hash, name.clone(), Value::Bytes(value.clone()));
                [element, Part::FieldDeadline(name.clone(), *at, true)]
            };
            fields.iter().flat_map(both).collect()
        }
        Whole::Set(members) => {
            members.iter().map(|member| Part::Element(Kind::Set, member.clone(), Value::Member)).collect()
        }
        Whole::ZSet(members) => {
            members.iter().map(|(m, score)| Part::Element(Kind::ZSet, m.clone(), Value::Score(*score))).collect()
        }
    }
}

/// What a SET and its kin say of the deadline.
fn with_value(deadline: Deadline, fresh: bool, kind: Kind) -> Option<Part> {
    match deadline {
        Deadline::At(at) => Some(Part::Deadline(Some(at), Some(kind))),
        Deadline::Keep if !fresh => None,
        _ => Some(Part::Deadline(None, Some(kind))),
    }
}

fn gives(entry: &Entry) -> Vec<Part> {
    let fresh = entry.change.fresh;
    let never = || fresh.then_some(Part::Deadline(None, None));
    match &entry.change.act {
        Act::Set(value, deadline) => [Some(Part::Value(value.clone())), with_value(*deadline, fresh, Kind::String)]
            .into_iter()
            .flatten()
            .collect(),
        Act::AddInt(_) | Act::AddDecimal(_) | Act::Append(_) | Act::Write(..) | Act::Bits(..) | Act::MaxBytes(_) => {
            [Some(Part::Edit), never()].into_iter().flatten().collect()
        }
        Act::Put(kind, merge, deadline, items) => {
            let mut parts: Vec<Part> = never().into_iter().collect();
            for (name, value) in items {
                if matches!(merge, Merge::AddInt | Merge::AddFloat) {
                    parts.push(Part::Delta(*kind, name.clone(), value.clone()));
                    continue;
                }
                parts.push(Part::Element(*kind, name.clone(), value.clone()));
                if *kind == Kind::Hash && *deadline != Deadline::Keep {
                    parts.push(Part::FieldDeadline(name.clone(), deadline.after(None), true));
                }
            }
            parts
        }
        Act::FieldDeadlines(fields) => {
            fields.iter().map(|(name, at)| Part::FieldDeadline(name.clone(), *at, false)).collect()
        }
        Act::Push(side, first, values) => {
            let way = if *side == Side::Head { -1 } else { 1 };
            let at = |(i, value): (usize, &Bytes)| Part::At(first.step(way * i as i64), value.clone());
            values.iter().enumerate().map(at).chain(never()).collect()
        }
        Act::Insert(pos, value) => [Part::At(pos.clone(), value.clone())].into_iter().chain(never()).collect(),
        Act::SetAt(pos, value) => vec![Part::Content(pos.clone(), value.clone())],
        Act::Replace(whole, deadline) => {
            let parts = gives_whole(whole);
            let deadline = with_value(*deadline, fresh, whole_kind(whole)).filter(|_| !parts.is_empty());
            parts.into_iter().chain(deadline).collect()
        }
        Act::Expire(at) => vec![Part::Deadline(*at, None)],
        _ => Vec::new(),
    }
}

/// Whether the effect, which keeps the deadline of the key or of fields, takes what came with a value that had lost where it was written.
fn takes_lost(entry: &Entry, giver: &Entry, part: &Part, seen: &[Left<'_>]) -> bool {
    let is_value = |of: &Part| match (&entry.change.act, part) {
        (Act::Set(_, Deadline::Keep) | Act::Replace(_, Deadline::Keep), Part::Deadline(_, Some(_))) => {
            matches!(of, Part::Value(_))
        }
        (Act::Put(Kind::Hash, Merge::LastWriter, Deadline::Keep, items), Part::FieldDeadline(wanted, _, true)) => {
            let is_put = items.iter().any(|(name, _)| name == wanted);
            is_put && matches!(of, Part::Element(Kind::Hash, name, _) if name == wanted)
        }
        _ => false,
    };
    let mut values = seen.iter().rev().filter(|left| is_value(&left.part)).map(|left| left.entry.dot);
    values.next().is_some_and(|shown| shown != giver.dot) && values.any(|lost| lost == giver.dot)
}

/// Whether the effect takes the part, which it has observed.
fn takes(entry: &Entry, part: &Part) -> bool {
    let is_deadline = matches!(part, Part::Deadline(..));
    let named = |kinds: &[Kind], wanted: &Bytes| match part {
        Part::Element(kind, name, _) | Part::Delta(kind, name, _) => kinds.contains(kind) && name == wanted,
        _ => false,
    };
    let states = |wanted: &Bytes| matches!(part, Part::FieldDeadline(name, ..) if name == wanted);
    if entry.change.fresh {
        return true;
    }
    match &entry.change.act {
        Act::Set(_, Deadline::Keep) | Act::Replace(_, Deadline::Keep) => !is_deadline,
        Act::Set(..) | Act::Replace(..) | Act::Remove | Act::FlushDb | Act::FlushAll => true,
        Act::Put(_, Merge::AddInt | Merge::AddFloat, ..) => false,
        Act::Put(kind, _, deadline, items) => items.iter().any(|(name, _)| {
            let restates = *kind == Kind::Hash && *deadline != Deadline::Keep;
            named(&[*kind], name) || (restates && states(name))
        }),
        Act::Drop(kind, names) => {
            names.iter().any(|name| named(&[*kind], name) || (*kind == Kind::Hash && states(name)))
        }
        Act::FieldDeadlines(fields) => fields.iter().any(|(name, _)| states(name)),
        Act::SetAt(wanted, _) => matches!(part, Part::Content(pos, _) if pos == wanted),
        Act::Cut(runs) => match part {
            Part::At(pos, _) | Part::Content(pos, _) => {
                runs.iter().any(|(first, len)| (0..*len).any(|i| first.step(i as i64) == *pos))
            }
            _ => false,
        },
        Act::Expire(_) => is_deadline,
        _ => false,
    }
}

struct Left<'e> {
    entry: &'e Entry,
    stamp: Stamp,
    part: Part,
}

/// The parts of the key that nothing takes, the earliest first.
fn left<'e>(entries: &[&'e Entry]) -> Vec<Left<'e>> {
    let stamp = |entry: &Entry| Stamp::new(entry.dot, entry.hlc);
    let given: Vec<(&Entry, Vec<Part>)> = entries.iter().map(|entry| (*entry, gives(entry))).collect();
    let keeps = |entry: &&&Entry| {
        let deadline = match &entry.change.act {
            Act::Set(_, deadline) | Act::Replace(_, deadline) | Act::Put(_, _, deadline, _) => *deadline,
            _ => return false,
        };
        deadline == Deadline::Keep && !entry.change.fresh
    };
    let seen_by = |entry: &Entry| {
        let seen: Vec<&'e Entry> = entries.iter().copied().filter(|other| entry.observed(other.dot)).collect();
        self::left(&seen)
    };
    let keepers: Vec<(&Entry, Vec<Left<'e>>)> =
        entries.iter().filter(keeps).map(|entry| (*entry, seen_by(entry))).collect();
    let mut left = Vec::new();
    for (giver, parts) in &given {
        for part in parts {
            let is_lost = || keepers.iter().any(|(entry, seen)| takes_lost(entry, giver, part, seen));
            let is_taken = entries.iter().any(|entry| entry.observed(giver.dot) && takes(entry, part)) || is_lost();
            let is_void = part.kind().is_some_and(|kind| {
                given.iter().any(|(other, parts)| {
                    let writes = |p: &Part| p.is_write() && p.kind().is_some_and(|of| of != kind);
                    let is_kept = matches!(part, Part::Deadline(..)) && other.observed(giver.dot);
                    stamp(other) > stamp(giver) && !is_kept && parts.iter().any(writes)
                })
            });
            if !is_taken && !is_void {
                left.push(Left { entry: giver, stamp: stamp(giver), part: part.clone() });
            }
        }
    }
    left.sort_by_key(|part| part.stamp);
    left
}

/// What all these effects, which concern one key, make of it.
pub fn outcome(entries: &[&Entry]) -> Option<View> {
    let left = left(entries);
    let held = string(&left).or_else(|| collection(&left)).or_else(|| list(&left))?;
    let shown = left.iter().rfind(|l| matches!(l.part, Part::Value(_))).map(|l| l.entry.dot);
    let counts = |l: &&Left<'_>| {
        let has_value = left.iter().any(|v| v.entry.dot == l.entry.dot && matches!(v.part, Part::Value(_)));
        !matches!(l.part, Part::Deadline(_, Some(_))) || !has_value || shown == Some(l.entry.dot)
    };
    let moments = left.iter().filter(counts).filter_map(|l| match l.part {
        Part::Deadline(at, _) => Some(at),
        _ => None,
    });
    let view = View::new(held, latest(moments));
    (!view.is_empty()).then_some(view)
}

/// Never is later than any.
fn latest(moments: impl Iterator<Item = Option<i64>>) -> Option<i64> {
    moments.map(|at| at.unwrap_or(i64::MAX)).max().filter(|at| *at != i64::MAX)
}

fn string(left: &[Left<'_>]) -> Option<Held> {
    let value = left.iter().rev().find_map(|l| match &l.part {
        Part::Value(bytes) => Some(bytes.clone()),
        _ => None,
    });
    let edits = left.iter().filter(|l| l.part == Part::Edit);
    edits.fold(value, |value, l| carry_out(value, &l.entry.change.act)).map(Held::String)
}

fn decimal(text: &[u8]) -> Option<BigDecimal> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn sum(text: Option<&Bytes>, delta: &BigDecimal) -> Option<Bytes> {
    let old = text.map_or(Some(BigDecimal::from(0)), |text| decimal(text))?;
    let sum = (old + delta).normalized();
    Some(if sum == 0 { b"0".to_vec() } else { sum.to_plain_string().into_bytes() })
}

fn add_int(old: Option<&Bytes>, delta: i64) -> Option<Bytes> {
    let text = old.map_or("0".to_owned(), |old| String::from_utf8_lossy(old).into_owned());
    match text.parse::<i64>() {
        Ok(n) if n.to_string() == text => n.checked_add(delta).map(|n| n.to_string().into_bytes()),
        _ => sum(old, &BigDecimal::from(delta)),
    }
}

fn carry_out(old: Option<Bytes>, act: &Act) -> Option<Bytes> {
    let mut bytes = old.clone().unwrap_or_default();
    match act {
        Act::AddInt(delta) => return add_int(old.as_ref(), *delta).or(old),
        Act::AddDecimal(delta) => return decimal(delta).and_then(|delta| sum(old.as_ref(), &delta)).or(old),
        Act::Append(more) => bytes.extend(more),
        Act::Write(offset, with) => {
            bytes.resize(bytes.len().max(*offset as usize + with.len()), 0);
            bytes[*offset as usize..*offset as usize + with.len()].copy_from_slice(with);
        }
        Act::Bits(offset, width, value) => {
            for i in 0..u64::from(*width) {
                let at = offset + i;
                bytes.resize(bytes.len().max(at as usize / 8 + 1), 0);
                let bit = value >> (u64::from(*width) - 1 - i) & 1;
                let byte = &mut bytes[at as usize / 8];
                *byte = *byte & !(0x80 >> (at % 8)) | (bit as u8) << (7 - at % 8);
            }
        }
        Act::MaxBytes(other) => {
            bytes.resize(bytes.len().max(other.len()), 0);
            bytes.iter_mut().zip(other).for_each(|(byte, other)| *byte = (*byte).max(*other));
        }
        _ => unreachable!("no edit"),
    }
    Some(bytes)
}

fn score(old: f64, from: u64, to: u64) -> f64 {
    let (from, to) = (f64::from_bits(from), f64::from_bits(to));
    if to.is_infinite() {
        return to;
    }
    if old.is_infinite() {
        return old;
    }
    let exact = |x| BigDecimal::try_from(x).expect("a number");
    (exact(old) + exact(to) - exact(from)).to_string().parse().expect("a number")
}

fn collection(left: &[Left<'_>]) -> Option<Held> {
    let names = left.iter().filter_map(|l| match &l.part {
        Part::Element(kind, name, _) | Part::Delta(kind, name, _) => Some((*kind as u8, name.clone())),
        _ => None,
    });
    let names: BTreeSet<(u8, Bytes)> = names.collect();
    let kind = Kind::from_u8(names.first()?.0)?;
    let names = names.into_iter().map(|(_, name)| name);
    Some(match kind {
        Kind::Set => Held::Set(names.collect()),
        Kind::ZSet => Held::ZSet(names.map(|name| (name.clone(), scored(left, &name))).collect()),
        _ => Held::Hash(
            names.filter_map(|name| Some((name.clone(), (field(left, &name)?, field_deadline(left, &name))))).collect(),
        ),
    })
}

fn scored(left: &[Left<'_>], wanted: &Bytes) -> f64 {
    let base = left.iter().rev().find_map(|l| match &l.part {
        Part::Element(_, name, Value::Score(score)) if name == wanted => Some(f64::from_bits(*score)),
        _ => None,
    });
    left.iter().fold(base.unwrap_or(0.0), |old, l| match &l.part {
        Part::Delta(_, name, Value::ScoreDelta(from, to)) if name == wanted => score(old, *from, *to),
        _ => old,
    })
}

fn field(left: &[Left<'_>], wanted: &Bytes) -> Option<Bytes> {
    let base = left.iter().rev().find_map(|l| match &l.part {
        Part::Element(_, name, Value::Bytes(value)) if name == wanted => Some(value.clone()),
        _ => None,
    });
    left.iter().fold(base, |old, l| match &l.part {
        Part::Delta(_, name, Value::Int(delta)) if name == wanted => add_int(old.as_ref(), *delta).or(old),
        Part::Delta(_, name, Value::Decimal(delta)) if name == wanted => {
            decimal(delta).and_then(|delta| sum(old.as_ref(), &delta)).or(old)
        }
        _ => old,
    })
}

fn field_deadline(left: &[Left<'_>], wanted: &Bytes) -> Option<i64> {
    let is_value = |l: &&Left<'_>| matches!(&l.part, Part::Element(Kind::Hash, name, _) if name == wanted);
    let shown = left.iter().rfind(is_value).map(|l| l.entry.dot);
    let moments = left.iter().filter_map(|l| match &l.part {
        Part::FieldDeadline(name, at, bound) if name == wanted => {
            let has_value = left.iter().filter(is_value).any(|v| v.entry.dot == l.entry.dot);
            (!bound || !has_value || shown == Some(l.entry.dot)).then_some(*at)
        }
        _ => None,
    });
    latest(moments)
}

fn list(left: &[Left<'_>]) -> Option<Held> {
    let mut elements: BTreeMap<ListPos, (Dot, Bytes)> = BTreeMap::new();
    for l in left {
        if let Part::At(pos, value) = &l.part {
            elements.insert(pos.clone(), (l.entry.dot, value.clone()));
        }
    }
    for l in left {
        if let Part::Content(pos, value) = &l.part
            && let Some((dot, element)) = elements.get_mut(pos)
            && l.entry.observed(*dot)
        {
            element.clone_from(value);
        }
    }
    (!elements.is_empty()).then(|| Held::List(elements.into_iter().map(|(pos, (_, value))| (pos, value)).collect()))
}
