//! The handle of a mesh: start it, send, look at it, stop it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use mio::net::TcpListener;
use mio::{Poll, Waker};

use crate::config::{Config, is_address};
use crate::credentials::Credentials;
use crate::driver::{Driver, WAKER};
use crate::error::{Error, SendError};
use crate::event::Peer;
use crate::inbox::{self, Inbox};
use crate::metrics::Metrics;
use crate::node::NodeId;
use crate::shared::{Command, Shared};

/// The connections of a node with all others. It stops when it is dropped.
pub struct Mesh {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    frame_bytes: usize,
    thread: Option<JoinHandle<()>>,
}

impl Mesh {
    /// Listens, begins to dial, and tells what happens through the inbox.
    pub fn start(config: Config) -> Result<(Self, Inbox), Error> {
        config.validate()?;
        let credentials = Credentials::new(config.node, &config.passphrases, Arc::clone(&config.clock))?;
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for address in &config.listen {
            let failed = |source| Error::Listen { address: *address, source };
            listeners.push(TcpListener::bind(*address).map_err(failed)?);
        }
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let shared = Arc::new(Shared::new(Waker::new(poll.registry(), WAKER)?));
        let woken = Arc::clone(&shared);
        let events = Arc::new(inbox::Shared::new(config.inbox_bytes, Box::new(move || woken.wake())));
        let mut life = [0; 8];
        SystemRandom::new().fill(&mut life).map_err(|_| Error::Keys("there is no randomness".into()))?;
        let frame_bytes = config.frame_bytes;
        let port = addresses.first().map_or(0, SocketAddr::port);
        let life = u64::from_le_bytes(life);
        let driver = Driver::new(config, credentials, poll, (Arc::clone(&shared), Arc::clone(&events)), (port, life))?;
        let driver = driver.listen(listeners)?;
        let thread = thread::Builder::new().name("cluster".into()).spawn(move || driver.run())?;
        Ok((Self { shared, addresses, frame_bytes, thread: Some(thread) }, Inbox(events)))
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Sends a frame to a node. It goes with all others that wait, in order; it arrives unless the connection ends before.
    pub fn send(&self, node: NodeId, frame: &[u8]) -> Result<(), SendError> {
        self.queue(node, frame)?;
        self.flush();
        Ok(())
    }

    /// The same, but it may wait for the next [`Self::flush`] or `send`: for many frames at once.
    pub fn queue(&self, node: NodeId, frame: &[u8]) -> Result<(), SendError> {
        if frame.len() > self.frame_bytes {
            return Err(SendError::TooLarge);
        }
        let links = self.shared.links.read();
        links.get(&node).ok_or(SendError::Down)?.outbox.push(frame)
    }

    /// Has sent what was queued.
    pub fn flush(&self) {
        self.shared.wake();
    }

    /// Dials `host:port` until there is a connection with the node there, from now on.
    pub fn add_peer(&self, address: &str) -> Result<(), Error> {
        is_address(address)?;
        self.shared.command(Command::Dial(address.to_owned()));
        Ok(())
    }

    /// Ends the connection with a node, if there is one: behind what it was sent, as far as the system takes that at once. It is dialed again
    /// as after any other end.
    pub fn close(&self, node: NodeId, why: &'static str) {
        self.shared.command(Command::Close(node, why));
    }

    /// Nodes that there is a connection with.
    pub fn peers(&self) -> Vec<Peer> {
        let mut peers: Vec<_> = self.shared.links.read().values().map(|link| link.peer.clone()).collect();
        peers.sort_by_key(|peer| peer.node);
        peers
    }

    /// What it has done so far.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Sends what waits, for a while, says goodbye and ends. The inbox can still be emptied.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.command(Command::Stop);
        if thread.join().is_err() {
            tracing::error!("the cluster's thread has panicked");
        }
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.end();
    }
}
