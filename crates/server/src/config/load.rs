//! Turns lines into values: defaults first, then each line over what is there.

use std::path::{Path, PathBuf};

use super::directive::{Change, Effect};
use super::error::ConfigError;
use super::source::Line;
use super::suggest::closest;
use super::table::table;
use super::value::{Reading, Value};
use super::words::split_line;

/// The values of all directives, in the order of the table.
pub(super) type Values = Vec<Value>;

/// The values that come out of the lines read so far.
pub(super) struct Loader {
    values: Values,
    /// Directives that the source at hand has named.
    named: Vec<bool>,
    base: PathBuf,
}

/// What every directive is worth if nothing is said.
pub(super) fn defaults(base: &Path) -> Values {
    let reading = Reading { before: None, again: false, base };
    let value = |row: &super::directive::Directive| {
        let args = split_line(row.default.as_bytes()).expect("defaults in the table are balanced");
        row.parse(&args, reading)
            .unwrap_or_else(|reason| panic!("the default of {} does not parse: {reason}", row.name))
    };
    table().rows().map(value).collect()
}

impl Loader {
    pub(super) fn new(base: &Path) -> Self {
        Self { values: defaults(base), named: vec![false; table().len()], base: base.to_owned() }
    }

    /// Reads the lines of one source. What they say replaces what earlier sources said.
    pub(super) fn source(&mut self, lines: &[Line]) -> Result<(), ConfigError> {
        self.named.fill(false);
        lines.iter().try_for_each(|line| self.line(line))
    }

    fn line(&mut self, line: &Line) -> Result<(), ConfigError> {
        let Some(at) = table().find(&line.name) else {
            return Err(line.error(bad_directive(&line.name)));
        };
        let row = table().row(at);
        let args = if row.change == Change::FileOnly { line.args.clone() } else { spread(&line.args) };
        let args = if row.kind.takes_many() { args } else { line.args.clone() };
        let reading = Reading { before: Some(&self.values[at]), again: self.named[at], base: &self.base };
        self.values[at] = row.parse(&args, reading).map_err(|reason| line.error(reason))?;
        self.named[at] = true;
        Ok(())
    }

    pub(super) fn finish(self) -> Values {
        self.values
    }
}

/// One warning for each directive that was given a value and does nothing.
pub(super) fn warnings(values: &Values, base: &Path) -> Vec<String> {
    let differing =
        table().rows().zip(values.iter().zip(defaults(base))).filter(|(_, (value, default))| *value != default);
    differing
        .filter_map(|(row, _)| match row.effect {
            Effect::Inert(why) => Some(format!("'{}' has no effect here: {why}", row.name)),
            _ => None,
        })
        .collect()
}

/// A list may be given as one argument with spaces in it.
pub(super) fn spread(args: &[Vec<u8>]) -> Vec<Vec<u8>> {
    match args {
        [list] if !list.is_empty() => list.split(|b| *b == b' ').map(<[u8]>::to_vec).collect(),
        _ => args.to_vec(),
    }
}

fn bad_directive(name: &[u8]) -> String {
    let reason = "Bad directive or wrong number of arguments";
    match closest(name) {
        Some(known) => format!("{reason}. Did you mean '{known}'?"),
        None => reason.to_owned(),
    }
}
