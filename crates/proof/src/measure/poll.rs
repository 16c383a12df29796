//! Waiting for several sockets or for a moment, whichever is first.

use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Waits until one of the sockets has bytes to read, but not longer than `most`.
pub fn readable<'a>(sockets: impl Iterator<Item = &'a TcpStream>, most: Duration) -> Result<Vec<bool>> {
    let mut fds: Vec<libc::pollfd> =
        sockets.map(|socket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
    let timeout = libc::timespec { tv_sec: most.as_secs() as libc::time_t, tv_nsec: most.subsec_nanos().into() };
    #[expect(unsafe_code, reason = "the standard library cannot wait for several sockets")]
    // SAFETY: the sockets are open, since they are borrowed; the array, its length and the timeout live across the call.
    let found = unsafe { libc::ppoll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, &timeout, std::ptr::null()) };
    let error = std::io::Error::last_os_error();
    ensure!(found >= 0 || error.kind() == std::io::ErrorKind::Interrupted, "ppoll: {error}");
    Ok(fds.iter().map(|fd| found > 0 && fd.revents != 0).collect())
}

/// Lets this thread be woken when it asks for it, instead of up to 50 µs later. Where that is not allowed, latencies are so
/// much longer for both.
pub fn exact_timers() {
    let id = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    if let Some(id) = id.file_name() {
        let _ = std::fs::write(std::path::Path::new("/proc").join(id).join("timerslack_ns"), "1");
    }
}
