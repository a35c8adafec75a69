//! A document that is read again when it may have changed.

use std::fs;
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::file::Watched;
use super::poller::Poller;
use super::{Access, Document, Place, Unread};

/// How often a document is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// The time between two looks at a file. Default: 250 ms.
    pub file: Duration,
    /// The time between two requests that do not wait for a change. Default: 500 ms.
    pub poll: Duration,
    /// The time between two requests that wait for a change, so that a server that answers at once is not
    /// asked in a busy loop. Default: 200 ms.
    pub pause: Duration,
    /// How long a request waits for a change. Default: 50 s, so that with Consul's addition it ends before the
    /// minute after which many proxies give an answer up.
    pub wait: Duration,
    /// How long an answer may take, in addition to `wait`. Default: 5 s.
    pub deadline: Duration,
    /// The longest time between two requests while there is no answer. Default: 5 s.
    pub backoff: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            file: Duration::from_millis(250),
            poll: Duration::from_millis(500),
            pause: Duration::from_millis(200),
            wait: Duration::from_secs(50),
            deadline: Duration::from_secs(5),
            backoff: Duration::from_secs(5),
        }
    }
}

/// A document that is read again when it may have changed.
#[derive(Debug)]
pub struct Watch {
    kind: Kind,
    timing: Timing,
    /// How many reads in a row have failed.
    failures: u32,
}

#[derive(Debug)]
enum Kind {
    File(Watched),
    Url(Box<Poller>),
}

impl Watch {
    /// Watches the document at `place`. `None` for what can be read only once, such as a pipe.
    ///
    /// # Errors
    /// [`Unread::Client`].
    pub fn new(place: &Place, access: &Access, timing: Timing) -> Result<Option<Self>, Unread> {
        let kind = match place {
            Place::File(path) if fs::metadata(path).is_ok_and(|found| !found.is_file()) => {
                return Ok(None);
            }
            Place::File(path) => Kind::File(Watched::new(path.clone())),
            Place::Url(url) => Kind::Url(Box::new(Poller::new(url, access)?)),
        };
        Ok(Some(Self { kind, timing, failures: 0 }))
    }

    /// How long to wait until the next [`read`](Self::read). It varies, so that many servers do not ask at once.
    #[must_use]
    pub fn pause(&self) -> Duration {
        let Timing { file, poll, pause, backoff, .. } = self.timing;
        match &self.kind {
            Kind::File(_) => file,
            Kind::Url(_) if self.failures > 0 => {
                let doubled = poll.saturating_mul(1 << (self.failures - 1).min(16));
                doubled.min(backoff).mul_f64(0.5 + fastrand::f64() / 2.0)
            }
            Kind::Url(poller) if poller.can_wait() => pause.mul_f64(1.0 + fastrand::f64() / 4.0),
            Kind::Url(_) => poll.mul_f64(1.0 + fastrand::f64() / 4.0),
        }
    }

    /// The document; `None` if it has not changed since the last read, or a change has not settled. Over Consul it waits for a change unless
    /// it must answer `now`.
    ///
    /// # Errors
    /// [`Unread`] says why it can't be read now.
    ///
    /// # Cancel safety
    /// Dropping the future loses no change: the next read sees it.
    pub async fn read(&mut self, now: bool) -> Result<Option<Document>, Unread> {
        let read = match &mut self.kind {
            Kind::File(watched) => {
                // A network file system may block. A look that was dropped, or has panicked, is repeated.
                let mut looking = watched.clone();
                let look = spawn_blocking(move || (looking.look(now), looking));
                let (read, looked) = look.await.map_err(std::io::Error::other)?;
                *watched = looked;
                read
            }
            Kind::Url(poller) => {
                poller.ask(self.timing.deadline, (!now).then_some(self.timing.wait)).await
            }
        };
        self.failures = if read.is_ok() { 0 } else { self.failures.saturating_add(1) };
        read
    }
}
