//! This server as a node of a cluster: from its settings to a member of the group, and what the group tells it.

use std::sync::{Arc, OnceLock, Weak};

use cluster::{NodeId, Passphrases, Region};
use command::{Flags, Spec};
use engine::{DbKey, Engine, Options};
use replication::{Exec, Host, Member, Report, Role};
use thiserror::Error;
use wal::Position;

use crate::config::{Cluster, Settings};
use crate::message::Message;
use crate::net::{TcpEndpoint, ThreadId};
use crate::node::Node;

/// The channel of what is undone: its messages are the numbers of the reports.
const UNDONE: &[u8] = b"__anabranch__:undone";

/// Why a server did not become a node of its cluster.
#[derive(Debug, Error)]
pub enum MemberError {
    /// The keys, the sockets or a setting of the wire.
    #[error(transparent)]
    Wire(#[from] cluster::Error),
    /// The replica.
    #[error(transparent)]
    Member(#[from] replication::Error),
    /// No port to listen on follows from the settings.
    #[error("cluster-port: port {port} and 10,000 is no port: say which one is to be listened on")]
    Port {
        /// That of clients.
        port: u16,
    },
    /// A setting of a cluster without the one that makes this a node of one.
    #[error(
        "join: without cluster-passphrase-file this server is no node of a cluster. `anabranch gen-passphrase` makes one"
    )]
    NoPassphrase,
    /// A member of a group, started as a server of its own.
    #[error(
        "this data belongs to a group of replicas: start it with its cluster-passphrase-file. To part it from the group for good, remove the file `membership` from the data directory"
    )]
    InGroup,
    /// Keyspaces that other nodes would not know.
    #[error(
        "there are keyspaces besides `default`, which nodes of a cluster do not share yet: remove them by KEYSPACE DEL, without cluster-passphrase-file"
    )]
    Keyspaces,
}

/// What the group tells this server; before there is a node, nobody waits for anything.
#[derive(Default)]
pub(crate) struct Told {
    node: OnceLock<Weak<Node>>,
}

impl Told {
    /// From now on there is somebody to tell.
    pub(crate) fn set(&self, node: &Arc<Node>) {
        // Only the one start of a server calls this.
        let _ = self.node.set(Arc::downgrade(node));
    }

    fn node(&self) -> Option<Arc<Node>> {
        self.node.get()?.upgrade()
    }
}

impl Host for Told {
    fn ready(&self, keys: Vec<DbKey>, _: Position) {
        let Some(node) = self.node() else { return };
        let bytes = keys.iter().map(|(_, key)| key.len() + size_of::<DbKey>()).sum();
        // A thread that has fallen far behind runs the commands of those who wait when the next change comes.
        if node.control.post().send_to_thread(ThreadId(0), Message::Ready(keys), bytes).is_err() {
            tracing::warn!("the first I/O thread has too much mail: clients that wait for keys are served late");
        }
    }

    fn published(&self, _: NodeId, channel: &[u8], message: &[u8]) {
        if let Some(node) = self.node() {
            node.broker.publish(channel, message);
        }
    }

    fn guest(&self, number: u64, exec: &Arc<Exec>) -> bool {
        let Some(node) = self.node() else { return false };
        let bytes = exec.commands.iter().flatten().map(|argument| argument.len() + size_of::<Vec<u8>>()).sum();
        node.control.post().send_to_thread(ThreadId(0), Message::Guest(number, Arc::clone(exec)), bytes).is_ok()
    }

    fn undone(&self, report: &Report) {
        tracing::warn!(id = report.id, loss = ?report.loss, "what a client may have been told was done is so no more: KEYSPACE UNDONE");
        if let Some(node) = self.node() {
            node.broker.publish(UNDONE, report.id.to_string().as_bytes());
        }
    }

    fn restart(&self, why: &str) {
        tracing::info!("{why}");
        if let Some(node) = self.node() {
            node.restart();
        }
    }

    fn stop(&self, why: &str) {
        tracing::error!("{why}");
        if let Some(node) = self.node() {
            node.shut_down();
        }
    }
}

/// Why a node with this role does not run a command on data, if it does not.
///
/// A node that was a member shows what it has: it is no less true than on a node that has lost its connections.
#[inline]
pub(crate) fn bar(role: Role, spec: &Spec) -> Option<&'static str> {
    match role {
        Role::Member => None,
        Role::Joining => Some(
            "BOOTSTRAPINCOMPLETE this node does not have all data of its group yet: INFO replication says what it waits for, \
             CLUSTER NODES which other nodes there are",
        ),
        Role::Dropped => spec.flags.has(Flags::WRITE).then_some(
            "BOOTSTRAPINCOMPLETE this node was dropped: its group goes on without it. Write to a member; what is here can be \
             read. Started again with `join` it takes part again, and what it wrote and the group never got is written again",
        ),
    }
}

/// Makes this server a node of its cluster, if it is to be one. Nothing may be written meanwhile.
pub(crate) fn start(
    settings: &Settings,
    listen: Vec<TcpEndpoint>,
    engine: &Arc<Engine>,
    told: Arc<Told>,
    options: Options,
) -> Result<Option<Arc<Member>>, MemberError> {
    let cluster = &settings.cluster;
    let Some(file) = &cluster.passphrase_file else {
        if !cluster.join.is_empty() {
            return Err(MemberError::NoPassphrase);
        }
        return alone(engine).map(|()| None);
    };
    if engine.has_keyspaces() {
        return Err(MemberError::Keyspaces);
    }
    let node = NodeId::of(engine.origin()).ok_or(replication::Error::NoId)?;
    let wire = wire(settings, cluster, file, node, listen)?;
    let config = replication::Config {
        dir: settings.persistence.dir.clone(),
        joins: !cluster.join.is_empty(),
        max_clock_skew_ms: cluster.max_clock_skew_ms,
        kept_log_bytes: cluster.kept_log_bytes,
        options,
    };
    let member = Member::start(&config, wire, Arc::clone(engine), told)?;
    Ok(Some(Arc::new(member)))
}

/// What a member wrote alone, as if there were no others, could not be merged with what they wrote.
fn alone(engine: &Engine) -> Result<(), MemberError> {
    if engine.membership().map_err(replication::Error::from)?.is_some() {
        return Err(MemberError::InGroup);
    }
    Ok(engine.set_replicating(false).map_err(replication::Error::from)?)
}

fn wire(
    settings: &Settings,
    cluster: &Cluster,
    file: &std::path::Path,
    node: NodeId,
    listen: Vec<TcpEndpoint>,
) -> Result<cluster::Config, MemberError> {
    let clients = settings.network.port;
    let port = match cluster.port {
        0 => cluster::default_port(clients).ok_or(MemberError::Port { port: clients })?,
        port => port,
    };
    let mut listen: Vec<_> = listen.into_iter().filter(|endpoint| !endpoint.optional).map(|e| e.addr).collect();
    listen.iter_mut().for_each(|address| address.set_port(port));
    Ok(cluster::Config {
        listen,
        join: cluster.join.clone(),
        region: Region::new(&cluster.region)?,
        announce_host: cluster.announce_host.clone(),
        announce_port: (cluster.announce_port != 0).then_some(cluster.announce_port),
        ..cluster::Config::new(node, Passphrases::load(&[file])?)
    })
}
