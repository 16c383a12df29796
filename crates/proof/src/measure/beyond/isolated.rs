//! Latencies of GET when nothing else goes on, at a low steady rate: of keys that are in memory, and of keys that certainly
//! are not. The server's own count of reads from disk tells which is which; what it leaves open counts for neither.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Options;
use super::expect::Expect;
use super::item::Blob;
use super::owner::Owner;
use crate::conn::{Conn, command};
use crate::measure::info;
use crate::measure::latency::Latencies;
use crate::measure::poll;
use crate::measure::subject::Running;
use crate::measure::table::Figure;
use crate::rng::Rng;

/// GETs between two looks at the count: where it has grown by as many, none of them was a hit.
const CHUNK: usize = 4;

/// Keys that are read again and again, so that they are in memory. Few: no bound on memory is so low that they leave it.
const TOUCHED: usize = 64;

/// What was found.
#[derive(Debug, Default)]
pub struct Isolated {
    hits: Latencies,
    misses: Latencies,
    /// GETs of chunks in which there were both, or more reads than GETs.
    unclear: u64,
}

/// What a chunk of GETs was, by what the server has read from disk meanwhile.
#[derive(Debug, PartialEq, Eq)]
enum Were {
    Hits,
    Misses,
    Unclear,
}

/// Reads strings of an owner that does nothing, each once; then a few of them again and again.
pub fn run(running: &Running, owner: &Owner, options: &Options) -> Result<Isolated> {
    info::settle(&mut running.open()?)?;
    poll::exact_timers();
    let (mut rng, count) = (Rng::new(options.seed), options.quiet_gets as usize);
    let mut texts: Vec<(Vec<u8>, Blob)> = owner.texts().collect();
    for last in (1..texts.len()).rev() {
        texts.swap(last, rng.below(last + 1));
    }
    let touched = texts.split_off(texts.len().saturating_sub(TOUCHED));
    texts.truncate(count);
    let mut asker = Asker { running, conn: running.open()?, found: Isolated::default(), rate: options.quiet_rate };
    asker.ask(&texts)?;
    asker.touch(&touched)?;
    let again: Vec<_> = (0..count).map(|_| rng.pick(&touched).clone()).collect();
    asker.ask(&again)?;
    Ok(asker.found)
}

struct Asker<'a> {
    running: &'a Running,
    conn: Conn,
    found: Isolated,
    rate: u64,
}

impl Asker<'_> {
    /// Reads these, and times none of them.
    fn touch(&mut self, texts: &[(Vec<u8>, Blob)]) -> Result<()> {
        texts.iter().try_for_each(|text| self.get(text).map(drop))
    }

    /// Reads these at the rate; a GET counts from when it is sent.
    fn ask(&mut self, texts: &[(Vec<u8>, Blob)]) -> Result<()> {
        let interval = Duration::from_nanos(1_000_000_000 / self.rate);
        let mut watcher = self.running.open()?;
        let mut before = rest_reads(&mut watcher)?;
        for chunk in texts.chunks(CHUNK) {
            let (mut due, mut took) = (Instant::now() + interval, Vec::new());
            for text in chunk {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due += interval;
                took.push(self.get(text)?);
            }
            let reads = rest_reads(&mut watcher)?;
            self.found.add(&took, were(took.len(), before, reads));
            before = reads;
        }
        Ok(())
    }

    fn get(&mut self, (name, blob): &(Vec<u8>, Blob)) -> Result<Duration> {
        let (get, expect) = (command(&[&b"GET"[..], name]), Expect::bulk(Some(blob.bytes())));
        let began = Instant::now();
        let reply = self.conn.call(&get)?;
        let took = began.elapsed();
        expect.check(&get, &reply)?;
        Ok(took)
    }
}

/// How often the server has read from disk what was not in memory; a server that has all of it in memory does not say.
fn rest_reads(conn: &mut Conn) -> Result<u64> {
    Ok(info::number(conn, "stats", "rest_reads").context("INFO")?.map_or(0, |reads| reads as u64))
}

fn were(gets: usize, before: u64, after: u64) -> Were {
    match after.saturating_sub(before) {
        0 => Were::Hits,
        reads if reads == gets as u64 => Were::Misses,
        _ => Were::Unclear,
    }
}

impl Isolated {
    fn add(&mut self, took: &[Duration], were: Were) {
        let latencies = match were {
            Were::Hits => &mut self.hits,
            Were::Misses => &mut self.misses,
            Were::Unclear => return self.unclear += took.len() as u64,
        };
        took.iter().for_each(|took| latencies.push(*took));
    }

    /// Latencies of both, and how many of them there were.
    pub fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (latencies, what) in
            [(&self.hits, "alone: GET of a key in memory"), (&self.misses, "alone: GET of a key at rest")]
        {
            figures.extend(latencies.figures(what));
            figures.push(Figure::gain(format!("{what}, how many"), "", latencies.count() as f64));
        }
        figures.push(Figure::cost("alone: GETs of which it is not known", "", self.unclear as f64));
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::{Were, were};

    #[test]
    fn gets_count_as_misses_only_if_the_server_has_read_for_each_and_as_hits_only_if_for_none() {
        assert_eq!(were(4, 10, 10), Were::Hits);
        assert_eq!(were(4, 10, 14), Were::Misses);
        assert_eq!([were(4, 10, 13), were(4, 10, 15)], [Were::Unclear, Were::Unclear]);
    }
}
