//! `anabranch restore`: makes a data directory of backups, or lists them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use archive::seal::PrivateKey;
use backup::{BackupId, Listed, Progress, Repository, Restore, format_ms, open_place, parse_time};
use engine::{CheckpointPolicy, Options};
use replication::Membership;
use server::keys::keyring;

use crate::backups::{end, refuse, watched};
use crate::progress::{grouped, megabytes};

/// What the words say.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    List { url: String, node: Option<String> },
    Restore(Box<Asked>),
}

#[derive(Debug, PartialEq, Eq)]
struct Asked {
    url: String,
    to: PathBuf,
    key: PathBuf,
    at_ms: Option<i64>,
    backup: Option<BackupId>,
    node: Option<String>,
    key_file: Option<PathBuf>,
    /// For the node's place in its group.
    member: bool,
}

/// Runs it with the words behind `restore`.
pub fn run(args: &[OsString]) -> ExitCode {
    match parse(args) {
        Ok(Wanted::List { url, node }) => end(list(&url, node.as_deref())),
        Ok(Wanted::Restore(asked)) => end(restore(&asked)),
        Err(error) => refuse(&error),
    }
}

fn parse(args: &[OsString]) -> anyhow::Result<Wanted> {
    let (mut url, mut to, mut key, mut at_ms, mut backup) = (None, None, None, None, None);
    let (mut node, mut key_file, mut lists, mut member) = (None, None, false, false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{} needs a value", word.display()));
        let text = |word: &OsString| word.to_str().map(str::to_owned).context("this is no text");
        match word.to_str() {
            Some("--to") => to = Some(PathBuf::from(value()?)),
            Some("--key") => key = Some(PathBuf::from(value()?)),
            Some("--encryption-key-file") => key_file = Some(PathBuf::from(value()?)),
            Some("--node") => node = Some(text(value()?)?),
            Some("--at") => {
                let time = text(value()?)?;
                let ms = parse_time(&time);
                at_ms =
                    Some(ms.with_context(|| format!("--at {time}: give unix ms, or a time as 2026-11-22T10:00:00Z"))?);
            }
            Some("--backup") => {
                let id = text(value()?)?;
                let parsed = BackupId::parse(&id);
                backup =
                    Some(parsed.with_context(|| format!("--backup {id}: this is no name of a backup; see --list"))?);
            }
            Some("--list") => lists = true,
            Some("--member") => member = true,
            Some(flag) if flag.starts_with("--") => bail!("{flag} is not known"),
            _ => ensure!(url.replace(text(word)?).is_none(), "one place at a time"),
        }
    }
    let url = url.context("where are the backups?")?;
    if lists {
        let alone = to.is_none() && key.is_none() && at_ms.is_none() && backup.is_none();
        let alone = alone && key_file.is_none() && !member;
        ensure!(alone, "--list shows what there is; it takes --node only");
        return Ok(Wanted::List { url, node });
    }
    let to = to.context("--to DIR: where is the data to be?")?;
    let key = key.context("--key FILE: the private key of the recipient")?;
    Ok(Wanted::Restore(Box::new(Asked { url, to, key, at_ms, backup, node, key_file, member })))
}

#[expect(clippy::print_stdout, reason = "the list is what the user asked for")]
fn list(url: &str, node: Option<&str>) -> anyhow::Result<()> {
    let repository = Repository::open(open_place(url)?)?;
    let mut listed = repository.list()?;
    listed.retain(|listed| node.is_none_or(|node| listed.node() == node));
    listed.iter().for_each(|listed| println!("{}", line(listed)));
    if listed.is_empty() {
        println!("there is no backup");
    }
    Ok(())
}

fn line(listed: &Listed) -> String {
    let kind = match (listed.is_whole, listed.has_rows) {
        (false, _) => "NOT COMPLETE: being stored, or given up".to_owned(),
        (true, true) => "whole".to_owned(),
        (true, false) => format!("goes on, from {}", listed.chain()),
    };
    let (id, node, size) = (listed.backup(), listed.node(), megabytes(listed.bytes));
    format!("{id}  {}  node {node}  {size:>12}  {kind}", format_ms(id.began_ms()))
}

#[expect(clippy::print_stdout, reason = "the report is what the user asked for")]
fn restore(asked: &Asked) -> anyhow::Result<()> {
    let key = PrivateKey::load(&asked.key)?;
    let never = CheckpointPolicy { log_bytes: None };
    let keyring = keyring(asked.key_file.as_deref())?;
    let options = Options { checkpoint: never, keyring, ..crate::check::options()? };
    let repository = Repository::open(open_place(&asked.url)?)?;
    let progress = Progress::default();
    let restore = Restore {
        repository: &repository,
        key: &key,
        node: asked.node.as_deref(),
        backup: asked.backup.as_ref(),
        at_ms: asked.at_ms,
        returning: asked.member.then_some(Membership::returning),
        progress: &progress,
    };
    let restored = watched("restore", &progress, || restore.to(&asked.to, &options))?;
    let to: &Path = &asked.to;
    println!(
        "{}: {} keys from backup {}, as they were at {}; {} were read",
        to.display(),
        grouped(restored.keys),
        restored.backup,
        format_ms(restored.until_ms),
        megabytes(restored.bytes)
    );
    let (to, node) = (to.display(), restored.origin.node());
    match asked.member {
        true => println!(
            "`anabranch serve --dir {to} --cluster-passphrase-file … --join …` takes node {node:012x}'s place in its group, under a new life"
        ),
        false => println!("`anabranch serve --dir {to}` starts from it, as node {node:012x}"),
    }
    Ok(())
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
        assert!(matches!(parsed("/b --to d --key k --member"), Ok(Wanted::Restore(asked)) if asked.member));
        let Ok(Wanted::Restore(asked)) = parsed("/b --to d --key k --at 2025-11-22T10:00:00Z --node n") else {
            panic!()
        };
        assert_eq!((asked.at_ms, asked.node.as_deref()), (Some(1_763_805_600_000), Some("n")));
        assert_eq!(parsed("/b --list"), Ok(Wanted::List { url: "/b".into(), node: None }));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (words, said) in [
            ("--list", "where are the backups"),
            ("/b --list --to d", "--list shows"),
            ("/b --list --member", "--list shows"),
            ("/b --key k", "--to DIR"),
            ("/b --to d", "--key FILE"),
            ("/b --at yesterday", "--at yesterday"),
            ("/b --backup x", "--backup x"),
            ("/b c", "one place"),
            ("/b --too d", "--too is not known"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
