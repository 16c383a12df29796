//! Mail between threads: to a client, or to the thread that serves it.
//!
//! *Invariant:* mail waiting for a client is bounded by its output limit. A sender that would pass the bound is refused,
//! and the client is closed.
//!
//! *Invariant:* a thread is woken at most once per round: only the first sender after it went to sleep makes the call.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mio::Waker;
use parking_lot::Mutex;

use super::app::{ClientAddr, ClientId, ThreadId};
use super::limits::THREAD_MAIL_BYTES;
use super::listener::NewSocket;

/// Why mail was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The client has disconnected.
    #[error("the client has disconnected")]
    Gone,
    /// The client reads too slowly and is being closed, or the thread has fallen too far behind.
    #[error("too much mail is waiting for the receiver")]
    Full,
}

pub(crate) enum Mail<M> {
    Client {
        slot: u32,
        id: ClientId,
        bytes: usize,
        message: M,
    },
    Thread {
        bytes: usize,
        message: M,
    },
    /// Too much mail for this client.
    Overflow {
        slot: u32,
        id: ClientId,
    },
    /// A connection that was accepted elsewhere.
    Adopt(Box<NewSocket>),
    /// Something about the server changed; look at it.
    Look,
}

pub(crate) struct Mailbox<M> {
    queue: Mutex<Vec<Mail<M>>>,
    /// Something is queued: saves the lock where nothing is.
    waiting: AtomicBool,
    asleep: AtomicBool,
    /// Bytes of mail for the thread as such.
    thread_bytes: AtomicUsize,
    waker: Waker,
}

impl<M> Mailbox<M> {
    pub fn new(waker: Waker) -> Self {
        Self {
            queue: Mutex::new(Vec::new()),
            waiting: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            thread_bytes: AtomicUsize::new(0),
            waker,
        }
    }

    pub fn put(&self, mail: Mail<M>) {
        let mut queue = self.queue.lock();
        queue.push(mail);
        self.waiting.store(true, Ordering::SeqCst);
        drop(queue);
        // Either this sees the receiver asleep, or the receiver sees `waiting` before it sleeps.
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// The receiver is about to sleep. Returns whether it may: not if there is mail.
    pub fn lie_down(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) {
            self.get_up();
            return false;
        }
        true
    }

    pub fn get_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Moves all mail to `into`, which is empty.
    #[inline]
    pub fn take(&self, into: &mut Vec<Mail<M>>) {
        if self.waiting.load(Ordering::SeqCst) {
            let mut queue = self.queue.lock();
            self.waiting.store(false, Ordering::SeqCst);
            std::mem::swap(&mut *queue, into);
        }
    }

    pub fn thread_mail_delivered(&self, bytes: usize) {
        self.thread_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            // The thread looks at its mail at its next tick in any case.
            tracing::warn!(%error, "an I/O thread could not be woken");
        }
    }
}

/// Sends mail. Cheap to clone; works from any thread, the receiving one included.
pub struct Post<M> {
    boxes: Arc<[Arc<Mailbox<M>>]>,
}

impl<M> Clone for Post<M> {
    fn clone(&self) -> Self {
        Self { boxes: Arc::clone(&self.boxes) }
    }
}

impl<M> std::fmt::Debug for Post<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Post").field("threads", &self.boxes.len()).finish()
    }
}

impl<M> Post<M> {
    pub(crate) fn new(boxes: Arc<[Arc<Mailbox<M>>]>) -> Self {
        Self { boxes }
    }

    /// How many I/O threads there are; their ids count from 0.
    pub fn threads(&self) -> usize {
        self.boxes.len()
    }

    /// Sends a message that stands for about `bytes` bytes of output. Messages of one sender arrive in order.
    pub fn send(&self, to: &ClientAddr, message: M, bytes: usize) -> Result<(), SendError> {
        let gauge = &to.gauge;
        if gauge.closed.load(Ordering::Relaxed) {
            return Err(SendError::Gone);
        }
        let mailbox = &self.boxes[usize::from(to.thread.0)];
        // Even an empty message takes a place in the queue.
        let bytes = bytes.max(64);
        let waiting = gauge.mail.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting > gauge.mail_limit.load(Ordering::Relaxed) {
            gauge.mail.fetch_sub(bytes, Ordering::Relaxed);
            if !gauge.overflowed.swap(true, Ordering::Relaxed) {
                mailbox.put(Mail::Overflow { slot: to.slot, id: to.id });
            }
            return Err(SendError::Full);
        }
        mailbox.put(Mail::Client { slot: to.slot, id: to.id, bytes, message });
        Ok(())
    }

    /// Sends a message of about `bytes` bytes to a thread, which may hand it to many clients.
    pub fn send_to_thread(&self, to: ThreadId, message: M, bytes: usize) -> Result<(), SendError> {
        let mailbox = self.boxes.get(usize::from(to.0)).ok_or(SendError::Gone)?;
        let bytes = bytes.max(64);
        let waiting = mailbox.thread_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waiting > THREAD_MAIL_BYTES {
            mailbox.thread_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(SendError::Full);
        }
        mailbox.put(Mail::Thread { bytes, message });
        Ok(())
    }

    pub(crate) fn adopt(&self, thread: ThreadId, socket: NewSocket) {
        self.boxes[usize::from(thread.0)].put(Mail::Adopt(Box::new(socket)));
    }

    /// Has every thread look at the server's state.
    pub(crate) fn look(&self) {
        self.boxes.iter().for_each(|mailbox| mailbox.put(Mail::Look));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    fn mailbox() -> (Poll, Mailbox<u32>) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        (poll, Mailbox::new(waker))
    }

    fn was_woken(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(4);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        !events.is_empty()
    }

    fn taken(mailbox: &Mailbox<u32>) -> Vec<u32> {
        let mut mail = Vec::new();
        mailbox.take(&mut mail);
        mail.into_iter()
            .map(|mail| match mail {
                Mail::Thread { message, .. } => message,
                _ => panic!("only messages were sent"),
            })
            .collect()
    }

    #[test]
    fn only_the_first_mail_to_a_sleeper_wakes_it() {
        let (mut poll, mailbox) = mailbox();
        mailbox.put(Mail::Thread { bytes: 0, message: 1 });
        assert!(!was_woken(&mut poll), "it was awake");
        assert!(!mailbox.lie_down(), "it must not sleep on mail");
        assert_eq!(taken(&mailbox), [1]);
        assert!(mailbox.lie_down());
        mailbox.put(Mail::Thread { bytes: 0, message: 2 });
        assert!(was_woken(&mut poll));
        mailbox.put(Mail::Thread { bytes: 0, message: 3 });
        assert!(!was_woken(&mut poll), "it was woken twice");
        assert_eq!(taken(&mailbox), [2, 3]);
        assert!(taken(&mailbox).is_empty());
    }

    #[test]
    fn no_mail_is_slept_over() {
        let (mut poll, mailbox) = mailbox();
        let mailbox = Arc::new(mailbox);
        let sender = {
            let mailbox = Arc::clone(&mailbox);
            std::thread::spawn(move || (0..20_000).for_each(|message| mailbox.put(Mail::Thread { bytes: 0, message })))
        };
        let (mut events, mut got) = (Events::with_capacity(4), 0);
        while got < 20_000 {
            if mailbox.lie_down() {
                // Without a wake-up for mail that is there, this ends with no event.
                poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
                assert!(!events.is_empty(), "slept over mail");
            }
            mailbox.get_up();
            got += taken(&mailbox).len();
        }
        sender.join().unwrap();
    }
}
