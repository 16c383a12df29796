//! The anabranch binary: `serve`, `check`, `import`, `backup`, `restore`, `gen-passphrase`, `version`.

mod allocator;
mod backups;
mod check;
mod client;
mod import;
mod process;
mod progress;
mod restore;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context, bail};
use server::config::{Config, Invocation, Request, Veto, parse_args, render_help};
use server::memory::Allocator;
use server::serve;

use crate::process::PidFile;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub(crate) const USAGE: &str = "usage: anabranch serve [redis.conf] [--directive value ...]
       anabranch commands-doc
       anabranch check DIR [--salvage NEWDIR] [--encryption-key-file PATH]
       anabranch import FILE|- [--dir DIR] [--db N=M ...] [--replace|--keep] [--dry-run] [--encryption-key-file PATH]
       anabranch backup URL --recipient FILE (--server HOST:PORT|SOCKET [--password-file FILE] | --dir DIR [--encryption-key-file PATH]) [--full]
       anabranch backup-key FILE
       anabranch restore URL --to DIR --key FILE [--at TIME] [--backup ID] [--node ID] [--member] [--encryption-key-file PATH]
       anabranch restore URL --list
       anabranch gen-passphrase
       anabranch version
Master keys can be in the environment as well: ANABRANCH_ENCRYPTION_KEYS.
`anabranch serve --help` lists all directives.";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    // What these answer is their exit status.
    match args.first().and_then(|word| word.to_str()) {
        Some("check") => return check::run(&args[1..]),
        Some("import") => return import::run(&args[1..]),
        Some("backup") => return backups::run(&args[1..]),
        Some("backup-key") => return backups::run_key(&args[1..]),
        Some("restore") => return restore::run(&args[1..]),
        _ => {}
    }
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "help and version go where the user reads them")]
fn run(args: Vec<OsString>) -> anyhow::Result<()> {
    let mut args = args.into_iter();
    match args.next().as_ref().and_then(|word| word.to_str()) {
        Some("serve") => match parse_args(args) {
            Request::Help => println!("{}", render_help()),
            Request::Version => println!("{}", version()),
            Request::Serve(invocation) => return serve_until_stopped(&invocation),
        },
        Some("commands-doc") => print!("{}", server::admin::render_markdown()),
        Some("gen-passphrase") if args.next().is_none() => println!("{}", *cluster::generate()?),
        Some("version" | "--version" | "-v") => println!("{}", version()),
        Some("help" | "--help" | "-h") => println!("{USAGE}"),
        _ => bail!("{USAGE}"),
    }
    Ok(())
}

fn version() -> String {
    format!("anabranch {}", env!("CARGO_PKG_VERSION"))
}

fn serve_until_stopped(invocation: &Invocation) -> anyhow::Result<()> {
    let config = Config::load(invocation).map_err(|error| anyhow::anyhow!("{error}"))?;
    let settings = config.settings();
    if settings.process.daemonize && invocation.stdin {
        bail!("daemonize: the process in the background cannot read its configuration from standard input");
    }
    if process::go_to_background(&settings.process)? {
        return Ok(());
    }
    process::abort_on_panic();
    let levels = process::start_log(&settings.process)?;
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    config.subscribe(move |changes| {
        let level = process::level(changes.after.process.loglevel);
        levels.reload(level).map_err(|error| Veto { name: "loglevel", reason: error.to_string() })
    });
    let stopper = process::stop_on_signals()?;
    let startup_bytes = allocator::Jemalloc.figures().allocated;
    let jemalloc = std::sync::Arc::new(allocator::Jemalloc);
    let running = serve::start_on(config, Some((jemalloc, startup_bytes))).context("the server could not start")?;
    let _pidfile = PidFile::write(settings.process.pidfile.as_deref());
    stopper.begin(Box::new(running.stopper()));
    for address in running.addresses() {
        tracing::info!("Ready to accept connections on {address}, data in {}", settings.persistence.dir.display());
    }
    process::tell_supervisor(settings.process.supervised);
    running.wait();
    process::tell_stopping(settings.process.supervised);
    let starts_anew = running.starts_anew();
    running.stop().context("the server did not stop well")?;
    if starts_anew {
        tracing::info!("the server starts anew");
        return process::start_anew(invocation.stdin);
    }
    tracing::info!("the server has stopped; all data is durable");
    Ok(())
}
