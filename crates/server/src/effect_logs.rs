//! Searches of the log for EFFECT LOG: one at a time, on a thread of its own, for the log is read from disk.
//!
//! ```text
//!   EFFECT LOG ─▶ the client is blocked ─▶ thread reads ─▶ mail with the reply
//! ```
//! *Invariant:* a client whose search was begun gets one reply, unless it or the server is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use wal::{Fsync, Position};

use crate::admin::effects::Search;
use crate::message::Message;
use crate::net::ClientAddr;
use crate::node::Node;

/// See the module.
#[derive(Debug, Default)]
pub struct EffectLogs {
    thread: Mutex<Option<JoinHandle<()>>>,
    is_running: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl EffectLogs {
    /// Begins a search for a client; the error is the reply's text.
    pub fn begin(&self, node: &Node, search: Search, addr: &ClientAddr) -> Result<(), String> {
        let mut thread = self.thread.lock();
        if self.is_running.swap(true, Ordering::AcqRel) {
            return Err("ERR another EFFECT LOG reads the log at the moment: try again".into());
        }
        if let Some(ended) = thread.take() {
            // It has no more to do than to say its last word.
            let _ = ended.join();
        }
        let (engine, post) = (Arc::clone(&node.engine), node.control.post().clone());
        let (addr, stop, is_running) = (addr.clone(), Arc::clone(&self.stop), Arc::clone(&self.is_running));
        let run = move || {
            let mut reply = search.run(&engine, &stop);
            // Nobody is shown what a crash could take back, where that is promised.
            if engine.log().policy() == Fsync::Always
                && let Err(error) = engine.log().sync()
            {
                reply = format!("-MISCONF the log could not be made durable: {error}\r\n").into_bytes();
            }
            drop(engine);
            // Before the reply: whoever has it may ask again.
            is_running.store(false, Ordering::Release);
            let bytes = reply.len();
            // A client that is gone has lost interest.
            let _ = post.send(&addr, Message::Served { reply, position: Position::START }, bytes);
        };
        match std::thread::Builder::new().name("effect-log".into()).spawn(run) {
            Ok(started) => *thread = Some(started),
            Err(error) => {
                self.is_running.store(false, Ordering::Release);
                return Err(format!("ERR the thread that reads the log could not be started: {error}"));
            }
        }
        Ok(())
    }

    /// Ends the one that is going on, and waits for that.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().take() {
            // A panic of it has been printed; there is nothing left to do about it.
            let _ = thread.join();
        }
    }
}
