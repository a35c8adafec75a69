//! The options of a server that runs. They can be replaced.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tower_http::cors::CorsLayer;

use super::{Options, cors};

/// The options of a server that runs. Clones share them.
///
/// | option | applies from now on to |
/// |---|---|
/// | [`Watch::access_log`](super::Watch::access_log), [`Options::allow_origins`] | the next request |
/// | [`Limits::max_connections`](super::Limits::max_connections) | the next connection; none is closed |
/// | [`Limits::drain_timeout`](super::Limits::drain_timeout) | the stop |
///
/// The others stay as they were when [`serve`](super::serve) began.
#[derive(Clone, Debug)]
pub struct LiveOptions(Arc<ArcSwap<InUse>>);

/// Options, and what is made of them once.
#[derive(Debug)]
pub(super) struct InUse {
    pub(super) options: Options,
    pub(super) cors: Option<CorsLayer>,
}

impl LiveOptions {
    /// The options now.
    #[must_use]
    pub fn get(&self) -> Options {
        self.load().options.clone()
    }

    /// Replaces the options. A running request is answered by those that it began with.
    pub fn replace(&self, options: Options) {
        self.0.store(Arc::new(options.into()));
    }

    /// Costs a few nanoseconds, and never waits. Not to be held over an `await`: a thread has few guards
    /// that are as cheap.
    pub(super) fn load(&self) -> Guard<Arc<InUse>> {
        self.0.load()
    }
}

impl From<Options> for LiveOptions {
    fn from(options: Options) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(options.into())))
    }
}

impl From<Options> for InUse {
    fn from(options: Options) -> Self {
        Self { cors: cors::layer(&options.allow_origins), options }
    }
}
