//! CLUSTER: the nodes of the group, in the words of Redis Cluster as far as they fit.
//!
//! DIFFERENCE: INFO says `cluster_enabled:0` in any case. There are no slots that belong to one node only: any node takes any
//! command, and every client speaks to it as to a server alone. CLUSTER NODES says of each member that it has all slots.
//!
//! *Invariant:* a member is called by the id that its data directory has: 12 hex digits.

use effect::Slot;
use replication::{Member, NodeId, PeerStatus, Role, Status};
use resp::Args;

use super::Handlers;
use crate::front::Room;
use crate::net::{Flow, Turn};
use crate::session::{Session, ok, refuse};

/// The handlers of this family.
pub const HANDLERS: Handlers = &[
    ("cluster|myid", |room, session, _, turn| in_group(room, session, turn, myid)),
    ("cluster|info", |room, session, _, turn| in_group(room, session, turn, info)),
    ("cluster|nodes", |room, session, _, turn| in_group(room, session, turn, nodes)),
    ("cluster|meet", meet),
    ("cluster|forget", forget),
    ("cluster|keyslot", keyslot),
    ("cluster|help", |room, session, _, turn| room.help(session, turn, "cluster")),
];

const ALONE: &str = "ERR This instance has cluster support disabled";

/// Replies with a text about the group.
fn in_group(room: &Room, session: &Session, turn: &mut Turn<'_>, text: fn(&Room, &Status) -> String) -> Flow {
    let Some(member) = room.node.member() else { return refuse(session, turn, ALONE) };
    let text = text(room, &member.status());
    session.reply(turn).verbatim(*b"txt", text.as_bytes());
    Flow::Continue
}

fn own_id(room: &Room) -> u64 {
    room.node.engine.origin().node()
}

fn myid(room: &Room, _: &Status) -> String {
    format!("{:012x}", own_id(room))
}

fn info(room: &Room, status: &Status) -> String {
    let state = if status.role == Role::Member { "ok" } else { "fail" };
    let joining = status.peers.iter().filter(|peer| !status.members.contains(&peer.node.get())).count();
    let known = status.members.len() + joining + usize::from(!status.members.contains(&own_id(room)));
    let (size, epoch) = (status.members.len(), status.epoch);
    let lines = [
        ("cluster_state", state.to_owned()),
        ("cluster_slots_assigned", Slot::COUNT.to_string()),
        ("cluster_slots_ok", Slot::COUNT.to_string()),
        ("cluster_slots_pfail", "0".to_owned()),
        ("cluster_slots_fail", "0".to_owned()),
        ("cluster_known_nodes", known.to_string()),
        ("cluster_size", size.to_string()),
        ("cluster_current_epoch", epoch.to_string()),
        ("cluster_my_epoch", epoch.to_string()),
    ];
    lines.iter().map(|(name, value)| format!("{name}:{value}\r\n")).collect()
}

/// A line for each: `id address flags master ping pong epoch link slots`.
fn nodes(room: &Room, status: &Status) -> String {
    let own = own_id(room);
    let mut ids: Vec<u64> = status.members.iter().copied().chain([own]).collect();
    ids.extend(status.peers.iter().map(|peer| peer.node.get()));
    ids.sort_unstable();
    ids.dedup();
    ids.iter().map(|id| node(room, status, *id, *id == own)).collect()
}

fn node(room: &Room, status: &Status, id: u64, is_own: bool) -> String {
    let peer = status.peers.iter().find(|peer| peer.node.get() == id);
    let is_member = status.members.contains(&id);
    let address = match (is_own, peer) {
        (true, _) => own_address(room),
        (false, Some(peer)) => address_of(peer),
        (false, None) => ":0@0".to_owned(),
    };
    let mut flags = Vec::new();
    flags.extend(is_own.then_some("myself"));
    flags.push(if is_member { "master" } else { "handshake" });
    flags.extend((!is_own && peer.is_none()).then_some("noaddr"));
    let link = if is_own || peer.is_some() { "connected" } else { "disconnected" };
    let slots = if is_member { " 0-16383" } else { "" };
    format!("{id:012x} {address} {} - 0 0 {} {link}{slots}\n", flags.join(","), status.epoch)
}

/// `host:port@cluster-port`.
fn own_address(room: &Room) -> String {
    let settings = room.node.config.settings();
    let wire = room.node.member().and_then(|member| member.addresses().first().copied());
    let (host, port) = wire.map_or((String::new(), 0), |wire| (wire.ip().to_string(), wire.port()));
    format!("{host}:{}@{port}", settings.network.port)
}

/// A node says where its cluster port is, and not where its clients connect.
fn address_of(peer: &PeerStatus) -> String {
    let address = peer.address.as_deref().unwrap_or(&peer.seen_at);
    match address.rsplit_once(':') {
        Some((host, port)) => format!("{host}:0@{port}"),
        None => format!("{address}:0@0"),
    }
}

fn meet(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let Some(member) = room.node.member() else { return refuse(session, turn, ALONE) };
    let text = |at: usize| args.get(at).map(|word| String::from_utf8_lossy(word).into_owned()).unwrap_or_default();
    if args.len() > 5 {
        return refuse(session, turn, command::errors::SYNTAX_TEXT);
    }
    let number = |at: usize| text(at).parse::<u16>().ok().filter(|port| *port > 0);
    let port = match args.len() {
        4 => number(3).and_then(cluster::default_port),
        _ => number(3).and(number(4)),
    };
    let host = text(2);
    let Some(port) = port else {
        return refuse(session, turn, format!("ERR Invalid base port specified: {}", text(3)));
    };
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match member.meet(&address) {
        Ok(()) => ok(session, turn),
        Err(error) => refuse(session, turn, format!("ERR {error}")),
    }
}

fn forget(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    let Some(member) = room.node.member() else { return refuse(session, turn, ALONE) };
    match forgettable(member, own_id(room), &args[2]) {
        Ok(node) => {
            member.forget(node);
            ok(session, turn)
        }
        Err(text) => refuse(session, turn, text),
    }
}

/// The node that is meant; the error is the reply's text.
fn forgettable(member: &Member, own: u64, id: &[u8]) -> Result<NodeId, String> {
    let unknown = || format!("ERR Unknown node {}", String::from_utf8_lossy(id));
    let text = std::str::from_utf8(id).map_err(|_| unknown())?;
    let node = u64::from_str_radix(text, 16).ok().and_then(NodeId::new).ok_or_else(unknown)?;
    let status = member.status();
    if node.get() == own {
        return Err("ERR I tried hard but I can't forget myself: ask another member".into());
    }
    if !status.members.contains(&node.get()) {
        return Err(unknown());
    }
    match status.role {
        Role::Member => Ok(node),
        Role::Joining | Role::Dropped => Err("ERR this node is no member of the group: ask one that is".into()),
    }
}

fn keyslot(room: &mut Room, session: &mut Session, args: Args<'_>, turn: &mut Turn<'_>) -> Flow {
    if room.node.member().is_none() {
        return refuse(session, turn, ALONE);
    }
    session.reply(turn).int(i64::from(Slot::of(&args[2]).0));
    Flow::Continue
}
