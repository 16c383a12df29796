//! TLS sessions that clients may resume: so many of them, each for so long.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// A moment as time since the cache was made, in front of each session that is kept.
const MOMENT_BYTES: usize = 16;

/// A cache of sessions with a bound and a lifetime. rustls evicts what was kept first, and knows no lifetime: that is here.
pub(super) struct Sessions {
    kept: Arc<ServerSessionMemoryCache>,
    lifetime: Duration,
    /// Time since some moment.
    clock: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl Sessions {
    pub(super) fn new(count: usize, lifetime: Duration) -> Self {
        let begun = Instant::now();
        Self::with_clock(count, lifetime, Box::new(move || begun.elapsed()))
    }

    fn with_clock(count: usize, lifetime: Duration, clock: Box<dyn Fn() -> Duration + Send + Sync>) -> Self {
        Self { kept: ServerSessionMemoryCache::new(count), lifetime, clock }
    }

    /// The session without its moment, if that is not too long ago.
    fn fresh(&self, mut kept: Vec<u8>) -> Option<Vec<u8>> {
        let session = kept.split_off(MOMENT_BYTES.min(kept.len()));
        let put_at = Duration::from_nanos_u128(u128::from_le_bytes(kept.try_into().ok()?));
        ((self.clock)().saturating_sub(put_at) < self.lifetime).then_some(session)
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, session: Vec<u8>) -> bool {
        let mut kept = (self.clock)().as_nanos().to_le_bytes().to_vec();
        kept.extend_from_slice(&session);
        self.kept.put(key, kept)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept.get(key).and_then(|kept| self.fresh(kept))
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept.take(key).and_then(|kept| self.fresh(kept))
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_session_is_found_until_its_lifetime_is_over_or_newer_ones_need_its_place() {
        let now_s = Arc::new(AtomicU64::new(1000));
        let clock = Arc::clone(&now_s);
        let clock = Box::new(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
        let sessions = Sessions::with_clock(2, Duration::from_secs(300), clock);
        assert!(sessions.put(b"a".to_vec(), b"first".to_vec()));
        now_s.store(1200, Ordering::Relaxed);
        assert!(sessions.put(b"b".to_vec(), Vec::new()));
        assert_eq!(sessions.get(b"a"), Some(b"first".to_vec()));
        assert_eq!(sessions.get(b"b"), Some(Vec::new()), "an empty session is one, too");
        now_s.store(1299, Ordering::Relaxed);
        assert_eq!(sessions.get(b"a"), Some(b"first".to_vec()));
        now_s.store(1300, Ordering::Relaxed);
        assert_eq!(sessions.get(b"a"), None, "too old");
        assert_eq!(sessions.take(b"b"), Some(Vec::new()));
        assert_eq!(sessions.take(b"b"), None, "taken once");
        for key in [b"c", b"d", b"e"] {
            sessions.put(key.to_vec(), key.to_vec());
        }
        assert_eq!((sessions.get(b"c"), sessions.get(b"e")), (None, Some(b"e".to_vec())));
    }

    #[test]
    fn with_no_lifetime_nothing_is_found() {
        let sessions = Sessions::new(10, Duration::ZERO);
        sessions.put(b"a".to_vec(), b"x".to_vec());
        assert_eq!(sessions.get(b"a"), None);
    }
}
