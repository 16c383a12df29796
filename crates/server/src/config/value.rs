//! The value of one directive: read from arguments, printed for CONFIG GET, written for a file.

use std::path::{Component, Path, PathBuf};

use super::directive::{Directive, Effect, Kind};
use super::special::{EventMask, OutputLimits, SavePoint, oom_scores, percentile_text, percentiles, save_points};
use super::words::{quote, quote_if_needed};

/// A value, of the shape that its directive's [`Kind`] says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Number(i128),
    /// The word as it is printed.
    Choice(&'static str),
    /// The words as they are printed; none stands for the first word of the kind.
    Flags(Vec<&'static str>),
    Text(Vec<u8>),
    Words(Vec<Vec<u8>>),
    Save(Vec<SavePoint>),
    OutputLimits(OutputLimits),
    OomScores([i32; 3]),
    Events(EventMask),
    Percentiles(Vec<f64>),
    Renames(Vec<(Vec<u8>, Vec<u8>)>),
}

/// What a new value is read against.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    /// The value until now.
    pub(super) before: Option<&'a Value>,
    /// Whether this source has named the directive already: then lines that add up do.
    pub(super) again: bool,
    /// What relative directories are relative to.
    pub(super) base: &'a Path,
}

impl Directive {
    /// Reads the value; the error is the text that Redis gives.
    pub(super) fn parse(&self, args: &[Vec<u8>], reading: Reading<'_>) -> Result<Value, String> {
        let value = self.parse_any(args, reading)?;
        if let Effect::Refused(allowed, instead) = self.effect {
            let printed = self.print(&value);
            if !allowed.iter().any(|a| a.as_bytes() == printed) {
                return Err(instead.to_owned());
            }
        }
        Ok(value)
    }

    fn parse_any(&self, args: &[Vec<u8>], reading: Reading<'_>) -> Result<Value, String> {
        if self.kind.takes_many() {
            return parse_many(self.kind, args, reading);
        }
        let [text] = args else {
            return Err("wrong number of arguments".into());
        };
        match self.kind {
            Kind::Bool => yes_or_no(text).map(Value::Bool),
            Kind::Number(number) => number.parse(text).map(Value::Number),
            Kind::Choice(words) => choice(words, text).map(Value::Choice),
            Kind::Text(check) => {
                check(text)?;
                Ok(Value::Text(text.clone()))
            }
            Kind::Directory => Ok(Value::Text(absolute(reading.base, text))),
            Kind::Events => EventMask::parse(text).map(Value::Events),
            _ => unreachable!("the kinds that take many arguments were handled above"),
        }
    }

    /// As CONFIG GET prints it.
    pub(super) fn print(&self, value: &Value) -> Vec<u8> {
        match (value, self.kind) {
            (Value::Number(n), Kind::Number(number)) => number.print(*n).into(),
            (Value::Flags(words), Kind::Flags(all)) if words.is_empty() => all[0].into(),
            (Value::Bool(yes), _) => if *yes { "yes" } else { "no" }.into(),
            (Value::Number(n), _) => n.to_string().into(),
            (Value::Choice(word), _) => (*word).into(),
            (Value::Flags(words), _) => words.join(" ").into(),
            (Value::Text(text), _) => text.clone(),
            (Value::Words(words), _) => words.join(&b' '),
            (Value::Save(points), _) => joined(points.iter().map(|p| format!("{} {}", p.seconds, p.changes))),
            (Value::OutputLimits(limits), _) => limits.print().into(),
            (Value::OomScores(scores), _) => joined(scores.iter().map(i32::to_string)),
            (Value::Events(mask), _) => mask.print().into(),
            (Value::Percentiles(list), _) => joined(list.iter().map(|p| percentile_text(*p))),
            (Value::Renames(pairs), _) => {
                pairs.iter().map(|(from, to)| [from.as_slice(), to].join(&b' ')).collect::<Vec<_>>().join(&b' ')
            }
        }
    }

    /// As a file says it: the arguments of each line that it takes, quoted.
    pub(super) fn file_lines(&self, value: &Value) -> Vec<Vec<u8>> {
        match (value, self.kind) {
            (Value::Number(n), Kind::Number(number)) => vec![number.print_for_file(*n).into()],
            (Value::Text(text), _) => vec![quote_if_needed(text)],
            (Value::Words(words), _) if words.is_empty() => vec![quote(b"")],
            (Value::Words(words), _) => {
                vec![words.iter().map(|w| quote_if_needed(w)).collect::<Vec<_>>().join(&b' ')]
            }
            (Value::Save(points), _) if !points.is_empty() => {
                points.iter().map(|p| format!("{} {}", p.seconds, p.changes).into()).collect()
            }
            (Value::OutputLimits(limits), _) => limits.file_lines(),
            // CONFIG GET rounds; a file must not.
            (Value::Percentiles(list), _) if !list.is_empty() => vec![joined(list.iter().map(f64::to_string))],
            (Value::Renames(pairs), _) => {
                pairs.iter().map(|(from, to)| [quote_if_needed(from), quote_if_needed(to)].join(&b' ')).collect()
            }
            _ => {
                let printed = self.print(value);
                vec![if printed.is_empty() { quote(b"") } else { printed }]
            }
        }
    }
}

fn parse_many(kind: Kind, args: &[Vec<u8>], reading: Reading<'_>) -> Result<Value, String> {
    // A single empty argument is the way to say "none".
    let none: &[Vec<u8>] = &[];
    let args = if matches!(args, [only] if only.is_empty()) && !matches!(kind, Kind::Flags(_)) { none } else { args };
    match kind {
        Kind::Flags(words) => flags(words, args).map(Value::Flags),
        Kind::Words { max, too_many } => {
            if args.len() > max {
                return Err(too_many.into());
            }
            Ok(Value::Words(args.to_vec()))
        }
        Kind::Save => {
            let points = save_points(args)?;
            Ok(Value::Save(match reading.before {
                Some(Value::Save(before)) if reading.again && !points.is_empty() => [before.clone(), points].concat(),
                _ => points,
            }))
        }
        Kind::OutputLimits => {
            let before = match reading.before {
                Some(Value::OutputLimits(limits)) => *limits,
                _ => OutputLimits::default(),
            };
            before.updated(args).map(Value::OutputLimits)
        }
        Kind::OomScores => oom_scores(args).map(Value::OomScores),
        Kind::Percentiles => percentiles(args).map(Value::Percentiles),
        Kind::Renames => {
            let mut pairs = match reading.before {
                Some(Value::Renames(before)) => before.clone(),
                _ => Vec::new(),
            };
            match args {
                [] => {}
                [from, to] => pairs.push((from.to_ascii_lowercase(), to.clone())),
                _ => return Err("wrong number of arguments".into()),
            }
            Ok(Value::Renames(pairs))
        }
        _ => unreachable!("only kinds that take many arguments come here"),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> Vec<u8> {
    parts.collect::<Vec<_>>().join(" ").into()
}

fn yes_or_no(text: &[u8]) -> Result<bool, String> {
    if text.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".into())
    }
}

fn choice(words: &[(&'static str, &'static str)], text: &[u8]) -> Result<&'static str, String> {
    let found = words.iter().find(|(spelling, _)| text.eq_ignore_ascii_case(spelling.as_bytes()));
    found.map(|(_, printed)| *printed).ok_or_else(|| one_of(words.iter().map(|w| w.0)))
}

fn flags(words: &[&'static str], args: &[Vec<u8>]) -> Result<Vec<&'static str>, String> {
    let find = |arg: &Vec<u8>| words.iter().position(|w| arg.eq_ignore_ascii_case(w.as_bytes()));
    let given: Option<Vec<usize>> = args.iter().map(find).collect();
    let given = given.filter(|g| !g.is_empty()).ok_or_else(|| one_of(words.iter().copied()))?;
    let set: Vec<&str> = (1..words.len()).filter(|i| given.contains(i)).map(|i| words[i]).collect();
    if set.contains(&"save") && set.contains(&"nosave") {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(set)
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    format!("argument(s) must be one of the following: {}", words.join(", "))
}

/// The path without `.` parts, relative to `base` if it is not absolute.
fn absolute(base: &Path, text: &[u8]) -> Vec<u8> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let path = base.join(std::ffi::OsStr::from_bytes(text));
    let parts: PathBuf = path.components().filter(|c| *c != Component::CurDir).collect();
    parts.into_os_string().into_vec()
}
