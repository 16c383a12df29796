//! A client in one line: CLIENT LIST, CLIENT INFO.

use std::sync::atomic::Ordering;

use super::client_filter::{Known, Scene};
use crate::client::ClientInfo;
use crate::net::PeerAddr;

/// The letters that say what a client is and does.
pub fn flags_of(info: &ClientInfo) -> String {
    let listens = info.channels.load(Ordering::Relaxed) + info.patterns.load(Ordering::Relaxed) > 0;
    let is = |flag: &std::sync::atomic::AtomicBool| flag.load(Ordering::Relaxed);
    let letters = [
        (is(&info.monitor), 'O'),
        (listens, 'P'),
        (info.multi.load(Ordering::Relaxed) >= 0, 'x'),
        (is(&info.blocked), 'b'),
        (matches!(info.peer.addr, PeerAddr::Unix), 'U'),
        (is(&info.no_evict), 'e'),
        (is(&info.no_touch), 'T'),
    ];
    let flags: String = letters.iter().filter(|(on, _)| *on).map(|(_, letter)| *letter).collect();
    if flags.is_empty() { "N".into() } else { flags }
}

/// The line, without its end.
///
/// DIFFERENCE: buffers are not kept apart by use: what has been received is `qbuf`, what waits to be sent `omem`, and
/// the figures of Redis' own buffers (`qbuf-free`, `argv-mem`, `multi-mem`, `rbs`, `rbp`, `oll`) are 0.
pub fn line((addr, info): &Known, scene: &Scene<'_>) -> Vec<u8> {
    let number = |figure: &std::sync::atomic::AtomicUsize| figure.load(Ordering::Relaxed);
    let gauge = addr.gauge();
    let (input, output) = (gauge.input_bytes(), gauge.output_bytes() + gauge.mail_bytes());
    let names = info.names.lock().clone();
    let seconds = |since_ms: i64| (scene.now_ms - since_ms).max(0) / 1000;
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name=",
        addr.id().0,
        info.remote(scene.unix_path),
        info.local(scene.unix_path),
        info.peer.fd,
    )
    .into_bytes();
    line.extend(&names.name);
    line.extend(
        format!(
            " age={} idle={} flags={} db={} sub={} psub={} ssub=0 multi={} watch={} qbuf={input} qbuf-free=0 \
             argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={output} oll=0 omem={output} tot-mem={} events=r cmd={} \
             user=default redir=-1 resp={} lib-name=",
            seconds(info.since_ms),
            seconds(info.active_ms.load(Ordering::Relaxed)),
            flags_of(info),
            info.db.load(Ordering::Relaxed),
            number(&info.channels),
            number(&info.patterns),
            info.multi.load(Ordering::Relaxed),
            number(&info.watched),
            input + output + size_of::<ClientInfo>(),
            info.last_command(),
            info.protocol.load(Ordering::Relaxed),
        )
        .bytes(),
    );
    line.extend(&names.lib_name);
    line.extend(b" lib-ver=");
    line.extend(&names.lib_ver);
    let thread = u32::from(addr.thread().0);
    line.extend(format!(" io-thread={thread} tot-cmds={}", info.commands.load(Ordering::Relaxed)).bytes());
    line
}
