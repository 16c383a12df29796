//! A proxy that plants bugs on the wire, so that the harnesses can be seen to catch them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;

/// The bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// One integer reply in so many is off by one in its last digit.
    WrongInteger(u64),
    /// One `SET` with a value of five bytes in so many stores another value; its reply is as it should be.
    WrongValue(u64),
    /// One bulk string of a reply in so many has another first byte.
    WrongBulk(u64),
}

/// Listens on a port of its own and forwards every connection to `upstream`. Lives as long as the process.
pub fn start(upstream: u16, bug: Bug) -> Result<u16> {
    let port = crate::server::free_port()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let counter = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) else { continue };
            let (Ok(client2), Ok(server2)) = (client.try_clone(), server.try_clone()) else { continue };
            let (up, down) = (Arc::clone(&counter), Arc::clone(&counter));
            std::thread::spawn(move || forward(client, server, |bytes| requests(bytes, bug, &up)));
            std::thread::spawn(move || forward(server2, client2, |bytes| replies(bytes, bug, &down)));
        }
    });
    Ok(port)
}

/// Copies until either side closes; `change` may alter bytes but not their number.
fn forward(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&mut [u8])) {
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(n) = from.read(&mut chunk) {
        if n == 0 {
            break;
        }
        change(&mut chunk[..n]);
        if to.write_all(&chunk[..n]).is_err() {
            break;
        }
    }
    // The other direction ends when its own side closes; an error means that it has.
    let _ = to.shutdown(std::net::Shutdown::Write);
}

fn replies(bytes: &mut [u8], bug: Bug, counter: &AtomicU64) {
    match bug {
        Bug::WrongInteger(every) => integers(bytes, every, counter),
        Bug::WrongBulk(every) => bulks(bytes, every, counter),
        Bug::WrongValue(_) => {}
    }
}

fn bulks(bytes: &mut [u8], every: u64, counter: &AtomicU64) {
    let mut at = 0;
    while at + 5 < bytes.len() {
        let starts = bytes[at] == b'$' && (at == 0 || bytes[at - 1] == b'\n');
        let digits = bytes[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
        let content = at + 1 + digits + 2;
        if starts && (1..7).contains(&digits) && content < bytes.len() && bytes[content - 2..content] == *b"\r\n" {
            if counter.fetch_add(1, Ordering::Relaxed) % every == every - 1 && bytes[content] != b'\r' {
                bytes[content] ^= 1;
            }
            at = content;
        }
        at += 1;
    }
}

fn integers(bytes: &mut [u8], every: u64, counter: &AtomicU64) {
    for at in 0..bytes.len().saturating_sub(3) {
        let starts = at == 0 || bytes[at - 1] == b'\n';
        let is_integer = starts && bytes[at] == b':' && bytes[at + 1].is_ascii_digit() && bytes[at + 2] == b'\r';
        if is_integer && counter.fetch_add(1, Ordering::Relaxed) % every == every - 1 {
            bytes[at + 1] = if bytes[at + 1] == b'9' { b'8' } else { bytes[at + 1] + 1 };
        }
    }
}

fn requests(bytes: &mut [u8], bug: Bug, counter: &AtomicU64) {
    let Bug::WrongValue(every) = bug else { return };
    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$2\r\n";
    const VALUE: &[u8] = b"\r\n$5\r\n";
    // The key has two bytes, the value five.
    let value_at = SET.len() + 2 + VALUE.len();
    for at in 0..bytes.len().saturating_sub(value_at + 5) {
        let here = &bytes[at..];
        let fits = here.starts_with(SET) && here[SET.len() + 2..].starts_with(VALUE);
        if fits && counter.fetch_add(1, Ordering::Relaxed) % every == every - 1 {
            bytes[at + value_at] ^= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::{Bug, replies, requests};

    #[test]
    fn the_bugs_are_where_they_should_be() {
        let mut bytes = b"+OK\r\n:1\r\n:2\r\n:3\r\n+OK\r\n".to_vec();
        replies(&mut bytes, Bug::WrongInteger(2), &AtomicU64::new(0));
        assert_eq!(bytes, b"+OK\r\n:1\r\n:3\r\n:3\r\n+OK\r\n");
        let mut bytes = b"$2\r\nab\r\n$-1\r\n*2\r\n$3\r\n$1c\r\n$0\r\n\r\n$3\r\nabc\r\n".to_vec();
        replies(&mut bytes, Bug::WrongBulk(2), &AtomicU64::new(0));
        assert_eq!(bytes, b"$2\r\nab\r\n$-1\r\n*2\r\n$3\r\n%1c\r\n$0\r\n\r\n$3\r\n`bc\r\n");
        let mut bytes = b"*3\r\n$3\r\nSET\r\n$2\r\ns0\r\n$5\r\nhello\r\n".to_vec();
        requests(&mut bytes, Bug::WrongValue(1), &AtomicU64::new(0));
        assert_eq!(bytes, b"*3\r\n$3\r\nSET\r\n$2\r\ns0\r\n$5\r\niello\r\n");
    }
}
