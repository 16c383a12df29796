//! What jemalloc, the allocator of this program, says of itself.

use server::memory::{Allocator, AllocatorFigures};
use tikv_jemalloc_ctl::{epoch, stats, stats_print, version};

/// jemalloc's number for "all arenas" in names of its controls.
const ALL_ARENAS: &std::ffi::CStr = c"arena.4096.purge";

/// See the module.
pub struct Jemalloc;

impl Allocator for Jemalloc {
    fn name(&self) -> String {
        let text = version::read().unwrap_or("unknown");
        format!("jemalloc-{}", text.split('-').next().unwrap_or(text))
    }

    fn figures(&self) -> AllocatorFigures {
        // Figures are those of the last epoch; without one they are merely older.
        let _ = epoch::advance();
        let bytes = |figure: Result<usize, _>| figure.map_or(0, |bytes| bytes as u64);
        AllocatorFigures {
            allocated: bytes(stats::allocated::read()),
            active: bytes(stats::active::read()),
            resident: bytes(stats::resident::read()),
        }
    }

    #[expect(unsafe_code, reason = "jemalloc's controls without a value have no safe interface")]
    fn purge(&self) {
        // SAFETY: the name ends in NUL, and this control takes and gives no value: null pointers and no length.
        let error = unsafe {
            tikv_jemalloc_sys::mallctl(
                ALL_ARENAS.as_ptr(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                0,
            )
        };
        if error != 0 {
            tracing::warn!(error, "jemalloc would not give memory back");
        }
    }

    fn report(&self) -> String {
        let mut report = Vec::new();
        match stats_print::stats_print(&mut report, stats_print::Options::default()) {
            Ok(()) => String::from_utf8_lossy(&report).into_owned(),
            Err(error) => format!("jemalloc gave no report: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_what_is_allocated() {
        const SIZE: usize = 64 << 20;
        /// Freed meanwhile by the test runner's own threads, at most.
        const NOISE: u64 = 1 << 20;
        let before = Jemalloc.figures();
        let block = std::hint::black_box(vec![1u8; SIZE]);
        let with = Jemalloc.figures();
        assert!(with.allocated + NOISE >= before.allocated + SIZE as u64, "{before:?} {with:?}");
        assert!(with.resident >= with.allocated, "{with:?}");
        drop(block);
        Jemalloc.purge();
        let after = Jemalloc.figures();
        assert!(after.allocated + SIZE as u64 <= with.allocated + NOISE);
        assert!(after.resident + SIZE as u64 / 2 < with.resident);
        assert!(Jemalloc.name().starts_with("jemalloc-5") && Jemalloc.report().contains("jemalloc"));
    }
}
