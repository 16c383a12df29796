//! A worker's load: operations in pipelined windows until the server dies.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::conn::{Conn, encode};
use crate::rng::Rng;

use super::model::{Op, Worker};

/// At most so many operations are under way at once.
const WINDOW: usize = 16;

/// Sends and notes replies until the connection breaks or `stop` is set.
pub fn drive(worker: &mut Worker, port: u16, seed: u64, stop: &AtomicBool) {
    let mut rng = Rng::new(seed);
    let Ok(mut conn) = Conn::open(port) else { return };
    while !stop.load(Ordering::Relaxed) {
        let first = worker.sent.len();
        let mut bytes = Vec::new();
        let mut replies = Vec::new();
        for _ in 0..rng.between(1, WINDOW) {
            let commands = worker.send(*rng.pick(&Op::ALL));
            commands.iter().for_each(|c| encode(c, &mut bytes));
            replies.push(commands.len());
        }
        if conn.send_raw(&bytes).is_err() {
            return;
        }
        for (i, count) in replies.into_iter().enumerate() {
            for _ in 0..count {
                match conn.reply() {
                    Ok(reply) if reply.is_error() => {
                        worker.refused = Some(reply.to_string());
                        return;
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
            worker.sent[first + i].acked = true;
        }
    }
}
