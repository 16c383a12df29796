//! The figures of each part on disk, and the page made of them.

use crate::contender::Failure;
use crate::part::{Better, Column, Kind, PARTS, Part};
use crate::row::Row;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

const RAW: &str = "raw O_DIRECT writer";
const OURS: &str = "blob cache";
/// What the figures mean where they fall short, by people.
const REMARKS: &str = include_str!("../REMARKS.md");

/// The rows of one part and when they were measured.
pub struct Results {
    part: String,
    when: String,
    commit: String,
    bytes: u64,
    pub rows: Vec<(String, Row)>,
}

/// What a program says, on one line.
fn ask(program: &str, args: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).args(args).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

impl Results {
    pub fn new(part: &str, bytes: u64) -> Result<Self, Failure> {
        let when = ask("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?;
        let commit = ask("git", &["describe", "--always", "--dirty", "--exclude=*"])?;
        Ok(Self { part: part.into(), when, commit, bytes, rows: Vec::new() })
    }

    /// Adds what the raw writer reached and each row's share of it.
    pub fn set_raw(&mut self, megabytes_a_second: f64) {
        for (_, row) in &mut self.rows {
            let persisted = row.get("persisted").unwrap_or_default();
            row.set("of_raw", persisted * 100.0 / megabytes_a_second);
        }
        let mut row = Row::default();
        row.set("persisted", megabytes_a_second);
        self.rows.insert(0, (RAW.into(), row));
    }

    pub fn save(&self, dir: &Path) -> Result<(), Failure> {
        let mut text = format!("{}\n{}\n{}\n", self.when, self.commit, self.bytes);
        for (store, row) in &self.rows {
            write!(text, "[{store}]\n{}", row.to_lines())?;
        }
        Ok(std::fs::write(dir.join(format!("{}.tsv", self.part)), text)?)
    }

    fn load(dir: &Path, part: &Part) -> Result<Option<Self>, Failure> {
        let text = match std::fs::read_to_string(dir.join(format!("{}.tsv", part.name))) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let mut lines = text.splitn(4, '\n');
        let mut line = || lines.next().ok_or("a file of results is cut short");
        let (when, commit, bytes) = (line()?.into(), line()?.into(), line()?.parse()?);
        let section = |section: &str| {
            let (store, lines) = section.split_once("]\n")?;
            Some((store.to_owned(), Row::from_lines(lines)))
        };
        let rows = line()?.split('[').filter_map(section).collect();
        Ok(Some(Self { part: part.name.into(), when, commit, bytes, rows }))
    }

    fn row(&self, store: &str) -> Option<&Row> {
        self.rows.iter().find(|(name, _)| name == store).map(|(_, row)| row)
    }
}

/// The page of all parts whose figures are there.
pub fn render(dir: &Path) -> Result<String, Failure> {
    let (mut tables, mut behind, mut missing) = (String::new(), String::new(), Vec::new());
    for part in &PARTS {
        let Some(results) = Results::load(dir, part)? else {
            missing.push(part.name);
            continue;
        };
        table(&mut tables, part, &results)?;
        for column in part.columns() {
            compare(&mut behind, part, column, &results)?;
        }
    }
    let mut page = String::new();
    if !missing.is_empty() {
        writeln!(page, "Not measured yet: {}.\n", missing.join(", "))?;
    }
    writeln!(page, "{REMARKS}")?;
    writeln!(
        page,
        "## Where a peer is better than `{OURS}`\n\nMade from the tables below; of percentiles the median is compared.\n"
    )?;
    writeln!(page, "| part | figure | {OURS} | blob buffered | best peer | |\n|---|---|---|---|---|---|\n{behind}")?;
    page += &tables;
    Ok(page.trim_end().to_owned() + "\n")
}

fn table(out: &mut String, part: &Part, results: &Results) -> Result<(), Failure> {
    let columns: Vec<&Column> = part.columns().iter().filter(|column| told(results, column)).collect();
    writeln!(out, "## {}\n\n{}\n", part.title, part.about)?;
    let sized = matches!(part.kind, Kind::Sizes(_));
    let volume = if sized { format!(", {} MiB a store", results.bytes >> 20) } else { String::new() };
    writeln!(out, "`--only {}`, measured {} at {}{volume}.\n", part.name, results.when, results.commit)?;
    let headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
    writeln!(out, "| store | {} |\n|---|{}", headings.join(" | "), "---|".repeat(columns.len()))?;
    for (store, row) in &results.rows {
        let cells: Vec<String> = columns.iter().map(|column| cell(row, column)).collect();
        writeln!(out, "| {store} | {} |", cells.join(" | "))?;
    }
    writeln!(out)?;
    Ok(())
}

/// Whether any store has a figure in this column.
fn told(results: &Results, column: &Column) -> bool {
    results.rows.iter().any(|(_, row)| row.get(column.metrics[0]).is_some())
}

fn cell(row: &Row, column: &Column) -> String {
    let value = |metric: &&str| row.get(metric).map(|value| format!("{value:.*}", column.decimals));
    let values: Vec<String> = column.metrics.iter().filter_map(value).collect();
    if values.is_empty() { "–".into() } else { values.join(" / ") }
}

/// Notes the column if the best of the peers beats us by more than what is noise in a hundredth.
fn compare(out: &mut String, part: &Part, column: &Column, results: &Results) -> Result<(), Failure> {
    let metric = column.metrics[0];
    let Some(ours) = results.row(OURS).and_then(|row| row.get(metric)) else { return Ok(()) };
    let peers = ["foyer", "plain files"];
    let figures = peers.iter().filter_map(|peer| Some((*peer, results.row(peer)?.get(metric)?)));
    let best = match column.better {
        Better::Higher => figures.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|best| best.1 > ours * 1.01),
        Better::Lower => figures.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|best| best.1 < ours * 0.99),
        Better::Neither => None,
    };
    if let Some((peer, figure)) = best {
        let ratio = if ours > figure { ours / figure } else { figure / ours };
        let show = |value: f64| format!("{value:.*}", column.decimals.max(1));
        let buffered = results.row("blob buffered").and_then(|row| row.get(metric)).map_or("–".into(), show);
        let heading = column.heading.replace(" p50 / p99 / p99.9", " p50,");
        writeln!(
            out,
            "| {} | {heading} | {} | {buffered} | {} | {peer}, {ratio:.2}× |",
            part.name,
            show(ours),
            show(figure)
        )?;
    }
    Ok(())
}
