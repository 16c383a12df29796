//! Figures of both servers: medians of the rounds, the worst round, and what ours is to theirs.

use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::json;

/// Which way a figure is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// A throughput.
    Low,
    /// A latency, a size.
    High,
}

/// One figure of one round.
#[derive(Clone, Debug)]
pub struct Figure {
    pub(super) what: String,
    pub(super) unit: &'static str,
    pub(super) worse: Worse,
    pub(super) value: f64,
}

impl Figure {
    /// A cost: less is better.
    pub(super) fn cost(what: impl Into<String>, unit: &'static str, value: f64) -> Figure {
        Figure { what: what.into(), unit, worse: Worse::High, value }
    }

    /// A gain: more is better.
    pub(super) fn gain(what: impl Into<String>, unit: &'static str, value: f64) -> Figure {
        Figure { what: what.into(), unit, worse: Worse::Low, value }
    }
}

/// All rounds of one figure.
#[derive(Debug)]
struct Row {
    what: String,
    unit: &'static str,
    worse: Worse,
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

/// All figures.
#[derive(Debug)]
pub struct Table {
    /// What the columns are called.
    names: [&'static str; 2],
    rows: Vec<Row>,
}

impl Default for Table {
    fn default() -> Table {
        Table::of(["ours", "peer"])
    }
}

impl Table {
    /// With other names than those of ours and the peer.
    pub(super) fn of(names: [&'static str; 2]) -> Table {
        Table { names, rows: Vec::new() }
    }

    /// Takes the figures of a round.
    pub(super) fn add(&mut self, is_ours: bool, figures: Vec<Figure>) {
        for Figure { what, unit, worse, value } in figures {
            let at = self.rows.iter().position(|row| row.what == what && row.unit == unit).unwrap_or_else(|| {
                self.rows.push(Row { what, unit, worse, ours: Vec::new(), theirs: Vec::new() });
                self.rows.len() - 1
            });
            let Row { ours, theirs, .. } = &mut self.rows[at];
            if is_ours { ours.push(value) } else { theirs.push(value) }
        }
    }

    /// Appends all of it to a file, as a line of JSON.
    pub(super) fn append_to(&self, path: &Path, name: &str, conditions: &str) -> Result<()> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let rows: Vec<_> = self.rows.iter().map(Row::json).collect();
        let line = json!({ "at": at, "measured": name, "conditions": conditions, "figures": rows });
        Ok(writeln!(std::fs::File::options().create(true).append(true).open(path)?, "{line}")?)
    }
}

impl Row {
    fn worst(&self, values: &[f64]) -> Option<f64> {
        let values = values.iter().copied();
        match self.worse {
            Worse::Low => values.reduce(f64::min),
            Worse::High => values.reduce(f64::max),
        }
    }

    fn ratio(&self) -> Option<f64> {
        Some(median(&self.ours)? / median(&self.theirs)?).filter(|ratio| ratio.is_finite())
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "what": self.what, "unit": self.unit,
            "ours": median(&self.ours), "ours_worst": self.worst(&self.ours),
            "peer": median(&self.theirs), "peer_worst": self.worst(&self.theirs),
            "ratio": self.ratio(),
        })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, theirs] = self.names;
        writeln!(f, "| | {ours} | worst round | {theirs} | worst round | ratio |\n|---|--:|--:|--:|--:|--:|")?;
        let word = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), short);
        for row in &self.rows {
            let (ours, theirs) = (median(&row.ours), median(&row.theirs));
            let (bad, worse) = (row.worst(&row.ours), row.worst(&row.theirs));
            let ratio = row.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
            let unit = if row.unit.is_empty() { String::new() } else { format!(", {}", row.unit) };
            let cells = [word(ours), word(bad), word(theirs), word(worse), ratio];
            writeln!(f, "| {}{unit} | {} |", row.what, cells.join(" | "))?;
        }
        Ok(())
    }
}

/// The middle one, or the lower of the two in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// With about three digits that mean something.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, Table};

    #[test]
    fn a_row_has_medians_the_worst_round_and_a_ratio() {
        let mut table = Table::default();
        for (ours, theirs) in [(10.0, 5.0), (30.0, 6.0), (12.0, 4.0)] {
            table.add(true, vec![Figure::gain("SET", "1/s", ours), Figure::cost("stop", "s", ours)]);
            table.add(false, vec![Figure::gain("SET", "1/s", theirs)]);
        }
        let text = table.to_string();
        assert!(text.contains("| SET, 1/s | 12.0 | 10.0 | 5.00 | 4.00 | 2.40 |"), "{text}");
        assert!(text.contains("| stop, s | 12.0 | 30.0 | – | – | – |"), "{text}");
    }

    #[test]
    fn figures_of_one_name_and_two_units_are_two_rows() {
        let mut table = Table::default();
        table.add(true, vec![Figure::cost("processor", "µs/row", 1.0), Figure::cost("processor", "µs/SET", 2.0)]);
        let text = table.to_string();
        assert!(
            text.contains("| processor, µs/row | 1.00 | 1.00 |")
                && text.contains("| processor, µs/SET | 2.00 | 2.00 |"),
            "{text}"
        );
    }

    #[test]
    fn results_are_a_line_each() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let mut table = Table::default();
        table.add(true, vec![Figure::cost("stop", "s", 2.0)]);
        (0..2).for_each(|_| table.append_to(path.path(), "start", "with \"quotes\"").unwrap());
        let text = std::fs::read_to_string(path.path()).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[1]["figures"][0]["ours"]), (2, &serde_json::json!(2.0)));
    }
}
