//! What the kernel says about processes and about the machine; no names, no paths.

use std::fs;

use anyhow::{Context, Result};

/// User and system time of a process with all its threads, and of its children that have ended (Redis rewrites its log in
/// one), in microseconds.
pub fn cpu_us(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server's accounting")?;
    // The name in parentheses may contain anything; the numbers come after it. Times are in ticks of 1/100 s.
    let rest = stat.rsplit_once(')').context("the fields of stat")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields.get(11..15).context("utime, stime, and those of its children")?.iter().filter_map(|f| f.parse::<f64>().ok()).sum();
    Ok(ticks * 10_000.0)
}

/// Resident memory of a process in bytes.
pub fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server's memory")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.split_whitespace().next().context("a number")?.parse()?;
    Ok(kib * 1024)
}

/// The processor, its cores, memory, kernel and the peer's version, in a sentence.
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let field = |name: &str| {
        cpu.lines()
            .find_map(|l| l.strip_prefix(name))
            .and_then(|l| l.split_once(':'))
            .map_or("unknown", |(_, v)| v.trim())
            .to_owned()
    };
    let cores = cpu.lines().filter(|l| l.starts_with("processor")).count();
    let memory: u64 = read("/proc/meminfo")
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let peer = std::process::Command::new("redis-server")
        .arg("--version")
        .output()
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let peer = peer.unwrap_or_default();
    let version = peer.split_whitespace().find_map(|w| w.strip_prefix("v=")).unwrap_or("unknown").to_owned();
    format!(
        "Machine: {cores} cores of {}, {} GiB of memory, Linux {}; peer: redis-server {version}.",
        field("model name"),
        memory.div_ceil(1024 * 1024),
        kernel.trim()
    )
}
