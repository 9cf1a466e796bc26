//! The thread beside those that serve requests.
//!
//! Deliveries, checks of identifiers, upkeep and the timers of connections run there. A thread that serves requests then has no
//! timer of its own, and looks at no clock and sets none in the kernel each time it goes to sleep, which is after nearly every
//! request: a quarter of a microsecond of eleven.

use tokio::runtime::{Builder, Handle, Runtime};

use crate::error::{Error, Result};

/// The thread; it stops when this is dropped.
pub(super) struct Aside {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Aside {
    /// Starts it.
    ///
    /// # Errors
    /// `Io` when the system has no thread left.
    pub(super) fn new() -> Result<Self> {
        let built = Builder::new_multi_thread().worker_threads(1).thread_name("aside").enable_all().build();
        let runtime = built.map_err(|error| Error::io("start the thread beside the requests", error))?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// What runs there.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Nothing is waited for: this is dropped where other tasks run.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
