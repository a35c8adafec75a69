//! The configuration's document is read again while the server runs, and a new one takes effect.
//!
//! A document is taken as a whole or not at all. One that is refused, or can't be read, changes nothing.

use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{Applied, Config, Setting, Sources, Status};
use crate::document::{Document, Timing, Unread, Watch};
use crate::domain::shortened;
use crate::notify;

/// The longest reason of a refusal, in characters: longer than those of the configuration, which shorten values.
const LONGEST_REASON: usize = 2_000;

/// What makes a configuration take effect, or refuses it as a whole. It may block.
pub type Apply<E> = dyn Fn(Config) -> Result<Applied, E> + Send + Sync;

/// Watches the document of the configuration.
pub struct Reload<E> {
    sources: Arc<Sources>,
    /// The one that was read last: in force, or refused.
    last: Option<Document>,
    watch: Option<Watch>,
    /// Whether the last read failed.
    is_lost: bool,
    status: Status,
    apply: Arc<Apply<E>>,
}

impl<E> fmt::Debug for Reload<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl<E: Display + Send + 'static> Reload<E> {
    /// `document` is the one that is in force. What becomes of later ones is recorded in `status`.
    ///
    /// # Errors
    /// [`Unread::Client`].
    pub fn new(
        sources: Sources,
        document: Option<Document>,
        timing: Timing,
        status: Status,
        apply: impl Fn(Config) -> Result<Applied, E> + Send + Sync + 'static,
    ) -> Result<Self, Unread> {
        let watch = match sources.place() {
            Some(place) => Watch::new(place, sources.access(), timing)?,
            None => None,
        };
        if let (Some(place), None) = (sources.place(), &watch) {
            tracing::info!("{place} is not a file: it is read at the start alone");
        }
        let (sources, apply) = (Arc::new(sources), Arc::new(apply));
        Ok(Self { sources, last: document, watch, is_lost: false, status, apply })
    }

    /// Reads the document whenever it may have changed, and at once when `asked` is notified.
    ///
    /// # Cancel safety
    /// Dropping the future ends the watch. A configuration that is being applied still takes effect.
    pub async fn run(mut self, asked: Arc<Notify>) {
        let Some(mut watch) = self.watch.take() else {
            loop {
                asked.notified().await;
                // The manager may wait for both.
                notify::reloading();
                tracing::warn!(
                    "SIGHUP: there is no document to read again (--config): flags and environment variables can't \
                     change while the server runs; restart it, or change the policy through --admin-listen"
                );
                notify::reloaded();
            }
        };
        loop {
            let now = tokio::select! {
                () = asked.notified() => true,
                () = sleep(watch.pause()) => false,
            };
            let read = tokio::select! {
                read = watch.read(false), if !now => Some(read),
                // Ends a wait for a change.
                () = asked.notified(), if !now => None,
                else => None,
            };
            match read {
                Some(read) => self.take(read, false).await,
                None => {
                    notify::reloading();
                    let read = watch.read(true).await;
                    self.take(read, true).await;
                    notify::reloaded();
                }
            }
        }
    }

    /// Takes what was read. If the document was `asked` for it takes effect even if it is the same: files that it
    /// names may have changed.
    async fn take(&mut self, read: Result<Option<Document>, Unread>, asked: bool) {
        let read = match read {
            Ok(read) => read,
            Err(because) => return self.lost(&because, asked),
        };
        // An empty document would be a right one, and put all defaults in force.
        let is_used = self.last.as_ref().is_some_and(|last| !last.text.is_empty());
        if is_used && read.as_ref().is_some_and(|new| new.text.is_empty()) {
            return self.lost(&Unread::Emptied, asked);
        }
        // After an error a document proves that it can be read, and nothing less.
        if self.is_lost && read.is_none() {
            return;
        }
        self.status.unchanged();
        if std::mem::take(&mut self.is_lost) {
            tracing::info!(place = self.place(), "the configuration can be read again");
        }
        let is_same = |new: &Document| self.last.as_ref().is_some_and(|last| last.text == new.text);
        let is_new = read.as_ref().is_some_and(|new| !is_same(new));
        if is_new {
            self.last = read;
        }
        let Some(document) = self.last.clone().filter(|_| is_new || asked) else { return };
        let (sources, apply) = (Arc::clone(&self.sources), Arc::clone(&self.apply));
        // The parser takes a tenth of a second for the longest document.
        let applied = spawn_blocking(move || {
            let config = sources.config(Some(&document)).map_err(|because| because.to_string())?;
            apply(config).map_err(|because| because.to_string())
        });
        match applied.await {
            Ok(Ok(applied)) => self.applied(&applied),
            Ok(Err(because)) => self.refused(&because),
            Err(panicked) => self.refused(&panicked.to_string()),
        }
    }

    fn place(&self) -> String {
        self.sources.place().map(ToString::to_string).unwrap_or_default()
    }

    fn lost(&mut self, because: &Unread, asked: bool) {
        self.status.unreachable(SystemTime::now(), because.to_string());
        if !std::mem::replace(&mut self.is_lost, true) || asked {
            tracing::warn!(
                place = self.place(), %because,
                "the configuration can't be read now: nothing changes until it can"
            );
        }
    }

    fn refused(&self, because: &str) {
        // It stays on the operators' page.
        let because = shortened(because, LONGEST_REASON);
        self.status.refused(SystemTime::now(), because.clone());
        tracing::error!(
            %because,
            "the new configuration is refused: nothing changes; correct it, or what it depends on and send SIGHUP"
        );
    }

    fn applied(&self, applied: &Applied) {
        let Applied { changed, waiting } = applied;
        self.status.applied(SystemTime::now(), changed);
        let (changed, waiting) = (keys(changed), keys(waiting));
        if waiting.is_empty() {
            tracing::info!(changed, "the configuration was read again");
        } else {
            tracing::warn!(
                changed,
                waiting,
                "the configuration was read again; some settings wait for a restart"
            );
        }
    }
}

/// For the log.
fn keys(settings: &[Setting]) -> String {
    settings.iter().map(|setting| setting.key()).collect::<Vec<_>>().join(", ")
}
