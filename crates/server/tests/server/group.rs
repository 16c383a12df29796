//! Servers that are nodes of one group, in this process.

use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::harness::{Client, TestServer, free_port, until};

/// Some servers that know each other.
pub struct Group {
    pub nodes: Vec<Option<TestServer>>,
    dirs: Vec<TempDir>,
    ports: Vec<u16>,
    passphrase: PathBuf,
    flags: Vec<String>,
}

impl Group {
    /// So many, all of them members.
    pub fn of(size: usize, flags: &[&str]) -> Self {
        let dirs: Vec<TempDir> = (0..size).map(|_| tempfile::tempdir().unwrap()).collect();
        let passphrase = dirs[0].path().join("passphrase");
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&passphrase).unwrap();
        std::io::Write::write_all(&mut file, b"correct horse battery staple, and 0123456789\n").unwrap();
        let ports = (0..size).map(|_| free_port()).collect();
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut group = Self { nodes: Vec::new(), dirs, ports, passphrase, flags };
        for n in 0..size {
            group.nodes.push(None);
            group.start(n);
        }
        group.until_whole();
        group
    }

    /// Starts a node that does not run, and does not wait for it.
    pub fn start(&mut self, n: usize) {
        let (port, founder) = (self.ports[n].to_string(), format!("127.0.0.1:{}", self.ports[0]));
        let passphrase = self.passphrase.display().to_string();
        let mut flags = vec!["--cluster-passphrase-file", &passphrase, "--cluster-port", &port];
        flags.extend(self.flags.iter().map(String::as_str));
        if n > 0 {
            flags.extend(["--join", &founder]);
        }
        self.nodes[n] = Some(TestServer::start(self.dirs[n].path(), &flags));
    }

    /// Starts one more, with flags of its own.
    pub fn add(&mut self, flags: &[&str]) {
        let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
        let (passphrase, cluster_port) = (self.passphrase.display().to_string(), port.to_string());
        let mut all = vec!["--cluster-passphrase-file", &passphrase, "--cluster-port", &cluster_port];
        all.extend(flags);
        self.nodes.push(Some(TestServer::start(dir.path(), &all)));
        self.dirs.push(dir);
        self.ports.push(port);
    }

    /// Where a node's data is.
    pub fn dir(&self, n: usize) -> &std::path::Path {
        self.dirs[n].path()
    }

    /// The port of a node that others connect to.
    pub fn port(&self, n: usize) -> u16 {
        self.ports[n]
    }

    /// Stops a node.
    pub fn stop(&mut self, n: usize) {
        self.nodes[n] = None;
    }

    pub fn server(&self, n: usize) -> &TestServer {
        self.nodes[n].as_ref().unwrap()
    }

    pub fn client(&self, n: usize) -> Client {
        self.server(n).client()
    }

    /// A client of each node.
    pub fn clients(&self) -> Vec<Client> {
        (0..self.nodes.len()).map(|n| self.client(n)).collect()
    }

    /// Waits until every node is a member and has a connection with every other.
    pub fn until_whole(&self) {
        let size = self.nodes.len();
        let (others, commas) = ((size - 1).to_string(), size - 1);
        for (n, mut client) in self.clients().into_iter().enumerate() {
            until(&format!("node {n} is a member and knows all"), || {
                let info = client.info("replication");
                let knows = info["group_members"].matches(',').count() == commas && info["group_peers"] == others;
                info["group_role"] == "member" && knows
            });
        }
    }
}
