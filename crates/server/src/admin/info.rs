//! INFO: which sections, in which order. The sections are in `info_sections`.

use resp::Args;

use super::Handlers;
use super::info_sections as sections;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::Session;

/// The handlers of this family.
pub const HANDLERS: Handlers = &[("info", info)];

/// A section's lines, each `name:value`.
#[derive(Default)]
pub struct Lines(String);

impl Lines {
    /// Adds a line.
    pub fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.0
    }
}

type Write = fn(&Room, &Turn<'_>, &mut Lines);

struct Section {
    title: &'static str,
    /// Part of what INFO without arguments shows.
    default: bool,
    write: Write,
}

const fn section(title: &'static str, default: bool, write: Write) -> Section {
    Section { title, default, write }
}

const SECTIONS: &[Section] = &[
    section("Server", true, sections::server),
    section("Clients", true, sections::clients),
    section("Memory", true, sections::memory),
    section("Persistence", true, sections::persistence),
    section("Stats", true, sections::stats),
    section("Replication", true, super::info_group::replication),
    section("CPU", true, sections::cpu),
    section("Modules", true, |_, _, _| {}),
    section("Commandstats", false, sections::command_stats),
    section("Errorstats", true, sections::error_stats),
    section("Latencystats", false, sections::latency_stats),
    section("Cluster", true, |_, _, lines| lines.add("cluster_enabled", 0)),
    section("Keyspace", true, sections::keyspace),
    section("Keyspaces", true, super::keyspace::section),
];

/// Whether one of the words asks for the section.
fn is_wanted(section: &Section, words: &[&[u8]]) -> bool {
    let named = |word: &&[u8]| match word.to_ascii_lowercase().as_slice() {
        b"default" => section.default,
        // `all` leaves out what modules add, of which there is nothing but the heading.
        b"all" => section.title != "Modules",
        b"everything" => true,
        name => section.title.as_bytes().eq_ignore_ascii_case(name),
    };
    if words.is_empty() { section.default } else { words.iter().any(named) }
}

fn info(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let words: Vec<&[u8]> = args.iter().skip(1).collect();
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| is_wanted(section, &words)) {
        let mut lines = Lines::default();
        (section.write)(room, turn, &mut lines);
        if !text.is_empty() {
            text.push_str("\r\n");
        }
        text.push_str(&format!("# {}\r\n{}", section.title, lines.text()));
    }
    session.reply(turn).verbatim(*b"txt", text.as_bytes());
    Flow::Continue
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(words: &[&str]) -> Vec<&'static str> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        SECTIONS.iter().filter(|section| is_wanted(section, &words)).map(|section| section.title).collect()
    }

    #[test]
    fn words_choose_sections_in_any_case_and_number() {
        assert_eq!(titles(&["cpu", "SERVER", "nonsense"]), ["Server", "CPU"]);
        assert!(!titles(&[]).contains(&"Commandstats"));
        assert_eq!(titles(&[]), titles(&["default"]));
        assert_eq!(titles(&["everything"]).len(), SECTIONS.len());
        assert!(!titles(&["all"]).contains(&"Modules") && titles(&["all"]).contains(&"Latencystats"));
        assert!(titles(&["default", "commandstats"]).contains(&"Commandstats"));
    }
}
