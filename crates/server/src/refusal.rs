//! What becomes of a round's replies when the log could not be written: each turns into an error. What nobody has asked for
//! is not among them: messages of channels and lines of MONITOR are dropped, for a client would take an error in their place
//! for the answer to its next command.

use std::ops::Range;

use resp::{Protocol, Reply, ReplyDecoder, Value};

const BROKEN: &str = "MISCONF Errors writing to the log: whether this command will survive a restart is unknown. \
     Repair the disk and restart the server. Reads go on.";
const FULL: &str = "MISCONF The disk of the log is full: whether this command will survive a restart is unknown. \
     Free some space: writes go on then without a restart. Reads go on.";

/// Where in a client's output of one round stands what it has not asked for.
#[derive(Debug, Default)]
pub struct Unasked {
    round: u64,
    /// Ascending and apart from each other.
    ranges: Vec<Range<usize>>,
}

impl Unasked {
    /// Notes that these bytes of the output were not asked for.
    pub fn note(&mut self, round: u64, bytes: Range<usize>) {
        if self.round != round {
            self.round = round;
            self.ranges.clear();
        }
        match self.ranges.last_mut() {
            Some(last) if last.end == bytes.start => last.end = bytes.end,
            _ => self.ranges.push(bytes),
        }
    }

    /// Turns each reply of a round into the same error. `replies` began at `start` of the output; `health` is that of the
    /// log.
    pub fn refuse(&self, round: u64, start: usize, replies: &mut Vec<u8>, health: wal::Health) {
        let ranges = if self.round == round { &self.ranges[..] } else { &[] };
        let mut decoder = ReplyDecoder::new();
        let mut asked = start;
        for range in ranges {
            decoder.feed(&replies[asked - start..range.start - start]);
            asked = range.end;
        }
        decoder.feed(&replies[asked - start..]);
        let mut count = 0;
        while let Ok(Some(value)) = decoder.next_value() {
            // Nobody waits for a push, such as the confirmation of SUBSCRIBE in RESP3.
            count += usize::from(!matches!(value, Value::Push(_)));
        }
        replies.clear();
        let text = if health == wal::Health::Poisoned { BROKEN } else { FULL };
        (0..count).for_each(|_| Reply::new(replies, Protocol::Resp2).error(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";

    /// Output of a round with these pieces, of which some were not asked for; how many errors it turns into.
    fn errors(pieces: &[(&[u8], bool)]) -> usize {
        let (before, mut unasked, mut replies) = (1000, Unasked::default(), Vec::new());
        // What was noted in the round before counts no more.
        unasked.note(6, 0..before);
        for (bytes, is_unasked) in pieces {
            let from = before + replies.len();
            replies.extend_from_slice(bytes);
            if *is_unasked {
                unasked.note(7, from..before + replies.len());
            }
        }
        unasked.refuse(7, before, &mut replies, wal::Health::Poisoned);
        let text = String::from_utf8(replies).unwrap();
        assert!(text.lines().all(|line| line.starts_with("-MISCONF ")), "{text}");
        text.lines().count()
    }

    #[test]
    fn each_reply_becomes_an_error_and_what_was_not_asked_for_goes() {
        assert_eq!(errors(&[(b"+OK\r\n", false), (b":1\r\n", false)]), 2);
        assert_eq!(errors(&[(MESSAGE, true), (MESSAGE, true)]), 0);
        assert_eq!(errors(&[(MESSAGE, true), (b"+PONG\r\n", false), (MESSAGE, true), (b"$-1\r\n", false)]), 2);
        assert_eq!(errors(&[(b"+123.4 [0 x] \"get\"\r\n", true), (b"*0\r\n", false), (b"+line\r\n", true)]), 1);
        assert_eq!(errors(&[(b">2\r\n+a\r\n+b\r\n", false), (b"_\r\n", false)]), 1, "a push of RESP3");
    }

    #[test]
    fn a_reply_that_looks_like_a_message_is_a_reply() {
        assert_eq!(errors(&[(MESSAGE, false), (MESSAGE, true)]), 1);
    }

    #[test]
    fn only_a_log_that_cannot_recover_asks_for_a_restart() {
        for (health, restart) in
            [(wal::Health::Poisoned, true), (wal::Health::NoSpace, false), (wal::Health::Good, false)]
        {
            let mut replies = b"+OK\r\n".to_vec();
            Unasked::default().refuse(1, 0, &mut replies, health);
            let text = String::from_utf8(replies).unwrap();
            assert_eq!(text.contains("restart the server"), restart, "{health:?}: {text}");
        }
    }
}
