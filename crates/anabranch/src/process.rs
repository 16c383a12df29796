//! The process and its surroundings: background, process id file, supervisor, log output.

use std::fs::OpenOptions;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, bail};
use server::config::{LogLevel, Process, Supervisor};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Set for the process that serves in the background, so that it does not go there again.
const IN_BACKGROUND: &str = "ANABRANCH_IN_BACKGROUND";

/// What a signal to end does: see [`stop_on_signals`].
pub struct SignalStop(Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>);

impl SignalStop {
    /// From now on a signal calls `stop`.
    pub fn begin(self, stop: Box<dyn Fn() + Send + Sync>) {
        // Nobody else can have set it: this takes the only value there is.
        let _ = self.0.set(stop);
    }
}

/// SIGTERM and SIGINT end the process at once while it starts, which does no harm to data, and stop the server once it
/// has begun to serve. SIGHUP, which comes when a terminal closes, is no reason to end.
pub fn stop_on_signals() -> anyhow::Result<SignalStop> {
    let mut signals =
        signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).context("signals cannot be handled")?;
    let stop = Arc::new(OnceLock::<Box<dyn Fn() + Send + Sync>>::new());
    let begun = Arc::clone(&stop);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            match begun.get() {
                _ if signal == SIGHUP => tracing::info!("SIGHUP has no effect"),
                Some(stop) => {
                    tracing::info!(
                        "{} received: the server stops",
                        if signal == SIGTERM { "SIGTERM" } else { "SIGINT" }
                    );
                    stop();
                }
                None => {
                    tracing::info!("stopped before it was ready");
                    std::process::exit(0);
                }
            }
        }
    })?;
    Ok(SignalStop(stop))
}

/// `daemonize`: starts the same program again, away from the terminal; true if that one serves and this one is done.
///
/// It is started anew, not forked: a process with threads cannot be forked safely.
pub fn go_to_background(settings: &Process) -> anyhow::Result<bool> {
    // A supervisor waits for the process that it started.
    if !settings.daemonize || settings.supervised.resolved() != Supervisor::None {
        return Ok(false);
    }
    if std::env::var_os(IN_BACKGROUND).is_some() {
        rustix::process::setsid().context("the process could not leave its terminal")?;
        return Ok(false);
    }
    let program = std::env::current_exe().context("the program cannot be found again")?;
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).env(IN_BACKGROUND, "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    ignore_hangup();
    command.spawn().context("the process could not be started in the background")?;
    Ok(true)
}

/// Has SIGHUP ignored by this process and by those that it starts from now on, until they handle it. The terminal may close
/// while the process in the background has not left it yet.
fn ignore_hangup() {
    #[expect(unsafe_code, reason = "what a signal does is set by a call of the system")]
    // SAFETY: to ignore a signal runs no code of ours in a handler, and takes no pointer.
    unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
    }
}

/// The file with the process id; it goes with this value.
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes it, if one is configured. That it cannot be written is no reason not to serve.
    pub fn write(path: Option<&Path>) -> Option<Self> {
        let path = path?;
        match std::fs::write(path, format!("{}\n", std::process::id())) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(error) => {
                tracing::warn!(%error, "pidfile {} could not be written", path.display());
                None
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "pidfile {} could not be removed", self.0.display());
        }
    }
}

/// `supervised`: says that the server is ready. One that cannot be told is no reason not to serve.
pub fn tell_supervisor(supervisor: Supervisor) {
    let told = match supervisor.resolved() {
        Supervisor::None | Supervisor::Auto => Ok(()),
        Supervisor::Systemd => notify("READY=1\nSTATUS=Ready to accept connections\n"),
        Supervisor::Upstart => {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::STOP).context("supervised upstart")
        }
    };
    if let Err(error) = told {
        tracing::warn!("{error:#}");
    }
}

/// `supervised`: says that the server stops.
pub fn tell_stopping(supervisor: Supervisor) {
    if supervisor.resolved() == Supervisor::Systemd
        && let Err(error) = notify("STOPPING=1\n")
    {
        tracing::warn!("{error:#}");
    }
}

/// Sends a message to systemd. Without a socket to send it to there is nobody who waits for it.
fn notify(message: &str) -> anyhow::Result<()> {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        tracing::warn!("supervised systemd: NOTIFY_SOCKET is not set, so nobody is told");
        return Ok(());
    };
    let addr = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(Path::new(&name)),
    };
    let socket = UnixDatagram::unbound().context("supervised systemd")?;
    let sent = addr.and_then(|addr| socket.send_to_addr(message.as_bytes(), &addr));
    sent.with_context(|| format!("NOTIFY_SOCKET {} cannot be written to", Path::new(&name).display()))?;
    Ok(())
}

/// Changes how much is logged.
pub type LevelHandle = reload::Handle<LevelFilter, tracing_subscriber::Registry>;

/// `logfile` and `loglevel`: where log lines go, and which.
pub fn start_log(settings: &Process) -> anyhow::Result<LevelHandle> {
    let (filter, handle) = reload::Layer::new(level(settings.loglevel));
    let lines = tracing_subscriber::fmt::layer();
    let registry = tracing_subscriber::registry().with(filter);
    match &settings.logfile {
        None => registry.with(lines.with_writer(std::io::stdout)).init(),
        Some(path) => {
            let open = |path: &Path| OpenOptions::new().create(true).append(true).open(path);
            open(path).with_context(|| format!("logfile {} cannot be opened", path.display()))?;
            let path = path.clone();
            // Opened for each line, as Redis does: whoever rotates it has to tell nobody.
            let writer = move || -> Box<dyn std::io::Write> {
                match open(&path) {
                    Ok(file) => Box::new(file),
                    Err(_) => Box::new(std::io::stderr()),
                }
            };
            registry.with(lines.with_ansi(false).with_writer(writer)).init();
        }
    }
    Ok(handle)
}

/// The levels of Redis, of which there are two for what we call debugging.
pub fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Debug => LevelFilter::TRACE,
        LogLevel::Verbose => LevelFilter::DEBUG,
        LogLevel::Notice => LevelFilter::INFO,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Nothing => LevelFilter::OFF,
    }
}

/// Has a panic of any thread end the process: a server that has lost one of its threads serves nobody well.
pub fn abort_on_panic() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        tracing::error!("{panic}");
        std::process::abort();
    }));
}

/// Becomes this program anew, with the same arguments and the same process id. Returns only if that fails.
pub fn start_anew(read_stdin: bool) -> anyhow::Result<()> {
    if read_stdin {
        bail!("the configuration came from standard input, which cannot be read again: start the server once more");
    }
    let program = std::env::current_exe().context("this program cannot be found")?;
    let error = Command::new(program).args(std::env::args_os().skip(1)).exec();
    Err(error).context("this program cannot be started anew")
}
