//! Names to addresses, on a thread of its own: the system's resolver blocks.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use crate::limits::ADDRESSES;

/// Knows the addresses of names.
pub trait Resolve: Send + Sync {
    /// All addresses of `name`, a `host:port`. It may block.
    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>>;
}

/// The system's resolver: `/etc/hosts`, DNS.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(name.to_socket_addrs()?.collect())
    }
}

/// What was asked, and the answer.
pub(crate) type Answer = (String, io::Result<Vec<SocketAddr>>);

/// Starts the thread. Names go into what is returned and `tell` gets the answers; it ends when that is dropped, and is
/// not waited for, since it may be in the system's resolver for long.
pub(crate) fn start(
    resolver: Arc<dyn Resolve>,
    tell: impl Fn(Answer) + Send + 'static,
) -> io::Result<mpsc::Sender<String>> {
    let (ask, asked) = mpsc::channel::<String>();
    thread::Builder::new().name("cluster-names".into()).spawn(move || {
        for name in asked {
            let found = resolver.resolve(&name).map(|mut found| {
                found.sort_unstable();
                found.dedup();
                found.truncate(ADDRESSES);
                found
            });
            tell((name, found));
        }
    })?;
    Ok(ask)
}
