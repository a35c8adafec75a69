//! The runtime of the connections.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime with one thread that drives all connections to a database. A caller that blocks its thread waits on
/// its handle; so neither the server's runtime nor a tool without one is needed to read an answer.
#[derive(Debug)]
pub(in crate::store) struct Reactor {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Reactor {
    /// # Errors
    /// If its thread can't be started.
    pub(in crate::store) fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        let runtime =
            builder.worker_threads(1).thread_name("store-postgres").enable_all().build()?;
        let handle = runtime.handle().clone();
        Ok(Self { runtime: Some(runtime), handle })
    }

    pub(in crate::store) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Reactor {
    /// It may be dropped within another runtime, where an ordinary drop panics.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
