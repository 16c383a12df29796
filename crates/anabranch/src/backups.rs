//! `anabranch backup`: has a server take a backup, or takes one of a data directory that no server uses. `anabranch backup-key`
//! makes the keys.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use archive::seal::{KeyPair, PublicKey};
use backup::{Job, Progress, Purpose, Report, Repository, Sizes, Why, format_ms, open_place, take};
use engine::{CheckpointPolicy, Engine, Options};
use resp::Value;
use server::keys::keyring;

use crate::client::Client;
use crate::progress::{Shown, megabytes};

/// The words are not understood.
const USAGE: u8 = 2;

/// How often it is looked how far it has come.
const LOOK: Duration = Duration::from_millis(200);

/// Where the data is.
#[derive(Debug, PartialEq, Eq)]
enum From {
    Server { address: String, password_file: Option<PathBuf> },
    Dir { dir: PathBuf, key_file: Option<PathBuf> },
}

/// What the words say.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    url: String,
    recipient: PathBuf,
    from: From,
    full: bool,
}

/// Runs it with the words behind `backup`.
pub fn run(args: &[OsString]) -> ExitCode {
    let wanted = match parse(args) {
        Ok(wanted) => wanted,
        Err(error) => return refuse(&error),
    };
    end(back_up(&wanted))
}

/// Runs it with the words behind `backup-key`.
pub fn run_key(args: &[OsString]) -> ExitCode {
    match args {
        [file] if !file.as_encoded_bytes().starts_with(b"--") => end(make_keys(Path::new(file))),
        _ => refuse(&anyhow::anyhow!("backup-key takes the name of a file that is not there yet")),
    }
}

pub(crate) fn refuse(error: &anyhow::Error) -> ExitCode {
    eprintln!("{error:#}\n{}", crate::USAGE);
    USAGE.into()
}

pub(crate) fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[OsString]) -> anyhow::Result<Wanted> {
    let (mut url, mut recipient, mut address, mut password_file) = (None, None, None, None);
    let (mut dir, mut key_file, mut full) = (None, None, false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{} needs a value", word.display()));
        let text = |word: &OsString| word.to_str().map(str::to_owned).context("this is no text");
        match word.to_str() {
            Some("--recipient") => recipient = Some(PathBuf::from(value()?)),
            Some("--server") => address = Some(text(value()?)?),
            Some("--password-file") => password_file = Some(PathBuf::from(value()?)),
            Some("--dir") => dir = Some(PathBuf::from(value()?)),
            Some("--encryption-key-file") => key_file = Some(PathBuf::from(value()?)),
            Some("--full") => full = true,
            Some(flag) if flag.starts_with("--") => bail!("{flag} is not known"),
            _ => ensure!(url.replace(text(word)?).is_none(), "one place at a time"),
        }
    }
    let from = match (address, dir) {
        (Some(address), None) => {
            ensure!(key_file.is_none(), "--encryption-key-file is for --dir: a server has its keys");
            From::Server { address, password_file }
        }
        (None, Some(dir)) => {
            ensure!(password_file.is_none(), "--password-file is for --server");
            From::Dir { dir, key_file }
        }
        _ => bail!("say --server if a server runs, or --dir if none does"),
    };
    let recipient =
        recipient.context("--recipient FILE: a public key, for whom the backup is sealed; backup-key makes one")?;
    Ok(Wanted { url: url.context("where to?")?, recipient, from, full })
}

#[expect(clippy::print_stdout, reason = "the report is what the user asked for")]
fn make_keys(file: &Path) -> anyhow::Result<()> {
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    ensure!(!public.exists(), "{} exists; a key is never overwritten", public.display());
    let pair = KeyPair::generate()?;
    pair.private.save(file)?;
    pair.public.save(&public)?;
    println!(
        "{}: the private key. Only with it backups can be restored: keep it, and not on the server.",
        file.display()
    );
    println!("{}: the public key, for --recipient; fingerprint {}", public.display(), pair.public.fingerprint());
    Ok(())
}

fn back_up(wanted: &Wanted) -> anyhow::Result<()> {
    let recipient = PublicKey::load(&wanted.recipient)?;
    match &wanted.from {
        From::Server { address, password_file } => {
            let mut client = Client::connect(address, password_file.as_deref())?;
            ask(&mut client, wanted, &recipient)
        }
        From::Dir { dir, key_file } => of_directory(dir, key_file.as_deref(), wanted, &recipient),
    }
}

/// Has a server do it, and shows how far it is.
fn ask(client: &mut Client, wanted: &Wanted, recipient: &PublicKey) -> anyhow::Result<()> {
    // A path is one of the machine that was asked from: it may be the server's as well.
    let url = match wanted.url.contains(':') {
        true => wanted.url.clone(),
        false => std::path::absolute(&wanted.url)?.display().to_string(),
    };
    let key = recipient.to_text();
    let mut words: Vec<&[u8]> = vec![b"BACKUP", b"TO", url.as_bytes(), b"RECIPIENT", key.as_bytes()];
    words.extend(wanted.full.then_some(&b"FULL"[..]));
    client.ask(&words)?;
    let mut shown = Shown::new("backup", None);
    loop {
        let status = fields(client.ask(&[b"BACKUP", b"STATUS"])?);
        let get = |name: &str| status.get(name).map_or("", String::as_str);
        let number = |name: &str| get(name).parse::<u64>().unwrap_or(0);
        match get("state") {
            "running" => shown.of(get("phase"), number("bytes_done"), number("bytes_total")),
            "ok" => {
                shown.end();
                let until = get("until_ms").parse().unwrap_or(0);
                let sizes = (number("plain_bytes"), number("stored_bytes"));
                say(get("backup"), get("kind"), get("why"), until, sizes);
                return Ok(());
            }
            _ => {
                shown.end();
                bail!("{}", get("error"));
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn fields(value: Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::Bulk(bytes) | Value::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let Value::Array(items) = value else { return BTreeMap::new() };
    items.chunks(2).filter_map(|pair| Some((text(pair.first()?), text(pair.get(1)?)))).collect()
}

fn of_directory(dir: &Path, key_file: Option<&Path>, wanted: &Wanted, recipient: &PublicKey) -> anyhow::Result<()> {
    ensure!(engine::Identity::path(dir).exists(), "{} holds no data of anabranch", dir.display());
    let never = CheckpointPolicy { log_bytes: None };
    let options = Options { checkpoint: never, keyring: keyring(key_file)?, ..crate::check::options()? };
    let repository = Repository::open_or_begin(open_place(&wanted.url)?)?;
    let engine = Engine::open(dir, options).map_err(|error| crate::import::cannot_open(dir, error))?;
    let progress = Progress::default();
    let (repository, watch, full) = (&repository, &progress, wanted.full);
    let result = watched("backup", &progress, || {
        let (purpose, sizes) = (Purpose::Asked, Sizes::default());
        take(&engine, &Job { repository, recipient, purpose, full, sizes, beside: None, progress: watch })
    });
    engine.close().map_err(|refusal| anyhow::anyhow!("the data could not be closed: {refusal}"))?;
    let Report { backup, why, plain_bytes, sealed_bytes, until, .. } = result?;
    let (kind, reason) = match why {
        Why::GoesOn => ("increment", "it goes on from the one before it"),
        Why::Whole(why) => ("whole", why.words()),
    };
    say(backup.as_str(), kind, reason, until.ms(), (plain_bytes, sealed_bytes));
    Ok(())
}

/// Shows how far something is that another thread does.
pub(crate) fn watched<R: Send>(what: &'static str, progress: &Progress, run: impl FnOnce() -> R + Send) -> R {
    let mut shown = Shown::new(what, None);
    std::thread::scope(|scope| {
        let thread = scope.spawn(run);
        while !thread.is_finished() {
            let (done, total) = progress.bytes();
            shown.of(progress.phase().name(), done, total);
            std::thread::park_timeout(LOOK / 4);
        }
        shown.end();
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[expect(clippy::print_stdout, reason = "the report is what the user asked for")]
fn say(backup: &str, kind: &str, why: &str, until_ms: i64, (plain, stored): (u64, u64)) {
    let until = format_ms(until_ms);
    println!("{backup}: {kind} ({why}), up to {until}: {}, stored as {}", megabytes(plain), megabytes(stored));
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
        let all = parsed("s3://b/p --recipient k --server h:1 --password-file p --full").unwrap();
        let from = From::Server { address: "h:1".into(), password_file: Some("p".into()) };
        assert_eq!(all, Wanted { url: "s3://b/p".into(), recipient: "k".into(), from, full: true });
        let from = parsed("--recipient k --dir d /to --encryption-key-file m").unwrap().from;
        assert_eq!(from, From::Dir { dir: "d".into(), key_file: Some("m".into()) });
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (words, said) in [
            ("/to --dir d", "--recipient FILE"),
            ("--dir d --recipient k", "where to"),
            ("/to --recipient k", "--server if a server runs"),
            ("/to --recipient k --dir d --server s", "--server if a server runs"),
            ("/to --recipient k --dir d --password-file p", "--password-file is for --server"),
            ("/to --recipient k --server s --encryption-key-file p", "a server has its keys"),
            ("/to /other", "one place"),
            ("/to --recipient", "needs a value"),
            ("/to --fill", "--fill is not known"),
        ] {
            let error = parsed(words).unwrap_err();
            assert!(error.contains(said), "{words}: {error}");
        }
    }
}
