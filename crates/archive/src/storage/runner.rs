//! The hidden thread on which the asynchronous libraries run.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::{Error, Result};

/// A runtime of one thread. Clones share it; the last one ends it without waiting for what it does.
#[derive(Clone, Debug)]
pub(super) struct Runner(Arc<Owned>);

#[derive(Debug)]
struct Owned(Option<Runtime>);

impl Runner {
    pub(super) fn new() -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("archive").enable_all().build();
        let runtime = runtime.map_err(|e| Error::Settings(format!("no thread for the network: {e}")))?;
        Ok(Self(Arc::new(Owned(Some(runtime)))))
    }

    /// Runs `work` and blocks the calling thread until it is done.
    pub(super) fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let runtime = self.0.0.as_ref().expect("it is taken only when the last clone is dropped");
        runtime.block_on(work)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
