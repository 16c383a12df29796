//! What CONFIG SET changes while the server runs.

use std::sync::{Arc, Weak};

use crate::config::{Change, Changes, EventMask, Observability, Veto, find_directive};
use crate::net;
use crate::node::Node;
use crate::serve::{net_settings, tls_files};
use crate::settings::{checkpoints_of, env_of, fsync_of};
use crate::stats::Stats;

/// Brings the node in line with its configuration, now and whenever that changes.
pub fn follow_config(node: &Arc<Node>) {
    let settings = node.config.settings();
    watch_times(&node.stats, &settings.observability);
    notify(node, settings.observability.events);
    let weak: Weak<Node> = Arc::downgrade(node);
    node.config.subscribe(move |changes| match weak.upgrade() {
        Some(node) => apply(&node, changes),
        None => Ok(()),
    });
}

fn watch_times(stats: &Stats, settings: &Observability) {
    stats.set_thresholds(settings.slowlog_slower_than_us, settings.latency_threshold_ms);
    stats.set_tracking(settings.latency_tracking);
}

/// Has the events that are asked for published. What nobody asks for is not even looked for.
fn notify(node: &Node, events: EventMask) {
    node.broker.set_event_channels(events.has(EventMask::KEYSPACE), events.has(EventMask::KEYEVENT));
    node.engine.want_events(events.classes());
}

fn apply(node: &Node, changes: &Changes) -> Result<(), Veto> {
    let settings = &changes.after;
    // DIFFERENCE: Redis can move its listeners while it runs.
    let needs_restart = |name: &str| find_directive(name.as_bytes()).is_some_and(|row| row.change == Change::Restart);
    if let Some(name) = changes.names.iter().find(|name| needs_restart(name)) {
        let reason = "listeners cannot move while the server runs: change the configuration file and restart";
        return Err(Veto { name, reason: reason.into() });
    }
    let clients = settings.clients.max as usize;
    let possible = crate::net::allow_files(clients);
    if possible < clients && changes.touches(&["maxclients"]) {
        let reason =
            format!("The operating system is not able to handle the specified number of clients, try with {possible}");
        return Err(Veto { name: "maxclients", reason });
    }
    let tls = changes.names.iter().find(|name| name.starts_with("tls-"));
    if let Some(name) = tls.filter(|_| settings.tls.port != 0) {
        match tls_files(settings).load() {
            Ok(config) => node.control.set_tls(config),
            Err(error) => return Err(Veto { name, reason: error.to_string() }),
        }
    }
    node.engine.log().set_policy(fsync_of(settings.persistence.appendfsync));
    node.engine.set_batch_bytes(usize::try_from(settings.persistence.max_batch_bytes).unwrap_or(usize::MAX));
    node.engine.set_checkpoint_policy(checkpoints_of(&settings.persistence));
    node.engine.set_backup_log_bytes(settings.persistence.backup_log_bytes);
    node.engine.set_archive_log_bytes(settings.persistence.archive.kept_log_bytes());
    node.archiver.follow(settings);
    node.engine.set_large_value_bytes(usize::try_from(settings.persistence.large_value_bytes).unwrap_or(usize::MAX));
    node.set_env(env_of(settings));
    // What was asked for at the start may be more than the system allows.
    node.control.change_settings(|net| *net = net::Settings { max_clients: possible, ..net_settings(settings) });
    watch_times(&node.stats, &settings.observability);
    notify(node, settings.observability.events);
    node.engine.set_memory(settings.maxmemory);
    node.watch_memory(settings.maxmemory);
    Ok(())
}
