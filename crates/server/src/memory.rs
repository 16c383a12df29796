//! What the process takes of the machine: memory as the allocator and the kernel see it, processor time.

use std::time::Duration;

/// What an allocator says of itself, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllocatorFigures {
    /// Handed out to the program.
    pub allocated: u64,
    /// In pages that hold anything handed out.
    pub active: u64,
    /// Physically resident.
    pub resident: u64,
}

/// The allocator of the binary: this crate does not choose one.
pub trait Allocator: Send + Sync {
    /// Its name and version, as `mem_allocator` shows it.
    fn name(&self) -> String;
    /// What is in use now.
    fn figures(&self) -> AllocatorFigures;
    /// Gives unused pages back to the system.
    fn purge(&self);
    /// Its own report.
    fn report(&self) -> String;
}

/// For a program that has not said which allocator it uses: the kernel's figures stand for the allocator's.
pub(crate) struct Unknown;

impl Allocator for Unknown {
    fn name(&self) -> String {
        "libc".into()
    }

    fn figures(&self) -> AllocatorFigures {
        let resident = resident_bytes();
        AllocatorFigures { allocated: resident, active: resident, resident }
    }

    fn purge(&self) {}

    fn report(&self) -> String {
        "Stats not supported for the current allocator".into()
    }
}

/// The resident set of the process in bytes; 0 where the kernel does not say.
pub fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

/// The memory of the machine in bytes; 0 where the kernel does not say.
pub fn system_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Processor time in the kernel and outside of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the kernel.
    pub system: Duration,
    /// In the program.
    pub user: Duration,
}

/// Processor time of the process, of its children that have ended, and of its first thread.
pub fn cpu_times() -> [CpuTime; 3] {
    let process = stat_fields("/proc/self/stat");
    let main = stat_fields(&format!("/proc/self/task/{}/stat", std::process::id()));
    // Behind the command's name, from the state on: utime is the 12th field, then stime, cutime, cstime.
    let ticks = |fields: &[u64], at: usize| {
        let ticks = fields.get(at).copied().unwrap_or(0);
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
    };
    let time = |fields: &[u64], at: usize| CpuTime { user: ticks(fields, at), system: ticks(fields, at + 1) };
    [time(&process, 11), time(&process, 13), time(&main, 11)]
}

/// The fields behind the name, which may hold blanks and stands in parentheses; what is no number reads as 0.
fn stat_fields(path: &str) -> Vec<u64> {
    let stat = std::fs::read_to_string(path).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_ascii_whitespace().map(|field| field.parse().unwrap_or(0)).collect()
}

/// Bytes as INFO prints them for people: `1.50M`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.2}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_write_them() {
        for (bytes, text) in [(0, "0B"), (1023, "1023B"), (1024, "1.00K"), (1536 << 10, "1.50M"), (3 << 50, "3.00P")] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn the_kernel_knows_this_process() {
        assert!(resident_bytes() > 1 << 20 && resident_bytes() < system_bytes());
        let mut sum = 0u64;
        while cpu_times()[0] == CpuTime::default() {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
    }
}
