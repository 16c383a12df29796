//! The parts of the benchmark, each of which can be run alone: what they are called, what their tables show.

/// How a part measures.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Sequential writes of values of this size (0: mixed), then reads of a reopened store.
    Sizes(usize),
    /// A mix of operations on a fresh store.
    Workload,
    /// Opening so many items after `kill -9` and after a clean close.
    Restart(u64),
    /// Single look-ups in RAM.
    Micro,
}

pub struct Part {
    pub name: &'static str,
    pub title: &'static str,
    pub about: &'static str,
    pub kind: Kind,
    pub stores: &'static [&'static str],
}

/// Which way is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
    /// It is told, not judged.
    Neither,
}

/// One column: the metrics whose values stand in its cells, the first of which is judged.
pub struct Column {
    pub heading: &'static str,
    pub metrics: &'static [&'static str],
    pub decimals: usize,
    pub better: Better,
}

const ALL: &[&str] = &["blob cache", "blob buffered", "blob durable", "foyer", "plain files"];
const CACHES: &[&str] = &["blob cache", "blob buffered", "foyer", "plain files"];
const ONCE: &[&str] = &["blob cache", "foyer", "plain files"];

const fn size(name: &'static str, title: &'static str, bytes: usize) -> Part {
    let about = "New keys one after the other, by one thread. Then the store is opened anew and the page cache emptied: reads of \
                 random keys, each for the first time (disk) and again (RAM), and of keys that are not there.";
    Part { name, title, about, kind: Kind::Sizes(bytes), stores: ALL }
}

const fn workload(name: &'static str, title: &'static str, about: &'static str) -> Part {
    Part { name, title, about, kind: Kind::Workload, stores: CACHES }
}

pub const PARTS: [Part; 14] = [
    size("4k", "4 KiB", 4 << 10),
    size("64k", "64 KiB", 64 << 10),
    size("1m", "1 MiB", 1 << 20),
    size("16m", "16 MiB", 16 << 20),
    size("mixed", "0.1 to 2 MB", 0),
    workload(
        "w1",
        "W1: one write to nine reads",
        "10 % puts of 0.1 to 2 MB, 45 % reads of keys that were put, 45 % of keys that were not. The disk limit holds everything.",
    ),
    workload(
        "w2",
        "W2: hot, cold, absent",
        "10 % puts of 0.1 to 2 MB, 40 % reads by Zipf 1.1 over the newest 1,000 keys, 25 % in order over all, 25 % absent. \
         The disk limit is half of what is put.",
    ),
    workload(
        "w3",
        "W3: a log, newest is hottest",
        "20 % puts of 64 KiB, 80 % reads exponentially far behind the newest, 4,000 values on average. The disk limit holds 4,096 values.",
    ),
    workload(
        "w4",
        "W4: scans beside Zipf",
        "Reads by Zipf 1.1 over 16,384 keys of 64 KiB; every fourth read is of a scan that never returns. What is missed is put. \
         The disk limit holds 4,096 values. The hit ratio is of the Zipf reads.",
    ),
    workload(
        "w5",
        "W5: churn",
        "2,000 keys of 64 KiB are overwritten, every eighth operation deletes. The disk limit is twice what lives.",
    ),
    Part {
        name: "w6",
        title: "W6: restart with 200,000 items of 100 bytes",
        about: "The filling process kills itself; the store is opened, closed, and opened again. RAM per item is what opening \
                added to the process; of it the index, where the store tells.",
        kind: Kind::Restart(200_000),
        stores: ONCE,
    },
    Part {
        name: "w6-large",
        title: "W6: restart with 5,000,000 items of 100 bytes",
        about: "As above, for our store alone.",
        kind: Kind::Restart(5_000_000),
        stores: &["blob cache"],
    },
    workload(
        "w7",
        "W7: load on a miss",
        "Four threads read by Zipf 1.1 over 4,000 keys of 256 KiB through get-or-load; the origin takes 10 ms. The disk limit \
         holds 1,024 values. (Plain files have no single flight.)",
    ),
    Part {
        name: "micro",
        title: "Look-ups in RAM",
        about: "100,000 values of 1 KiB, all in RAM, by one thread; means over a million calls in random order. For plain \
                files RAM is the page cache.",
        kind: Kind::Micro,
        stores: ONCE,
    },
];

const fn column(heading: &'static str, metrics: &'static [&'static str], decimals: usize, better: Better) -> Column {
    Column { heading, metrics, decimals, better }
}

const PUT: Column = column("put p50 / p99 / p99.9 µs", &["put_p50", "put_p99", "put_p999"], 0, Better::Lower);
const CPU: Column = column("CPU s/GiB", &["cpu"], 2, Better::Lower);
const DISK: Column = column("most disk, of the limit, %", &["disk_peak"], 0, Better::Neither);
const DEVICE: Column = column("device bytes/user byte", &["device"], 2, Better::Lower);

const BUSY: Column = column("machine busy before, %", &["busy"], 0, Better::Neither);

const SIZES: &[Column] = &[
    column("persisted MB/s", &["persisted"], 0, Better::Higher),
    column("of raw, %", &["of_raw"], 0, Better::Neither),
    column("kept, %", &["kept"], 0, Better::Higher),
    PUT,
    column("hit in RAM p50 / p99 / p99.9 µs", &["ram_p50", "ram_p99", "ram_p999"], 1, Better::Lower),
    column("hit on disk p50 / p99 / p99.9 µs", &["disk_p50", "disk_p99", "disk_p999"], 0, Better::Lower),
    column("miss p50 / p99 / p99.9 µs", &["miss_p50", "miss_p99", "miss_p999"], 2, Better::Lower),
    CPU,
    DISK,
    DEVICE,
    BUSY,
];

const WORKLOAD: &[Column] = &[
    column("operations/s", &["ops"], 0, Better::Higher),
    column("hit ratio", &["hit_ratio"], 3, Better::Higher),
    column("hit p50 / p99 / p99.9 µs", &["hit_p50", "hit_p99", "hit_p999"], 1, Better::Lower),
    column("miss p50 / p99 / p99.9 µs", &["miss_p50", "miss_p99", "miss_p999"], 1, Better::Lower),
    PUT,
    column("found though removed, %", &["undead"], 1, Better::Lower),
    CPU,
    DISK,
    DEVICE,
    BUSY,
];

const RESTART: &[Column] = &[
    column("open after kill -9, ms", &["open_kill"], 0, Better::Lower),
    column("items then, %", &["kept"], 1, Better::Higher),
    column("open after close, ms", &["open_close"], 0, Better::Lower),
    column("RAM bytes/item", &["ram_item"], 1, Better::Lower),
    column("of which index", &["index_item"], 1, Better::Neither),
    BUSY,
];

const MICRO: &[Column] =
    &[column("hit in RAM, ns", &["hit_ns"], 0, Better::Lower), column("miss, ns", &["miss_ns"], 0, Better::Lower)];

impl Part {
    pub fn named(name: &str) -> Option<&'static Self> {
        PARTS.iter().find(|part| part.name == name)
    }

    pub fn columns(&self) -> &'static [Column] {
        match self.kind {
            Kind::Sizes(_) => SIZES,
            Kind::Workload => WORKLOAD,
            Kind::Restart(_) => RESTART,
            Kind::Micro => MICRO,
        }
    }

    /// The phases, each of which is a process of its own.
    pub fn phases(&self) -> &'static [&'static str] {
        match self.kind {
            Kind::Sizes(_) => &["write", "read"],
            Kind::Workload | Kind::Micro => &["run"],
            Kind::Restart(_) => &["fill", "open_kill", "open_close"],
        }
    }
}
