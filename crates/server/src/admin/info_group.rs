//! The section of INFO about replication. What only this server has begins with `group_`.
//!
//! ```text
//!   Status (the replica, every 10 ms) ─┬▶ who belongs to the group, how far each is, what is stable
//!   Metrics (the wire)                 └▶ a line for each connected node: lag, bytes, reconnects
//! ```
//! *Invariant:* nothing here waits for the replica's thread or for another node.

use std::collections::BTreeSet;

use effect::{Dot, Vector};
use replication::{PeerStatus, Role, Status};

use super::info::Lines;
use crate::front::Room;
use crate::net::Turn;

/// Who follows whom.
///
/// DIFFERENCE: connected_slaves counts the other members that there is a connection with, which is what WAIT can answer. They have no
/// lines `slave0`, and ROLE does not name them: whoever read those would take them for replicas of this node, and make one of them
/// its master.
pub fn replication(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    let node = &room.node;
    let status = node.member().map(|member| member.status());
    lines.add("role", "master");
    lines.add("connected_slaves", status.as_ref().map_or(0, |status| connected(status).count()));
    lines.add("master_failover_state", "no-failover");
    lines.add("master_replid", &node.run_id);
    lines.add("master_replid2", "0".repeat(40));
    lines.add("master_repl_offset", node.engine.log().end().get());
    lines.add("second_repl_offset", -1);
    lines.add("repl_backlog_active", 0);
    lines.add("repl_backlog_size", 0);
    lines.add("repl_backlog_first_byte_offset", 0);
    lines.add("repl_backlog_histlen", 0);
    if let Some(status) = status {
        group(room, &status, lines);
        peers(room, &status, lines);
    }
}

/// Bytes from other nodes and to them, of all connections so far.
pub fn bytes(room: &Room) -> (u64, u64) {
    let peers = room.node.member().map(|member| member.metrics().peers).unwrap_or_default();
    peers.iter().fold((0, 0), |(input, output), peer| (input + peer.bytes_in, output + peer.bytes_out))
}

/// Members that there is a connection with.
fn connected(status: &Status) -> impl Iterator<Item = &PeerStatus> {
    status.peers.iter().filter(|peer| status.members.contains(&peer.node.get()))
}

/// What the node is called that a role makes of it.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Joining => "joining",
        Role::Member => "member",
        Role::Dropped => "dropped",
    }
}

fn group(room: &Room, status: &Status, lines: &mut Lines) {
    let engine = &room.node.engine;
    let own = status.origin.map(|origin| origin.node());
    let here: BTreeSet<u64> = connected(status).map(|peer| peer.node.get()).chain(own).collect();
    let absent = status.members.iter().filter(|node| !here.contains(node));
    lines.add("group_role", role_name(status.role));
    lines.add("group_epoch", status.epoch);
    lines.add("group_members", nodes(status.members.iter()));
    lines.add("group_absent", nodes(absent));
    lines.add("group_members_met", u8::from(status.has_met));
    if let Some(origin) = status.origin {
        lines.add("group_node", format!("{:012x}", origin.node()));
        lines.add("group_incarnation", origin.incarnation());
    }
    lines.add("group_applied", vector(&status.applied));
    lines.add("group_durable", vector(&status.durable));
    lines.add("group_stable", vector(&status.stable));
    lines.add("group_unstable_keys", engine.unstable_keys());
    lines.add("group_unstable_effects", unstable_effects(status));
    // How long ago that was written up to which everything is stable; where nothing ever was, since nobody knows.
    let stable_lag = status.stable_hlc.map_or(-1, |hlc| (engine.now_ms() - hlc.ms()).max(0));
    lines.add("group_stable_lag_ms", stable_lag);
    lines.add("group_batches_in", status.batches_in);
    lines.add("group_effects_in", status.effects_in);
    lines.add("group_transactions_undecided", status.undecided);
    let outcomes = status.outcomes;
    lines.add("group_transactions_committed", outcomes.committed);
    lines.add("group_transactions_lost", outcomes.lost);
    lines.add("group_transactions_aborted", outcomes.aborted);
    lines.add("group_transactions_late", outcomes.undecided);
    lines.add("group_transactions_led", status.led);
    lines.add("group_transactions_forwarded", room.node.member().map_or(0, |member| member.serial().forwarded()));
    lines.add("group_transactions_shown_bytes", room.node.engine.shown_bytes());
    lines.add("group_transactions_undone", room.node.member().map_or(0, |member| member.undone().reported()));
    lines.add("group_waits_for", &status.waits_for);
    lines.add("group_trouble", status.trouble.as_deref().unwrap_or_default().replace(['\r', '\n'], " "));
    lines.add("group_needs_snapshot", u8::from(status.needs_snapshot));
    lines.add("group_takes_snapshot", u8::from(status.takes_snapshot));
    lines.add("group_undelivered", status.undelivered);
    lines.add("group_superseded", status.superseded);
    lines.add("group_gives_snapshot", u8::from(status.gives_snapshot));
}

/// Effects that are here and not stable.
fn unstable_effects(status: &Status) -> u64 {
    status.applied.iter().map(|dot| dot.seq.saturating_sub(status.stable.get(dot.origin))).sum()
}

fn peers(room: &Room, status: &Status, lines: &mut Lines) {
    let metrics = room.node.member().map(|member| member.metrics()).unwrap_or_default();
    lines.add("group_certificate_ends", metrics.certificate_ends);
    lines.add("group_refused_connections", metrics.refused);
    lines.add("group_peers", status.peers.len());
    for (n, peer) in status.peers.iter().enumerate() {
        let wire = metrics.peers.iter().find(|wire| wire.node == peer.node);
        let figure = |of: fn(&cluster::PeerMetrics) -> u64| wire.map_or(0, of);
        let address = peer.address.as_deref().unwrap_or(&peer.seen_at);
        let member = u8::from(status.members.contains(&peer.node.get()));
        let (node, region, rtt) = (peer.node, &peer.region, peer.rtt_micros);
        let (lag, lag_ms) = (peer.lag_effects, peer.lag_ms);
        let (input, output) = (figure(|wire| wire.bytes_in), figure(|wire| wire.bytes_out));
        let (waiting, reconnects) = (figure(|wire| wire.waiting as u64), figure(|wire| wire.reconnects));
        lines.add(
            &format!("group_peer{n}"),
            format!(
                "node={node},addr={address},region={region},member={member},rtt_usec={rtt},lag_effects={lag},lag_ms={lag_ms},\
                 bytes_in={input},bytes_out={output},bytes_waiting={waiting},reconnects={reconnects}"
            ),
        );
    }
}

fn nodes<'n>(ids: impl Iterator<Item = &'n u64>) -> String {
    ids.map(|node| format!("{node:012x}")).collect::<Vec<_>>().join(",")
}

/// `node-incarnation:seq`.
pub fn dot_text(dot: Dot) -> String {
    format!("{:012x}-{}:{}", dot.origin.node(), dot.origin.incarnation(), dot.seq)
}

/// The last effect of each origin.
fn vector(vector: &Vector) -> String {
    vector.iter().map(dot_text).collect::<Vec<_>>().join(",")
}
