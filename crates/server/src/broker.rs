//! Publish/subscribe: who listens to which channels and patterns; what keyspace events become there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use effect::glob;
use engine::Event;
use parking_lot::RwLock;
use resp::{Protocol, Reply};
use wal::Position;

use crate::message::Message;
use crate::net::{ClientAddr, ClientId, Post};

type Name = Box<[u8]>;
type Listeners = HashMap<Name, Vec<ClientAddr>>;

/// Channels, patterns and their listeners.
pub struct Broker {
    channels: RwLock<Listeners>,
    patterns: RwLock<Listeners>,
    /// Events are published by key.
    by_key: AtomicBool,
    /// Events are published by name.
    by_event: AtomicBool,
    post: Post<Message>,
}

/// What is listened to: the messages of one channel, or of all channels that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A channel.
    Channel,
    /// A pattern.
    Pattern,
}

impl Broker {
    /// No subscriptions; messages leave through `post`.
    pub fn new(post: Post<Message>) -> Self {
        let (by_key, by_event) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { channels: RwLock::default(), patterns: RwLock::default(), by_key, by_event, post }
    }

    fn listeners(&self, topic: Topic) -> &RwLock<Listeners> {
        match topic {
            Topic::Channel => &self.channels,
            Topic::Pattern => &self.patterns,
        }
    }

    /// `addr` listens to `name`; the caller has seen to it that it does not yet.
    pub fn subscribe(&self, topic: Topic, name: &[u8], addr: &ClientAddr) {
        self.listeners(topic).write().entry(name.into()).or_default().push(addr.clone());
    }

    /// `id` no longer listens to `name`.
    pub fn unsubscribe(&self, topic: Topic, name: &[u8], id: ClientId) {
        let mut all = self.listeners(topic).write();
        if let Some(listeners) = all.get_mut(name) {
            listeners.retain(|addr| addr.id() != id);
            if listeners.is_empty() {
                all.remove(name);
            }
        }
    }

    /// Sends a message to everybody who listens to `channel`; answers how many times it was sent.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> usize {
        self.publish_at(channel, message, Position::START)
    }

    /// The same for something that the log holds at `position`.
    fn publish_at(&self, channel: &[u8], message: &[u8], position: Position) -> usize {
        let mut sent = 0;
        if let Some(listeners) = self.channels.read().get(channel) {
            sent += self.send(listeners, &[b"message", channel, message], position);
        }
        for (pattern, listeners) in self.patterns.read().iter() {
            if glob::matches(pattern, channel) {
                sent += self.send(listeners, &[b"pmessage", pattern, channel, message], position);
            }
        }
        sent
    }

    fn send(&self, listeners: &[ClientAddr], parts: &[&[u8]], position: Position) -> usize {
        let (resp2, resp3) = (push(Protocol::Resp2, parts), push(Protocol::Resp3, parts));
        let bytes = resp2.len();
        for addr in listeners {
            let message = Message::Push { resp2: Arc::clone(&resp2), resp3: Arc::clone(&resp3), position };
            // A listener that is gone does not count as an error; one that is too slow is closed by the I/O loop.
            let _ = self.post.send(addr, message, bytes);
        }
        listeners.len()
    }

    /// Says on which channels events are published: by key, by name of the event.
    pub fn set_event_channels(&self, by_key: bool, by_event: bool) {
        self.by_key.store(by_key, Ordering::Relaxed);
        self.by_event.store(by_event, Ordering::Relaxed);
    }

    /// Publishes a keyspace event.
    pub fn notify(&self, event: &Event, position: Position) {
        let Event { name, db, key, .. } = event;
        if self.by_key.load(Ordering::Relaxed) {
            let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
            self.publish_at(&channel, name.as_bytes(), position);
        }
        if self.by_event.load(Ordering::Relaxed) {
            self.publish_at(format!("__keyevent@{db}__:{name}").as_bytes(), key, position);
        }
    }

    /// Channels with listeners, those that match `pattern` if there is one.
    pub fn channels(&self, pattern: Option<&[u8]>) -> Vec<Name> {
        let matching = |name: &&Name| pattern.is_none_or(|p| glob::matches(p, name));
        self.channels.read().keys().filter(matching).cloned().collect()
    }

    /// How many clients listen to a channel.
    pub fn channel_listeners(&self, channel: &[u8]) -> usize {
        self.channels.read().get(channel).map_or(0, Vec::len)
    }

    /// How many patterns are listened to.
    pub fn pattern_count(&self) -> usize {
        self.patterns.read().len()
    }

    /// How many channels are listened to.
    pub fn channel_count(&self) -> usize {
        self.channels.read().len()
    }
}

fn push(protocol: Protocol, parts: &[&[u8]]) -> Arc<[u8]> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, protocol);
    reply.push(parts.len());
    parts.iter().for_each(|part| reply.bulk(part));
    out.into()
}
