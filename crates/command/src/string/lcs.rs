//! LCS: the longest common subsequence of two strings.
//!
//! Dynamic programming over all pairs of prefixes (Wagner and Fischer 1974), walked back from the end.

use engine::{Entry, State, Stop};

use crate::cx::Cx;
use crate::errors;
use crate::parse;
use crate::spec::Outcome;

/// What is asked for.
#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: i64,
}

impl Options {
    fn read(cx: &Cx<'_, '_>) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut at = 3;
        while at < cx.argc() {
            let word = cx.arg(at);
            if parse::is(word, "idx") {
                options.idx = true;
            } else if parse::is(word, "len") {
                options.len = true;
            } else if parse::is(word, "withmatchlen") {
                options.with_match_len = true;
            } else if parse::is(word, "minmatchlen") && at + 1 < cx.argc() {
                at += 1;
                options.min_match_len = parse::int(cx.arg(at))?.max(0);
            } else {
                return Err(errors::SYNTAX);
            }
            at += 1;
        }
        if options.idx && options.len { Err(errors::LCS_LEN_AND_IDX) } else { Ok(options) }
    }
}

pub(super) fn lcs(cx: &mut Cx<'_, '_>) -> Outcome {
    let a = string(cx.state, cx.arg(1))?;
    let b = string(cx.state, cx.arg(2))?;
    let options = Options::read(cx)?;
    let cells = (a.len() as u64 + 1) * (b.len() as u64 + 1);
    if cells.saturating_mul(size_of::<u32>() as u64) > cx.env.max_string {
        return Err(errors::LCS_TOO_LARGE);
    }
    let table = Table::new(a, b);
    let runs = table.runs();
    let total: usize = runs.iter().map(|run| run.len).sum();
    if options.idx {
        write_runs(&mut cx.reply, &runs, total, &options);
    } else if options.len {
        cx.reply.int(total as i64);
    } else {
        let mut common = Vec::with_capacity(total);
        runs.iter().rev().for_each(|run| common.extend_from_slice(&a[run.a..run.a + run.len]));
        cx.reply.bulk(&common);
    }
    Ok(())
}

/// The string at `key`; an absent one is empty.
fn string<'s>(state: &'s State<'_>, key: &[u8]) -> Result<&'s [u8], Stop> {
    match state.entry(key)? {
        None => Ok(b""),
        Some(entry) => Entry::bytes(entry).ok_or(errors::LCS_NEEDS_STRINGS),
    }
}

fn write_runs(reply: &mut resp::Reply<'_>, runs: &[Run], total: usize, options: &Options) {
    reply.map(2);
    reply.bulk(b"matches");
    let shown = || runs.iter().filter(|run| run.len as i64 >= options.min_match_len);
    reply.array(shown().count());
    for run in shown() {
        reply.array(2 + usize::from(options.with_match_len));
        for first in [run.a, run.b] {
            reply.array(2);
            reply.int(first as i64);
            reply.int((first + run.len - 1) as i64);
        }
        if options.with_match_len {
            reply.int(run.len as i64);
        }
    }
    reply.bulk(b"len");
    reply.int(total as i64);
}

/// Bytes that match one after the other in both strings.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// The first one's index in the first string.
    a: usize,
    /// The first one's index in the second string.
    b: usize,
    len: usize,
}

/// The lengths of the longest common subsequences of all prefixes.
struct Table<'t> {
    a: &'t [u8],
    b: &'t [u8],
    cells: Vec<u32>,
}

impl<'t> Table<'t> {
    fn new(a: &'t [u8], b: &'t [u8]) -> Self {
        let width = b.len() + 1;
        let mut cells = vec![0u32; (a.len() + 1) * width];
        for (i, x) in a.iter().enumerate() {
            let (above, row) = cells[i * width..(i + 2) * width].split_at_mut(width);
            for (j, y) in b.iter().enumerate() {
                row[j + 1] = if x == y { above[j] + 1 } else { above[j + 1].max(row[j]) };
            }
        }
        Self { a, b, cells }
    }

    fn cell(&self, i: usize, j: usize) -> u32 {
        self.cells[i * (self.b.len() + 1) + j]
    }

    /// The runs of one longest subsequence, the last one first. Where both ways are as long, the second string's
    /// byte is passed over, as Redis does.
    fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut i, mut j) = (self.a.len(), self.b.len());
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                match runs.last_mut() {
                    Some(run) if run.a == i && run.b == j => {
                        *run = Run { a: i - 1, b: j - 1, len: run.len + 1 };
                    }
                    _ => runs.push(Run { a: i - 1, b: j - 1, len: 1 }),
                }
                i -= 1;
                j -= 1;
            } else if self.cell(i - 1, j) > self.cell(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }
}
