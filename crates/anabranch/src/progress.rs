//! Shows how far something long has come: a bar on a terminal, else a line every few seconds.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two lines where there is no terminal.
const PERIOD: Duration = Duration::from_secs(3);

/// One pass over a file.
pub struct Shown {
    what: &'static str,
    total: Option<u64>,
    began: Instant,
    said: Instant,
    bar: Option<ProgressBar>,
}

impl Shown {
    /// Begins to show that `what` happens to `total` bytes, if so many are known.
    pub fn new(what: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(what, total));
        Self { what, total, began: Instant::now(), said: Instant::now(), bar }
    }

    /// Shows how far it is.
    pub fn at(&mut self, bytes: u64, keys: u64) {
        let spent = self.began.elapsed();
        match &self.bar {
            Some(bar) => {
                bar.set_position(bytes);
                bar.set_message(format!("{} keys, {}/s", grouped(keys), grouped(per_second(keys, spent))));
            }
            None if self.said.elapsed() >= PERIOD => {
                self.said = Instant::now();
                let of = self.total.map_or(String::new(), |total| format!(" of {}", megabytes(total)));
                let rate = grouped(per_second(keys, spent));
                eprintln!("{}: {}{of}, {} keys, {rate} keys/s", self.what, megabytes(bytes), grouped(keys));
            }
            None => {}
        }
    }

    /// Shows how much is done of what is not known before.
    pub fn of(&mut self, phase: &str, done: u64, total: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(phase.to_owned());
            }
            None if self.said.elapsed() >= PERIOD => {
                self.said = Instant::now();
                eprintln!("{}: {phase}, {} of about {}", self.what, megabytes(done), megabytes(total));
            }
            None => {}
        }
    }

    /// Shows nothing any more; answers the time that it took.
    pub fn end(self) -> Duration {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.began.elapsed()
    }
}

fn bar(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{prefix} [{wide_bar}] {bytes}/{total_bytes} {msg}, {eta} left"),
        None => (ProgressBar::no_length(), "{prefix} {bytes} {msg}"),
    };
    let style = ProgressStyle::with_template(template).expect("the template's names are indicatif's");
    bar.with_style(style.progress_chars("=> ")).with_prefix(what)
}

/// So many in each second.
pub fn per_second(count: u64, spent: Duration) -> u64 {
    (count as f64 / spent.as_secs_f64().max(1e-9)) as u64
}

/// Bytes in MB.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// A number with its digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(per_second(500, Duration::from_millis(250)), 2000);
        assert_eq!(megabytes(1_250_000), "1.2 MB");
    }

    #[test]
    fn every_bar_can_be_drawn() {
        for total in [None, Some(10)] {
            bar("x", total).set_position(5);
        }
    }
}
