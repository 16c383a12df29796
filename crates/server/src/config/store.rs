//! The live configuration: one snapshot for readers, CONFIG GET and SET, and those who follow changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use effect::glob;
use parking_lot::{Mutex, RwLock};

use super::args::Invocation;
use super::directive::Change;
use super::error::{ConfigError, RewriteError, SetError};
use super::load::{Loader, Values, defaults, spread, warnings};
use super::settings::Settings;
use super::table::table;
use super::value::Reading;
use super::{rewrite, source};

/// What a CONFIG SET is about to change.
pub struct Changes {
    /// The settings until now.
    pub before: Arc<Settings>,
    /// The settings to be.
    pub after: Arc<Settings>,
    /// The directives whose value differs, under their own names.
    pub names: Vec<&'static str>,
}

impl Changes {
    /// Whether any of these directives changes.
    #[must_use]
    pub fn touches(&self, names: &[&str]) -> bool {
        self.names.iter().any(|name| names.contains(name))
    }

    fn reversed(&self) -> Self {
        Self { before: self.after.clone(), after: self.before.clone(), names: self.names.clone() }
    }
}

/// A subscriber's refusal.
pub struct Veto {
    /// The directive it is about.
    pub name: &'static str,
    /// What is wrong; the client reads it.
    pub reason: String,
}

type Listener = Box<dyn Fn(&Changes) -> Result<(), Veto> + Send + Sync>;

/// The configuration of a running server.
///
/// Invariant: the snapshot is what the values say; both change together, under the write lock, after every listener
/// agreed.
pub struct Config {
    state: RwLock<State>,
    /// Grows with each change, so that a thread can keep its snapshot until it must not.
    version: AtomicU64,
    /// Held for a whole CONFIG SET: changes come one after the other.
    listeners: Mutex<Vec<Listener>>,
    file: Option<PathBuf>,
    base: PathBuf,
}

struct State {
    values: Values,
    settings: Arc<Settings>,
}

impl Config {
    /// Reads the sources of an invocation. Relative directories are relative to where the process is now.
    ///
    /// # Errors
    /// The first line that is wrong, or the file that cannot be read.
    pub fn load(invocation: &Invocation) -> Result<Self, ConfigError> {
        let base = std::env::current_dir().map_err(ConfigError::CurrentDir)?;
        let mut loader = Loader::new(&base);
        if let Some(file) = &invocation.file {
            loader.source(&source::read_file(file)?)?;
        }
        if invocation.stdin {
            loader.source(&source::read_stdin()?)?;
        }
        loader.source(&source::from_flags(&invocation.flags)?)?;
        let file = invocation.file.as_ref().map(|file| base.join(file));
        Ok(Self::new(loader.finish(), file, base))
    }

    /// The defaults, with directories relative to `base`: for tests and for use as a library.
    #[must_use]
    pub fn defaults(base: &Path) -> Self {
        Self::new(defaults(base), None, base.to_owned())
    }

    fn new(values: Values, file: Option<PathBuf>, base: PathBuf) -> Self {
        let settings = Arc::new(Settings::from_values(&values));
        Self {
            state: RwLock::new(State { values, settings }),
            version: AtomicU64::new(1),
            listeners: Mutex::default(),
            file,
            base,
        }
    }

    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.state.read().settings.clone()
    }

    /// Another number than before after each change; one atomic load.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The file that CONFIG REWRITE writes, absolute.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What to log at start: one line for each directive that was set and does nothing.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        warnings(&self.state.read().values, &self.base)
    }

    /// Calls `listener` for each change from now on, before it is visible. A refusal undoes the whole CONFIG SET:
    /// listeners that had agreed are called with the change turned round. A listener may read this configuration
    /// (it sees the old settings) but not change it.
    pub fn subscribe(&self, listener: impl Fn(&Changes) -> Result<(), Veto> + Send + Sync + 'static) {
        self.listeners.lock().push(Box::new(listener));
    }

    /// CONFIG GET: name and value of everything that one of the patterns matches, aliases included, in the order of
    /// the patterns and of the names. A name without wildcards comes back as it was spelled.
    #[must_use]
    pub fn get(&self, patterns: &[&[u8]]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut names: Vec<(&'static str, usize)> =
            table().names().filter(|(_, at)| table().row(*at).change != Change::FileOnly).collect();
        names.sort_unstable();
        let mut found: Vec<(Vec<u8>, usize)> = Vec::new();
        let mut add = |name: &[u8], at: usize| {
            if !found.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                found.push((name.to_vec(), at));
            }
        };
        for pattern in patterns {
            if !pattern.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
                if let Some(at) = table().find(pattern).filter(|at| table().row(*at).change != Change::FileOnly) {
                    add(pattern, at);
                }
                continue;
            }
            for (name, at) in &names {
                if !table().row(*at).hidden && glob::matches_ignoring_case(pattern, name.as_bytes()) {
                    add(name.as_bytes(), *at);
                }
            }
        }
        let state = self.state.read();
        found.into_iter().map(|(name, at)| (name, table().row(at).print(&state.values[at]))).collect()
    }

    /// CONFIG SET: all pairs or none. `local` says whether the client is of this machine. Returns the names of the
    /// directives whose value differs now.
    ///
    /// # Errors
    /// The whole error reply.
    pub fn set(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Vec<&'static str>, SetError> {
        let listeners = self.listeners.lock();
        let chosen = self.choose(pairs, local)?;
        let (before, mut values) = {
            let state = self.state.read();
            (state.settings.clone(), state.values.clone())
        };
        let old = values.clone();
        for ((at, name), (_, text)) in chosen.iter().zip(pairs) {
            let row = table().row(*at);
            let args = if row.kind.takes_many() { set_arguments(text) } else { vec![text.to_vec()] };
            let reading = Reading { before: Some(&values[*at]), again: false, base: &self.base };
            values[*at] = row.parse(&args, reading).map_err(|reason| SetError::failed(name, reason))?;
        }
        let changed = (0..values.len()).filter(|at| values[*at] != old[*at]);
        let names: Vec<&'static str> = changed.map(|at| table().row(at).name).collect();
        if names.is_empty() {
            return Ok(names);
        }
        let after = Arc::new(Settings::from_values(&values));
        let changes = Changes { before, after: after.clone(), names };
        notify(&listeners, &changes)?;
        *self.state.write() = State { values, settings: after };
        self.version.fetch_add(1, Ordering::Release);
        Ok(changes.names)
    }

    /// The rows that the pairs name, each with the lower-case name that was used.
    fn choose(&self, pairs: &[(&[u8], &[u8])], local: bool) -> Result<Vec<(usize, String)>, SetError> {
        let mut chosen: Vec<(usize, String)> = Vec::new();
        for (name, _) in pairs {
            let spelled = String::from_utf8_lossy(name).into_owned();
            let at = table().find(name).filter(|at| table().row(*at).change != Change::FileOnly);
            let Some(at) = at else {
                return Err(SetError::Unknown(spelled));
            };
            match table().row(at).change {
                Change::AtStart | Change::FileOnly => {
                    return Err(SetError::failed(spelled, "can't set immutable config"));
                }
                Change::Protected if !self.settings().security.protected_configs.permits(local) => {
                    return Err(SetError::failed(spelled, "can't set protected config"));
                }
                // A listener of changes refuses the last ones, and says what to do.
                Change::Protected | Change::Live | Change::Restart => {}
            }
            let lower = spelled.to_ascii_lowercase();
            if chosen.iter().any(|(_, name)| *name == lower) {
                return Err(SetError::failed(spelled, "duplicate parameter"));
            }
            chosen.push((at, lower));
        }
        Ok(chosen)
    }

    /// CONFIG REWRITE.
    ///
    /// # Errors
    /// The file is then as it was.
    pub fn rewrite(&self) -> Result<(), RewriteError> {
        let file = self.file.as_deref().ok_or(RewriteError::NoFile)?;
        // No change may come between reading the values and writing them.
        let _changes = self.listeners.lock();
        let values = self.state.read().values.clone();
        rewrite::rewrite(file, &values, &self.base)
    }
}

/// CONFIG SET splits a list at single spaces; no text is no arguments at all.
fn set_arguments(text: &[u8]) -> Vec<Vec<u8>> {
    if text.is_empty() { Vec::new() } else { spread(&[text.to_vec()]) }
}

fn notify(listeners: &[Listener], changes: &Changes) -> Result<(), SetError> {
    for (at, listener) in listeners.iter().enumerate() {
        if let Err(veto) = listener(changes) {
            let back = changes.reversed();
            for agreed in listeners[..at].iter().rev() {
                // It had these settings a moment ago; should it refuse them now, there is nothing better to do.
                let _ = agreed(&back);
            }
            return Err(SetError::failed(veto.name, veto.reason));
        }
    }
    Ok(())
}
