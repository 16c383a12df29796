//! `anabranch import`: brings a file of Redis or Valkey into a data directory that no server uses.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use engine::{CheckpointPolicy, Engine, KeyError, OpenError, Options};
use import::{Existing, Failed, Plan, Summary};
use server::keys::keyring;

use crate::progress::{Shown, grouped, megabytes, per_second};

/// Everything in the file has been imported, but for what had expired.
const COMPLETE: u8 = 0;
/// The file is damaged, or something else went wrong.
const FAILED: u8 = 1;
/// The words behind `import` are not understood.
const USAGE: u8 = 2;
/// The file holds something that has no place here; the rest has been imported.
const INCOMPLETE: u8 = 3;

/// Databases that a server has unless it is told otherwise.
const DATABASES_USUAL: u8 = 16;

/// What the words say.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// None: standard input.
    file: Option<PathBuf>,
    dir: PathBuf,
    key_file: Option<PathBuf>,
    databases: BTreeMap<u64, u8>,
    existing: Existing,
    dry_run: bool,
}

/// Runs it with the words behind `import`.
pub fn run(args: &[OsString]) -> ExitCode {
    let wanted = match parse(args) {
        Ok(wanted) => wanted,
        Err(error) => {
            eprintln!("{error:#}\n{}", crate::USAGE);
            return USAGE.into();
        }
    };
    import(&wanted).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        FAILED.into()
    })
}

fn parse(args: &[OsString]) -> anyhow::Result<Wanted> {
    let (mut file, mut dir) = (None, PathBuf::from("./data"));
    let (mut databases, mut existing, mut dry_run, mut key_file) = (BTreeMap::new(), None, false, None);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{} needs a value", word.display()));
        match word.to_str() {
            Some("--dir") => dir = value()?.into(),
            Some("--encryption-key-file") => key_file = Some(value()?.into()),
            Some("--db") => {
                let text = value()?.to_str().unwrap_or_default();
                let pair = text.split_once('=').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
                let (from, to) = pair.with_context(|| format!("--db {text}: this is not N=M, with M below 256"))?;
                ensure!(databases.insert(from, to).is_none(), "--db {from}=… is there twice");
            }
            Some(flag @ ("--replace" | "--keep")) => {
                let policy = if flag == "--keep" { Existing::Keep } else { Existing::Replace };
                ensure!(existing.replace(policy).is_none_or(|old| old == policy), "--replace or --keep: not both");
            }
            Some("--dry-run") => dry_run = true,
            Some(flag) if flag.starts_with("--") => bail!("{flag} is not known"),
            _ => ensure!(file.replace(PathBuf::from(word)).is_none(), "one file at a time"),
        }
    }
    let file = file.context("which file?")?;
    let file = Some(file).filter(|file| file != Path::new("-"));
    Ok(Wanted { file, dir, key_file, databases, existing: existing.unwrap_or_default(), dry_run })
}

fn import(wanted: &Wanted) -> anyhow::Result<ExitCode> {
    let name = wanted.file.as_ref().map_or("standard input".into(), |file| file.display().to_string());
    // What is not complete has a name of its own, which would go to rest for nothing.
    let never = CheckpointPolicy { log_bytes: None };
    let options =
        Options { checkpoint: never, keyring: keyring(wanted.key_file.as_deref())?, ..crate::check::options()? };
    let plan = Plan { databases: wanted.databases.clone(), existing: wanted.existing, now_ms: (options.clock)() };
    let mut source = match &wanted.file {
        None => Source::Once(Box::new(std::io::stdin().lock())),
        Some(path) => open(path)?,
    };
    if wanted.dry_run {
        let (summary, spent) = source.check(&plan, None).with_context(|| name.clone())?;
        return Ok(tell(&name, "would be imported", &summary, spent));
    }
    // A file that is damaged leaves no directory behind that was not there.
    let is_new = std::fs::read_dir(&wanted.dir).map_or(true, |mut entries| entries.next().is_none());
    if is_new && source.can_be_read_twice() {
        source.check(&plan, None).with_context(|| unchanged(&name))?;
    }
    let engine = Engine::open(&wanted.dir, options).map_err(|error| cannot_open(&wanted.dir, error))?;
    // An import looks at, and writes, whatever it comes across.
    engine.fill().map_err(|error| cannot_open(&wanted.dir, error))?;
    let result = bring(&mut source, &plan, &engine, is_new, &name);
    // Whatever was written becomes durable, also if it is not all of the file.
    engine.close().map_err(|refusal| anyhow::anyhow!("the import could not be made durable: {refusal}"))?;
    let (summary, spent) = result?;
    let to = format!("imported into {} and durable", wanted.dir.display());
    Ok(tell(&name, &to, &summary, spent))
}

/// Checks the file unless that was done, and imports it.
fn bring(
    source: &mut Source,
    plan: &Plan,
    engine: &Engine,
    is_checked: bool,
    name: &str,
) -> anyhow::Result<(Summary, Duration)> {
    if source.can_be_read_twice() && !is_checked {
        source.check(plan, Some(engine)).with_context(|| unchanged(name))?;
    }
    if !source.can_be_read_twice() && plan.existing == Existing::Refuse && import::holds_keys(engine) {
        bail!(
            "{name} can be read only once, so keys that exist already cannot be told beforehand: say --replace or --keep"
        );
    }
    let mut shown = Shown::new("importing", source.len());
    let result = import::load(source.rewound()?, plan, engine, &mut |at| shown.at(at.bytes, at.keys));
    let spent = shown.end();
    match result {
        Ok(summary) => Ok((summary, spent)),
        Err(Failed { error, done }) => {
            let written = match done.written {
                0 => "no key was written".to_owned(),
                keys => format!(
                    "{} keys were written before that, each of them whole; with --replace or --keep it can be repeated",
                    grouped(keys)
                ),
            };
            Err(anyhow::Error::from(error).context(format!("{name} was not imported to its end: {written}")))
        }
    }
}

fn unchanged(name: &str) -> String {
    format!("{name} cannot be imported, and nothing was changed")
}

pub(crate) fn cannot_open(dir: &Path, error: OpenError) -> anyhow::Error {
    let hint = match &error {
        OpenError::Log(wal::LogError::Locked { .. }) | OpenError::Keys { source: KeyError::Locked { .. }, .. } => {
            "; stop the server that runs there, or import into another directory with --dir"
        }
        _ => "",
    };
    anyhow::anyhow!("{}: {error}{hint}", dir.display())
}

/// Where the bytes come from.
enum Source {
    /// A file, which can be checked first.
    Twice(File, u64),
    /// What streams by.
    Once(Box<dyn Read>),
}

fn open(path: &Path) -> anyhow::Result<Source> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let meta = file.metadata().with_context(|| path.display().to_string())?;
    ensure!(!meta.is_dir(), "{} is a directory", path.display());
    Ok(if meta.is_file() { Source::Twice(file, meta.len()) } else { Source::Once(Box::new(file)) })
}

impl Source {
    fn can_be_read_twice(&self) -> bool {
        matches!(self, Self::Twice(..))
    }

    fn len(&self) -> Option<u64> {
        match self {
            Self::Twice(_, len) => Some(*len),
            Self::Once(_) => None,
        }
    }

    /// It from its beginning.
    fn rewound(&mut self) -> anyhow::Result<&mut dyn Read> {
        Ok(match self {
            Self::Twice(file, _) => {
                file.seek(SeekFrom::Start(0)).context("the file cannot be read again")?;
                file
            }
            Self::Once(stream) => stream,
        })
    }

    /// Reads all of it and changes nothing.
    fn check(&mut self, plan: &Plan, engine: Option<&Engine>) -> anyhow::Result<(Summary, Duration)> {
        let mut shown = Shown::new("checking", self.len());
        let result = import::check(self.rewound()?, plan, engine, &mut |at| shown.at(at.bytes, at.keys));
        let spent = shown.end();
        Ok((result?, spent))
    }
}

/// Says what was done.
#[expect(clippy::print_stdout, reason = "the report is what the user asked for")]
fn tell(name: &str, what: &str, summary: &Summary, spent: Duration) -> ExitCode {
    let (lines, is_complete) = report(name, what, summary, spent);
    lines.iter().for_each(|line| println!("{line}"));
    if is_complete { COMPLETE } else { INCOMPLETE }.into()
}

/// The lines of the report, and whether everything in the file has been taken.
fn report(name: &str, what: &str, summary: &Summary, spent: Duration) -> (Vec<String>, bool) {
    let writer = if summary.writer.is_empty() { "" } else { &format!(", written by {}", summary.writer) };
    let checksum = match summary.checksum {
        Some(rdb::Checksum::Right) => "its checksum is right",
        Some(rdb::Checksum::Off) => "it has no checksum: the writer had them turned off",
        Some(rdb::Checksum::None) | None => "files of this version have no checksum",
    };
    let mut lines =
        vec![format!("{name}: RDB version {}{writer}, {}, {checksum}", summary.version, megabytes(summary.bytes))];
    let keys = summary.keys();
    let (rate, bytes_rate) = (per_second(keys, spent), megabytes(per_second(summary.bytes, spent)));
    let seconds = spent.as_secs_f64();
    lines.push(format!("{what}: {} keys in {seconds:.1} s ({} keys/s, {bytes_rate}/s)", grouped(keys), grouped(rate)));
    for (db, kinds) in &summary.taken {
        let kinds: Vec<String> = kinds.iter().map(|(kind, keys)| format!("{kind} {}", grouped(*keys))).collect();
        lines.push(format!("  database {db}: {}", kinds.join(", ")));
    }
    let mut also = |count: u64, what: &str| {
        if count > 0 {
            lines.push(format!("  {}: {what}", grouped(count)));
        }
    };
    also(summary.done.replaced, "keys existed and were replaced");
    also(summary.done.kept, "keys existed and were kept as they were");
    also(summary.done.evicted, "keys of cache keyspaces were evicted before they were complete");
    also(summary.expired, "keys left out, as they have expired");
    also(summary.expired_fields, "fields of hashes left out, as they have expired");
    also(summary.empty, "keys left out, as there is nothing in them");
    for ((what, of), count) in &summary.foreign {
        let of = of.as_ref().map_or(String::new(), |of| format!(" ({of})"));
        lines.push(format!("NOT TAKEN: {} × {}{of}", grouped(*count), what.name()));
    }
    if summary.is_base {
        lines.push(
            "NOTE: this is the base of an append-only file; what was written after it is in the files beside it".into(),
        );
    }
    if let Some(db) = summary.taken.keys().next_back().filter(|db| **db >= DATABASES_USUAL) {
        lines.push(format!("NOTE: to see database {db}, serve with --databases {}", u16::from(*db) + 1));
    }
    (lines, summary.foreign.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &str) -> Result<Wanted, String> {
        let words: Vec<OsString> = words.split_whitespace().map(OsString::from).collect();
        parse(&words).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn words_are_understood() {
        let plain = parsed("dump.rdb").unwrap();
        assert_eq!((plain.file, plain.dir), (Some("dump.rdb".into()), "./data".into()));
        assert_eq!((plain.existing, plain.dry_run), (Existing::Refuse, false));
        let all = parsed("--keep - --db 0=3 --dir d --encryption-key-file k --db 20=1 --dry-run").unwrap();
        assert_eq!((all.file, all.dir, all.existing, all.dry_run), (None, "d".into(), Existing::Keep, true));
        assert_eq!(all.key_file, Some("k".into()));
        assert_eq!(all.databases, [(0, 3), (20, 1)].into());
        assert_eq!(parsed("f --replace --replace").unwrap().existing, Existing::Replace);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (words, said) in [
            ("", "which file"),
            ("a b", "one file"),
            ("a --encryption-key-file", "--encryption-key-file needs a value"),
            ("a --dir", "--dir needs a value"),
            ("a --db 1", "--db 1: this is not"),
            ("a --db 0=256", "--db 0=256"),
            ("a --db 0=1 --db 0=2", "twice"),
            ("a --keep --replace", "not both"),
            ("a --overwrite", "--overwrite is not known"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
