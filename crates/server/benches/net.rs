//! What a request costs in the I/O loop, beside a real Redis: requests per second and CPU per request.
//!
//! `cargo bench -p server --bench net -- [SECONDS]`. Needs `redis-server`, `redis-benchmark` and `taskset`. Server and
//! load generator have one core each. Each peer is measured in turn, several times; the median counts.
//!
//! `cargo bench -p server --bench net -- idle 10000` holds that many idle connections and prints the memory of each.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use resp::Args;
use server::net::{
    App, ClientAddr, ClientSettings, Flow, NetConfig, Now, Outbox, Peer, Server, TcpEndpoint, Turn, Verdict,
};

/// Says OK to everything.
struct Yes;

impl App for Yes {
    type Session = ();
    type Message = ();

    fn connected(&mut self, _: &ClientAddr, _: &Peer, settings: &mut ClientSettings) -> Result<(), Vec<u8>> {
        settings.authenticated = true;
        Ok(())
    }
    fn execute(&mut self, _: &mut (), _: Args<'_>, turn: &mut Turn<'_>) -> Flow {
        turn.out.extend_from_slice(b"+OK\r\n");
        Flow::Continue
    }
    fn message(&mut self, _: &mut (), _: (), _: &mut Turn<'_>) -> Flow {
        Flow::Continue
    }
    fn thread_message(&mut self, _: (), _: &mut Outbox<'_, ()>) {}
    fn expired(&mut self, _: &mut (), _: &mut Turn<'_>) -> Flow {
        Flow::Resume
    }
    fn end_of_round(&mut self, _: Now) -> Verdict {
        Verdict::Deliver
    }
    fn revise(&mut self, _: &mut (), _: usize, _: &mut Vec<u8>) {}
    fn disconnected(&mut self, _: (), _: &ClientAddr) {}
    fn tick(&mut self, _: Now) {}
}

const OURS: u16 = 21000;
const THEIRS: u16 = 21001;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.first().map(String::as_str) {
        Some("serve") => serve(),
        Some("idle") => idle(args.get(1).map_or(10_000, |count| count.parse().unwrap())),
        seconds => compare(seconds.map_or(3, |seconds| seconds.parse().unwrap())),
    }
}

fn serve() {
    let mut config = NetConfig { tcp: vec![TcpEndpoint::plain(addr(OURS))], ..NetConfig::default() };
    config.settings.max_clients = 15_000;
    let server = Server::start(config, |_, _| Yes).unwrap();
    println!("ready");
    server.join();
}

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// A server process; killed when dropped.
struct Peers(Vec<Child>);

impl Drop for Peers {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn on_core(core: u32, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]).args(args);
    command
}

fn start_ours() -> Child {
    let me = std::env::current_exe().unwrap();
    let mut child = on_core(0, me.to_str().unwrap(), &["serve"]).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
    child
}

fn start_redis() -> Child {
    let port = THEIRS.to_string();
    let args = ["--port", &port, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
    let child = on_core(0, "redis-server", &args).stdout(Stdio::null()).spawn().unwrap();
    while TcpStream::connect(addr(THEIRS)).is_err() {
        std::thread::yield_now();
    }
    child
}

/// User and system time of a process, in seconds.
fn cpu(pid: u32) -> (f64, f64) {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let seconds = |index: usize| fields[index].parse::<f64>().unwrap() / 100.0;
    (seconds(11), seconds(12))
}

struct Outcome {
    per_second: f64,
    user_us: f64,
    system_us: f64,
}

fn measure(pid: u32, port: u16, pipeline: u32, requests: u64) -> Outcome {
    let (user, system) = cpu(pid);
    let (port, pipeline, count) = (port.to_string(), pipeline.to_string(), requests.to_string());
    let args = ["-p", &port, "-c", "50", "-P", &pipeline, "-n", &count, "-t", "ping_mbulk", "--csv"];
    let output = on_core(1, "redis-benchmark", &args).stderr(Stdio::null()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.starts_with("\"PING_MBULK")).unwrap();
    let per_second = line.split(',').nth(1).unwrap().trim_matches('"').parse().unwrap();
    let (user_after, system_after) = cpu(pid);
    let per_request = 1e6 / requests as f64;
    Outcome { per_second, user_us: (user_after - user) * per_request, system_us: (system_after - system) * per_request }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(seconds: u64) {
    let peers = Peers(vec![start_ours(), start_redis()]);
    let (ours, theirs) = (peers.0[0].id(), peers.0[1].id());
    for pipeline in [1, 16] {
        let requests = seconds * if pipeline == 1 { 100_000 } else { 1_000_000 };
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..5 {
            runs[0].push(measure(ours, OURS, pipeline, requests));
            runs[1].push(measure(theirs, THEIRS, pipeline, requests));
        }
        let cost = runs.each_ref().map(|runs| median(runs.iter().map(|run| run.user_us + run.system_us)));
        let rate = runs.each_ref().map(|runs| median(runs.iter().map(|run| run.per_second)));
        for (name, index) in [("this", 0), ("redis", 1)] {
            let user = median(runs[index].iter().map(|run| run.user_us));
            let system = median(runs[index].iter().map(|run| run.system_us));
            println!(
                "-P {pipeline:<2} {name:<5} {:>9.0} requests/s  CPU {:.3} us/request (user {user:.3}, system {system:.3})",
                rate[index], cost[index]
            );
        }
        println!("-P {pipeline:<2} ratio {:>9.2} requests/s  CPU {:.2}", rate[0] / rate[1], cost[0] / cost[1]);
    }
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn idle(count: usize) {
    let peers = Peers(vec![start_ours()]);
    let pid = peers.0[0].id();
    let request = |stream: &mut TcpStream| {
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
    };
    request(&mut TcpStream::connect(addr(OURS)).unwrap());
    let before = resident_kib(pid);
    let mut streams: Vec<TcpStream> = (0..count).map(|_| TcpStream::connect(addr(OURS)).unwrap()).collect();
    streams.iter_mut().for_each(request);
    let after = resident_kib(pid);
    println!(
        "{count} idle clients: {} KiB before, {} KiB after, {} bytes each",
        before,
        after,
        (after - before) * 1024 / count as u64
    );
}
