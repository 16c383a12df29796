//! The locks, atomics and threads of the crate in one place, so that a schedule explorer can stand in for them.

#[cfg(not(feature = "shuttle"))]
pub(crate) use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, atomic},
    thread,
};

#[cfg(feature = "shuttle")]
pub(crate) use shuttle::{
    sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, atomic},
    thread,
};

use std::sync::PoisonError;

/// Locks, also after another thread panicked while it held the lock.
///
/// Sound here because no state is left half changed across a call that can panic: every section that this crate
/// protects either completes or has not begun to change anything.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
