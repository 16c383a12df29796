//! Where the nodes are: each in a network namespace of its own, so that what is between two of them can be cut, in one direction or in
//! both, while clients reach all of them.
//!
//! ```text
//!   node 0  10.77.1.2 ──┐
//!   node 1  10.77.2.2 ──┼── hub: forwards, but what a rule drops; the harness and its clients live here
//!   node 2  10.77.3.2 ──┘
//! ```
//! Without namespaces all nodes are on the loopback interface, and nothing is cut.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::node::Seat;
use crate::server::{Program, free_port};

/// What the names of all our namespaces begin with; the harness's process id follows.
const NAME: &str = "anb";
/// Where `ip` keeps them.
const FOLDER: &str = "/run/netns";
/// The ports in a namespace.
const CLIENTS: u16 = 6379;
const NODES: u16 = 16_379;

/// Places of nodes.
#[derive(Debug)]
pub enum Space {
    /// In namespaces.
    Apart(Apart),
    /// On loopback: the ports of clients and of nodes.
    Together(Vec<(u16, u16)>),
}

/// Namespaces; they are gone when it is dropped.
#[derive(Debug)]
pub struct Apart {
    tag: String,
    nodes: usize,
    cut: BTreeSet<(usize, usize)>,
}

impl Space {
    /// Namespaces, or why there cannot be any. The calling thread, and those that it starts from now on, are in the hub.
    pub fn apart(nodes: usize) -> Result<Space> {
        sweep();
        let apart = Apart { tag: format!("{NAME}-{}", std::process::id()), nodes, cut: BTreeSet::new() };
        apart.make()?;
        enter(&apart.hub())?;
        Ok(Space::Apart(apart))
    }

    /// Ports of the loopback interface.
    pub fn together(nodes: usize) -> Result<Space> {
        Ok(Space::Together((0..nodes).map(|_| Ok((free_port()?, free_port()?))).collect::<Result<_>>()?))
    }

    /// Where a node is.
    pub fn seat(&self, node: usize) -> Seat {
        let (clients, nodes) = match self {
            Space::Apart(_) => ((address(node), CLIENTS), (address(node), NODES)),
            Space::Together(ports) => ((Ipv4Addr::LOCALHOST, ports[node].0), (Ipv4Addr::LOCALHOST, ports[node].1)),
        };
        Seat { clients: clients.into(), nodes: nodes.into(), announced: nodes.into() }
    }

    /// The program, started where the node is.
    pub fn place(&self, program: &Program, node: usize) -> Program {
        match self {
            Space::Apart(apart) => program.under(&["ip", "netns", "exec", &apart.name(node)]),
            Space::Together(_) => program.clone(),
        }
    }

    /// Whether anything can be cut.
    pub fn cuts(&self) -> bool {
        matches!(self, Space::Apart(_))
    }

    /// Nothing that one sends arrives at the other any more.
    pub fn cut(&mut self, from: usize, to: usize) -> Result<()> {
        let Space::Apart(apart) = self else { bail!("nothing can be cut on the loopback interface") };
        if apart.cut.insert((from, to)) { apart.rule("add", from, to) } else { Ok(()) }
    }

    /// It arrives again.
    pub fn mend(&mut self, from: usize, to: usize) -> Result<()> {
        let Space::Apart(apart) = self else { return Ok(()) };
        if apart.cut.remove(&(from, to)) { apart.rule("del", from, to) } else { Ok(()) }
    }
}

impl Apart {
    fn name(&self, node: usize) -> String {
        format!("{}-{node}", self.tag)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.tag)
    }

    fn make(&self) -> Result<()> {
        let hub = self.hub();
        ip(&["netns", "add", &hub])?;
        ip(&["-n", &hub, "link", "set", "lo", "up"])?;
        let forward = ["netns", "exec", &hub, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"];
        ip(&forward).context("forwarding between namespaces")?;
        for node in 0..self.nodes {
            let (name, wire) = (self.name(node), format!("node{node}"));
            ip(&["netns", "add", &name])?;
            ip(&["link", "add", &wire, "netns", &hub, "type", "veth", "peer", "name", "eth0", "netns", &name])?;
            let side = |last: u8| format!("10.77.{}.{last}/30", node + 1);
            ip(&["-n", &hub, "addr", "add", &side(1), "dev", &wire])?;
            ip(&["-n", &name, "addr", "add", &side(2), "dev", "eth0"])?;
            ip(&["-n", &hub, "link", "set", &wire, "up"])?;
            ip(&["-n", &name, "link", "set", "lo", "up"])?;
            ip(&["-n", &name, "link", "set", "eth0", "up"])?;
            ip(&["-n", &name, "route", "add", "default", "via", side(1).trim_end_matches("/30")])?;
        }
        Ok(())
    }

    /// What is dropped on the way is not told to anybody, as with a wire that is cut.
    fn rule(&self, verb: &str, from: usize, to: usize) -> Result<()> {
        let (from, to) = (address(from).to_string(), address(to).to_string());
        ip(&["-n", &self.hub(), "rule", verb, "pref", "10", "from", &from, "to", &to, "blackhole"])
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        for name in (0..self.nodes).map(|node| self.name(node)).chain([self.hub()]) {
            // What has not been made cannot be removed.
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

/// Moves the calling thread into a namespace.
fn enter(name: &str) -> Result<()> {
    let file = File::open(Path::new(FOLDER).join(name))?;
    #[expect(unsafe_code, reason = "the standard library knows no namespaces")]
    // SAFETY: setns touches no memory, and the file is open across the call.
    let entered = unsafe { libc::setns(file.as_raw_fd(), libc::CLONE_NEWNET) };
    ensure!(entered == 0, "enter a namespace: {}", std::io::Error::last_os_error());
    Ok(())
}

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, node as u8 + 1, 2)
}

/// Ends what a harness left behind that was killed: its servers, which are in its namespaces, and these.
fn sweep() {
    for entry in std::fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut parts = name.split('-');
        let (Some(NAME), Some(pid)) = (parts.next(), parts.next()) else { continue };
        if pid.parse::<u32>().is_err() || Path::new("/proc").join(pid).exists() {
            continue;
        }
        let inside = Command::new("ip").args(["netns", "pids", &name]).output().map(|o| o.stdout).unwrap_or_default();
        for pid in String::from_utf8_lossy(&inside).split_whitespace() {
            let _ = Command::new("kill").args(["-9", pid]).status();
        }
        let _ = ip(&["netns", "del", &name]);
    }
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("run ip")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "ip {}: {said}", words.join(" "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;

    /// A socket in a node's namespace.
    fn socket(name: String, node: usize) -> UdpSocket {
        let open = move || {
            enter(&name).unwrap();
            UdpSocket::bind((address(node), NODES)).unwrap()
        };
        let socket = std::thread::spawn(open).join().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket
    }

    #[test]
    fn what_is_cut_one_way_goes_the_other_way_and_is_lost_until_it_is_mended() {
        // On a thread of its own, for it leaves the namespace of the others.
        std::thread::spawn(|| {
            let mut space = match Space::apart(2) {
                Ok(space) => space,
                Err(why) => {
                    let why = format!("no network namespaces: {why:#}");
                    assert!(std::env::var_os("FORBID_SKIPS").is_none(), "{why}");
                    eprintln!("skipped: {why}");
                    return;
                }
            };
            let Space::Apart(apart) = &space else { panic!("it is on loopback") };
            let (zero, one) = (socket(apart.name(0), 0), socket(apart.name(1), 1));
            // One that is connected would be told if somebody on the way said that there is no way.
            zero.connect((address(1), NODES)).unwrap();
            one.connect((address(0), NODES)).unwrap();
            let send = |from: &UdpSocket, byte: u8| from.send(&[byte]).map(|_| ());
            let next = |at: &UdpSocket| {
                let mut byte = [0];
                at.recv(&mut byte).map(|_| byte[0]).unwrap()
            };
            send(&zero, 1).unwrap();
            assert_eq!(next(&one), 1);
            space.cut(0, 1).unwrap();
            send(&zero, 2).unwrap();
            send(&one, 3).unwrap();
            assert_eq!(next(&zero), 3);
            space.mend(0, 1).unwrap();
            send(&zero, 4).unwrap();
            assert_eq!(next(&one), 4);
        })
        .join()
        .unwrap();
    }
}
