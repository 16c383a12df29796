//! The sections of INFO. Names are Redis', because exporters and clients read them; what this server does not have reads
//! as Redis' figure for "none". What only this server has begins with `log_` or `anabranch_`.
//!
//! *Invariant:* nothing here locks a shard: INFO may run inside a transaction, which holds them.

use std::sync::atomic::Ordering;

use command::table;
use wal::Health;

use super::info::Lines;
use super::percentile::percentile_us;
use crate::config::{Eviction, Supervisor};
use crate::front::Room;
use crate::memory::{cpu_times, human, resident_bytes, system_bytes};
use crate::net::Turn;

/// What the process is.
pub fn server(room: &Room, turn: &Turn<'_>, lines: &mut Lines) {
    let node = &room.node;
    let settings = node.config.settings();
    let uptime = node.started.elapsed().as_secs();
    lines.add("redis_version", super::REDIS_VERSION);
    lines.add("redis_git_sha1", "00000000");
    lines.add("redis_git_dirty", 0);
    lines.add("redis_build_id", "0000000000000000");
    lines.add("redis_mode", "standalone");
    lines.add("server_name", "anabranch");
    lines.add("anabranch_version", env!("CARGO_PKG_VERSION"));
    lines.add("os", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH));
    lines.add("arch_bits", usize::BITS);
    lines.add("monotonic_clock", "POSIX clock_gettime");
    lines.add("multiplexing_api", "epoll");
    lines.add("process_id", std::process::id());
    lines.add("process_supervised", supervisor(settings.process.supervised));
    lines.add("run_id", &node.run_id);
    lines.add("tcp_port", settings.network.port);
    lines.add("server_time_usec", turn.now.unix_ms * 1000);
    lines.add("uptime_in_seconds", uptime);
    lines.add("uptime_in_days", uptime / 86_400);
    // Nothing here runs by a timer; what is configured is shown because clients look for it.
    let hz = configured(room, b"hz");
    lines.add("hz", &hz);
    lines.add("configured_hz", &hz);
    lines.add("lru_clock", (turn.now.unix_ms / 1000) & 0xFF_FFFF);
    let executable = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    lines.add("executable", executable);
    lines.add("config_file", node.config.file().map(|file| file.display().to_string()).unwrap_or_default());
    lines.add("io_threads_active", u8::from(settings.process.io_threads > 1));
}

/// The value of a directive, as CONFIG GET prints it.
fn configured(room: &Room, name: &[u8]) -> String {
    let found = room.node.config.get(&[name]);
    found.first().map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

fn supervisor(supervisor: Supervisor) -> &'static str {
    match supervisor.resolved() {
        Supervisor::Upstart => "upstart",
        Supervisor::Systemd => "systemd",
        Supervisor::None | Supervisor::Auto => "no",
    }
}

/// Who is connected.
pub fn clients(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    let node = &room.node;
    let clients = node.clients();
    let most = |of: fn(&crate::net::ClientGauge) -> usize| {
        clients.iter().map(|(addr, _)| of(addr.gauge())).max().unwrap_or_default()
    };
    let count = |is: &dyn Fn(&crate::client::ClientInfo) -> bool| clients.iter().filter(|(_, info)| is(info)).count();
    let listening = count(&|info| info.channels.load(Ordering::Relaxed) + info.patterns.load(Ordering::Relaxed) > 0);
    lines.add("connected_clients", clients.len());
    lines.add("cluster_connections", 0);
    lines.add("maxclients", node.control.settings().max_clients);
    lines.add("client_recent_max_input_buffer", most(crate::net::ClientGauge::input_bytes));
    lines.add("client_recent_max_output_buffer", most(crate::net::ClientGauge::output_bytes));
    lines.add("blocked_clients", node.stats.blocked.load(Ordering::Relaxed));
    lines.add("tracking_clients", 0);
    lines.add("pubsub_clients", listening);
    lines.add("watching_clients", count(&|info| info.watched.load(Ordering::Relaxed) > 0));
    lines.add("clients_in_timeout_table", node.waiting.timed_count());
    let watched: usize = clients.iter().map(|(_, info)| info.watched.load(Ordering::Relaxed)).sum();
    lines.add("total_watched_keys", watched);
    lines.add("total_blocking_keys", node.waiting.key_count());
    lines.add("total_blocking_keys_on_nokey", 0);
}

/// What memory is used.
pub fn memory(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    let node = &room.node;
    let figures = node.look_at_memory();
    let (used, rss) = (figures.allocated, resident_bytes());
    let peak = node.stats.peak_memory.load(Ordering::Relaxed);
    let settings = node.config.settings();
    let mut pair = |name: &str, bytes: u64| {
        lines.add(name, bytes);
        lines.add(&format!("{name}_human"), human(bytes));
    };
    pair("used_memory", used);
    pair("used_memory_rss", rss);
    pair("used_memory_peak", peak);
    lines.add("used_memory_peak_perc", format!("{:.2}%", ratio(used, peak) * 100.0));
    lines.add("used_memory_startup", node.startup_memory());
    lines.add("used_memory_overhead", node.startup_memory());
    let dataset = used.saturating_sub(node.startup_memory());
    lines.add("used_memory_dataset", dataset);
    lines.add("used_memory_dataset_perc", format!("{:.2}%", ratio(dataset, used) * 100.0));
    lines.add("allocator_allocated", figures.allocated);
    lines.add("allocator_active", figures.active);
    lines.add("allocator_resident", figures.resident);
    let mut pair = |name: &str, bytes: u64| {
        lines.add(name, bytes);
        lines.add(&format!("{name}_human"), human(bytes));
    };
    pair("total_system_memory", system_bytes());
    pair("used_memory_lua", 0);
    // There are no scripts: what they would take and how many there are is nothing.
    pair("used_memory_scripts", 0);
    pair("used_memory_vm_total", 0);
    pair("maxmemory", settings.maxmemory);
    lines.add("maxmemory_policy", eviction(settings.maxmemory_policy));
    lines.add("allocator_frag_ratio", format!("{:.2}", ratio(figures.active, figures.allocated)));
    lines.add("allocator_frag_bytes", figures.active.saturating_sub(figures.allocated));
    lines.add("allocator_rss_ratio", format!("{:.2}", ratio(figures.resident, figures.active)));
    lines.add("allocator_rss_bytes", figures.resident as i64 - figures.active as i64);
    lines.add("rss_overhead_ratio", format!("{:.2}", ratio(rss, figures.resident)));
    lines.add("rss_overhead_bytes", rss as i64 - figures.resident as i64);
    lines.add("mem_fragmentation_ratio", format!("{:.2}", ratio(rss, used)));
    lines.add("mem_fragmentation_bytes", rss as i64 - used as i64);
    for name in [
        "used_memory_vm_eval",
        "used_memory_vm_functions",
        "used_memory_scripts_eval",
        "used_memory_functions",
        "number_of_cached_scripts",
        "number_of_functions",
        "number_of_libraries",
    ] {
        lines.add(name, 0);
    }
    lines.add("mem_not_counted_for_evict", 0);
    lines.add("mem_total_replication_buffers", 0);
    lines.add("mem_cluster_links", 0);
    lines.add("mem_replication_backlog", 0);
    lines.add("mem_clients_slaves", 0);
    lines.add("mem_clients_normal", client_bytes(room));
    lines.add("mem_aof_buffer", node.engine.log().stats().buffered_bytes);
    lines.add("mem_allocator", node.allocator().name());
    lines.add("active_defrag_running", 0);
}

/// `a / b`, 0 if there is no `b`.
pub fn ratio(a: u64, b: u64) -> f64 {
    if b == 0 { 0.0 } else { a as f64 / b as f64 }
}

/// Bytes that wait in clients' buffers.
pub fn client_bytes(room: &Room) -> usize {
    let of = |gauge: &crate::net::ClientGauge| gauge.input_bytes() + gauge.output_bytes() + gauge.mail_bytes();
    room.node.clients().iter().map(|(addr, _)| of(addr.gauge())).sum()
}

fn eviction(policy: Eviction) -> &'static str {
    match policy {
        Eviction::VolatileLru => "volatile-lru",
        Eviction::VolatileLfu => "volatile-lfu",
        Eviction::VolatileRandom => "volatile-random",
        Eviction::VolatileTtl => "volatile-ttl",
        Eviction::AllkeysLru => "allkeys-lru",
        Eviction::AllkeysLfu => "allkeys-lfu",
        Eviction::AllkeysRandom => "allkeys-random",
        Eviction::NoEviction => "noeviction",
    }
}

/// How the data is kept.
pub fn persistence(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    let node = &room.node;
    let log = node.engine.log();
    let (stats, end, durable) = (log.stats(), log.end().get(), log.durable().get());
    let health = status(log.health() == Health::Good);
    let rewrites = node.engine.checkpoint_figures();
    let (base, running) = (rewrites.disk.bytes, node.engine.is_checkpointing());
    let seconds = |time: Option<std::time::Duration>| time.map_or(-1, |time| time.as_secs() as i64);
    lines.add("loading", 0);
    lines.add("async_loading", 0);
    lines.add("current_cow_peak", 0);
    lines.add("current_cow_size", 0);
    lines.add("current_cow_size_age", 0);
    lines.add("current_fork_perc", "0.00");
    lines.add("current_save_keys_processed", 0);
    lines.add("current_save_keys_total", 0);
    let saved = node.saved_records.load(Ordering::Relaxed);
    lines.add("rdb_changes_since_last_save", stats.records.saturating_sub(saved));
    lines.add("rdb_bgsave_in_progress", 0);
    lines.add("rdb_last_save_time", node.last_save_s.load(Ordering::Relaxed));
    // A save makes the log durable, at once and as a whole.
    lines.add("rdb_last_bgsave_status", health);
    lines.add("rdb_last_bgsave_time_sec", if node.saves.load(Ordering::Relaxed) > 0 { 0 } else { -1 });
    lines.add("rdb_current_bgsave_time_sec", -1);
    lines.add("rdb_saves", node.saves.load(Ordering::Relaxed));
    lines.add("rdb_last_cow_size", 0);
    lines.add("rdb_last_load_keys_expired", 0);
    lines.add("rdb_last_load_keys_loaded", 0);
    lines.add("aof_enabled", 1);
    lines.add("aof_rewrite_in_progress", u8::from(running));
    lines.add("aof_rewrite_scheduled", 0);
    lines.add("aof_last_rewrite_time_sec", seconds(rewrites.last.map(|(took, _)| took)));
    lines.add("aof_current_rewrite_time_sec", seconds(rewrites.running_for));
    lines.add("aof_last_bgrewrite_status", status(rewrites.last.is_none_or(|(_, well)| well)));
    lines.add("aof_rewrites", rewrites.begun);
    lines.add("aof_rewrites_consecutive_failures", rewrites.failures);
    lines.add("module_fork_in_progress", 0);
    lines.add("module_fork_last_cow_size", 0);
    lines.add("aof_last_write_status", health);
    lines.add("aof_last_cow_size", 0);
    lines.add("aof_current_size", base + end.saturating_sub(log.first().get()));
    lines.add("aof_base_size", base);
    lines.add("large_value_bytes", rewrites.disk.value_bytes);
    lines.add("large_value_stale_bytes", rewrites.disk.value_stale_bytes);
    lines.add("aof_pending_rewrite", 0);
    lines.add("aof_buffer_length", stats.buffered_bytes);
    lines.add("aof_pending_bio_fsync", 0);
    lines.add("aof_delayed_fsync", 0);
    lines.add("log_records", stats.records);
    lines.add("log_payload_bytes", stats.payload_bytes);
    lines.add("log_written_bytes", stats.written_bytes);
    lines.add("log_flushes", stats.flushes);
    lines.add("log_fsyncs", stats.fsyncs);
    lines.add("log_fsync_usec", stats.fsync_total.as_micros());
    lines.add("log_fsync_max_usec", stats.fsync_max.as_micros());
    lines.add("log_segments", stats.segments);
    lines.add("log_first_position", log.first().get());
    lines.add("log_durable_position", durable);
    lines.add("encryption_at_rest", u8::from(node.engine.is_encrypted()));
    node.backups.add_figures(|name, value| lines.add(name, value));
    node.archiver.add_figures(&node.engine, |name, value| lines.add(name, value));
    lines.add("log_end_position", end);
    lines.add("log_unsynced_bytes", end.saturating_sub(durable));
}

fn status(good: bool) -> &'static str {
    if good { "ok" } else { "err" }
}

/// What has happened.
pub fn stats(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    let node = &room.node;
    let (totals, stats) = (node.control.totals(), &node.stats);
    let [commands, input, output] = stats.rates.lock().per_second();
    lines.add("total_connections_received", totals.accepted + totals.rejected);
    lines.add("total_commands_processed", stats.sum(crate::stats::CommandStats::calls));
    lines.add("instantaneous_ops_per_sec", commands.round() as u64);
    lines.add("total_net_input_bytes", totals.input_bytes);
    lines.add("total_net_output_bytes", totals.output_bytes);
    let between_nodes = super::info_group::bytes(room);
    lines.add("total_net_repl_input_bytes", between_nodes.0);
    lines.add("total_net_repl_output_bytes", between_nodes.1);
    lines.add("instantaneous_input_kbps", format!("{:.2}", input / 1024.0));
    lines.add("instantaneous_output_kbps", format!("{:.2}", output / 1024.0));
    lines.add("instantaneous_input_repl_kbps", "0.00");
    lines.add("instantaneous_output_repl_kbps", "0.00");
    lines.add("rejected_connections", totals.rejected);
    lines.add("sync_full", 0);
    lines.add("sync_partial_ok", 0);
    lines.add("sync_partial_err", 0);
    lines.add("expired_subkeys", node.engine.expired_fields());
    lines.add("expired_keys", node.engine.expired_keys());
    lines.add("expired_stale_perc", "0.00");
    lines.add("expired_time_cap_reached_count", 0);
    lines.add("expire_cycle_cpu_milliseconds", 0);
    lines.add("evicted_keys", 0);
    let residency = node.engine.residency_figures();
    lines.add("keys_at_rest", residency.cold_keys);
    lines.add("values_partly_at_rest", residency.partly_cold);
    lines.add("rest_reads", residency.reads);
    lines.add("rest_waits", node.readers.orders());
    lines.add("rest_waiting_clients", node.readers.waiting());
    lines.add("room_waiting_clients", node.lobby.waiting());
    lines.add("rest_evictions", residency.evictions);
    lines.add("evicted_clients", 0);
    lines.add("evicted_scripts", 0);
    lines.add("total_eviction_exceeded_time", 0);
    lines.add("current_eviction_exceeded_time", 0);
    lines.add("keyspace_hits", stats.sum(crate::stats::CommandStats::hits));
    lines.add("keyspace_misses", stats.sum(crate::stats::CommandStats::misses));
    lines.add("pubsub_channels", node.broker.channel_count());
    lines.add("pubsub_patterns", node.broker.pattern_count());
    lines.add("pubsubshard_channels", 0);
    lines.add("latest_fork_usec", 0);
    lines.add("total_forks", 0);
    lines.add("migrate_cached_sockets", 0);
    lines.add("slave_expires_tracked_keys", 0);
    lines.add("total_active_defrag_time", 0);
    lines.add("current_active_defrag_time", 0);
    for name in ["active_defrag_hits", "active_defrag_misses", "active_defrag_key_hits", "active_defrag_key_misses"] {
        lines.add(name, 0);
    }
    lines.add("tracking_total_keys", 0);
    lines.add("tracking_total_items", 0);
    lines.add("tracking_total_prefixes", 0);
    lines.add("unexpected_error_replies", 0);
    lines.add("total_error_replies", stats.error_replies());
    lines.add("dump_payload_sanitizations", 0);
    lines.add("total_reads_processed", totals.reads);
    lines.add("total_writes_processed", totals.writes);
    // With several I/O threads each of them reads and writes.
    let threaded = node.config.settings().process.io_threads > 1;
    lines.add("io_threaded_reads_processed", if threaded { totals.reads } else { 0 });
    lines.add("io_threaded_writes_processed", if threaded { totals.writes } else { 0 });
    lines.add("client_query_buffer_limit_disconnections", totals.query_buffer_closes);
    lines.add("client_output_buffer_limit_disconnections", totals.output_buffer_closes);
    lines.add("slowlog_length", stats.slowlog.lock().entries.len());
    lines.add("acl_access_denied_auth", 0);
    lines.add("acl_access_denied_cmd", 0);
    lines.add("acl_access_denied_key", 0);
    lines.add("acl_access_denied_channel", 0);
}

/// Processor time.
pub fn cpu(_: &Room, _: &Turn<'_>, lines: &mut Lines) {
    for (time, suffix) in cpu_times().iter().zip(["", "_children", "_main_thread"]) {
        lines.add(&format!("used_cpu_sys{suffix}"), format!("{:.6}", time.system.as_secs_f64()));
        lines.add(&format!("used_cpu_user{suffix}"), format!("{:.6}", time.user.as_secs_f64()));
    }
}

/// What each command has done.
pub fn command_stats(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    for id in table::ids() {
        let totals = room.node.stats.command(id);
        if totals.calls + totals.rejected == 0 {
            continue;
        }
        let us = totals.ns / 1000;
        let each = ratio(totals.ns, totals.calls) / 1000.0;
        let (calls, rejected, failed) = (totals.calls, totals.rejected, totals.failed);
        lines.add(
            &format!("cmdstat_{}", table::full_name(id)),
            format!("calls={calls},usec={us},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}"),
        );
    }
}

/// Errors by their first word.
pub fn error_stats(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    for (word, count) in room.node.stats.errors() {
        lines.add(&format!("errorstat_{}", String::from_utf8_lossy(&word)), format!("count={count}"));
    }
}

/// How long commands took.
///
/// DIFFERENCE: durations are counted by powers of two; within one, percentiles are interpolated.
pub fn latency_stats(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    let settings = room.node.config.settings();
    if !settings.observability.latency_tracking {
        return;
    }
    for id in table::ids() {
        let totals = room.node.stats.command(id);
        if totals.tracked() == 0 {
            continue;
        }
        let of = |percentile: &f64| {
            let name = crate::config::percentile_text(*percentile);
            format!("p{name}={:.3}", percentile_us(&totals.buckets, *percentile))
        };
        let values: Vec<String> = settings.observability.latency_percentiles.iter().map(of).collect();
        lines.add(&format!("latency_percentiles_usec_{}", table::full_name(id)), values.join(","));
    }
}

/// How many keys there are.
pub fn keyspace(room: &Room, _: &Turn<'_>, lines: &mut Lines) {
    let databases = room.node.config.settings().process.databases.min(256);
    for db in 0..databases {
        let engine::KeyCounts { keys, volatile: expires, mean_ttl_ms: ttl, .. } = room.node.engine.key_counts(db as u8);
        if keys > 0 {
            lines.add(&format!("db{db}"), format!("keys={keys},expires={expires},avg_ttl={ttl},subexpiry=0"));
        }
    }
}
