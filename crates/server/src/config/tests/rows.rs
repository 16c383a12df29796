//! The table itself: names, defaults, bounds.

use std::path::Path;

use super::super::directive::{Change, Effect, Kind};
use super::super::load::defaults;
use super::super::number::{Number, Unit};
use super::super::table::table;
use super::super::value::Reading;
use super::super::words::split_line;
use super::super::{Config, Settings, find_directive};

fn fresh() -> Reading<'static> {
    Reading { before: None, again: false, base: Path::new("/base") }
}

#[test]
fn no_name_is_given_twice_and_all_are_lower_case() {
    let all: usize = table().rows().map(|row| row.names().count()).sum();
    assert_eq!(all, table().names().count(), "a name stands for two rows");
    assert!(table().names().all(|(name, _)| !name.bytes().any(|b| b.is_ascii_uppercase())));
}

#[test]
fn names_are_found_in_any_case_and_aliases_lead_to_the_same_row() {
    assert_eq!(find_directive(b"MaxMemory").unwrap().name, "maxmemory");
    assert_eq!(find_directive(b"hash-max-ziplist-value").unwrap().name, "hash-max-listpack-value");
    assert!(find_directive(b"max-memory").is_none());
    assert!(find_directive(b"\xff").is_none());
}

#[test]
fn every_default_prints_and_reads_back_as_itself() {
    for (row, value) in table().rows().zip(defaults(Path::new("/base"))) {
        // What CONFIG GET prints can be given to CONFIG SET, as one argument.
        let printed = row.print(&value);
        if row.change != Change::FileOnly {
            let args = if row.kind.takes_many() {
                printed.split(|b| *b == b' ').filter(|w| !w.is_empty()).map(<[u8]>::to_vec).collect()
            } else {
                vec![printed]
            };
            assert_eq!(row.parse(&args, fresh()), Ok(value.clone()), "{}", row.name);
        }
        // And so can the lines of a file.
        let mut read = None;
        for line in row.file_lines(&value) {
            let args = split_line(&line).unwrap();
            let reading = Reading { before: read.as_ref(), again: read.is_some(), base: Path::new("/base") };
            read = Some(row.parse(&args, reading).unwrap_or_else(|e| panic!("{}: {e}", row.name)));
        }
        if row.change != Change::FileOnly {
            assert_eq!(read, Some(value), "{}", row.name);
        }
    }
}

#[test]
fn every_number_takes_its_bounds_and_nothing_beyond() {
    for row in table().rows() {
        let Kind::Number(number) = row.kind else { continue };
        let Number { min, max, .. } = number;
        for value in [min, max] {
            let text = number.print(value);
            // One byte below zero has no spelling; such a bound is reached through its default only.
            if let (Effect::Inert(_) | Effect::Real, Ok(parsed)) = (row.effect, number.parse(text.as_bytes())) {
                assert_eq!(parsed, value, "{}", row.name);
                assert_eq!(number.print(parsed), text);
            }
        }
        if number.unit == Unit::Clamped {
            assert_eq!(number.parse(number.print(max + 1).as_bytes()), Ok(max), "{}", row.name);
            assert!(number.parse(b"-1").is_err() && number.parse(b"2147483648").is_err(), "{}", row.name);
            continue;
        }
        for beyond in [min - 1, max + 1] {
            assert!(number.parse(number.print(beyond).as_bytes()).is_err(), "{} took {beyond}", row.name);
        }
    }
}

#[test]
fn refusals_say_what_to_do_and_take_their_default() {
    for row in table().rows() {
        if let Effect::Refused(allowed, instead) = row.effect {
            assert!(instead.contains(':') || instead.contains(';') || instead.contains(','), "{}: {instead}", row.name);
            assert!(!allowed.is_empty(), "{}", row.name);
        }
    }
    let config = Config::defaults(Path::new("/base"));
    let error = config.set(&[(b"min-replicas-to-write", b"1")], true).unwrap_err().to_string();
    assert!(error.contains("no replicas yet"), "{error}");
    assert_eq!(config.set(&[(b"min-replicas-to-write", b"0")], true), Ok(vec![]));
}

#[test]
fn settings_hold_the_documented_defaults() {
    let settings = Settings::clone(&Config::defaults(Path::new("/base")).settings());
    assert_eq!(settings.network.port, 6379);
    assert_eq!(settings.network.bind.len(), 2);
    assert!(settings.network.bind[1].optional && settings.network.bind[1].host == "::*");
    assert_eq!(settings.persistence.dir, Path::new("/base/data"));
    assert_eq!(settings.clients.proto_max_bulk_len, 512 << 20);
    assert_eq!(settings.clients.output_limits.pubsub.hard_bytes, 32 << 20);
    assert_eq!(settings.observability.slowlog_slower_than_us, Some(10_000));
    assert!(settings.tls.v1_2 && settings.tls.v1_3);
    assert!(settings.security.requirepass.is_none());
}
