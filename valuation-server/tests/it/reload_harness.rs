//! A watch of a configuration, whose changes a test waits for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use valuation_server::config::{Applied, Config, Seen, Setting, Sources, Status};
use valuation_server::document::Timing;
use valuation_server::reload::Reload;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

/// Much shorter than in service, so that a test is short.
pub(crate) const QUICK: Timing = Timing {
    file: Duration::from_millis(5),
    poll: Duration::from_millis(5),
    pause: Duration::from_millis(2),
    wait: Duration::from_secs(60),
    deadline: DEADLINE,
    backoff: Duration::from_millis(20),
};

/// The value of `max-puts` that the application refuses.
pub(crate) const REFUSED: usize = 666;

pub(crate) struct Watched {
    pub(crate) status: Status,
    pub(crate) asked: Arc<Notify>,
    applied: mpsc::UnboundedReceiver<Config>,
    _running: JoinSet<()>,
}

impl Watched {
    /// Reads the document at `place`, which must be right, and watches it.
    pub(crate) fn start(place: &OsStr, environment: &[(&str, &str)], timing: Timing) -> Self {
        let flags = [
            (Setting::SupercarUrl, "http://s:1".to_owned()),
            (Setting::PremiumUrl, "http://p:2".to_owned()),
        ];
        let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
        let sources = Sources::new(&BTreeMap::from(flags), Some(place), environment).unwrap();
        let document = sources.read().unwrap();
        sources.config(document.as_ref()).unwrap();
        let read_at = document.as_ref().unwrap().read_at;
        let status = Status::of(sources.place().unwrap().to_string(), read_at);
        let (sender, applied) = mpsc::unbounded_channel();
        let apply = move |config: Config| {
            if config.max_puts == REFUSED {
                return Err("max-puts: too much for this machine");
            }
            sender.send(config).unwrap();
            Ok(Applied { changed: vec![Setting::MinCalls], waiting: vec![Setting::Listen] })
        };
        let reload = Reload::new(sources, document, timing, status.clone(), apply).unwrap();
        let asked = Arc::new(Notify::new());
        let running = JoinSet::from_iter([reload.run(Arc::clone(&asked))]);
        Self { status, asked, applied, _running: running }
    }

    /// The next configuration that takes effect.
    pub(crate) async fn next(&mut self) -> Config {
        timeout(DEADLINE, self.applied.recv()).await.expect("a change").unwrap()
    }

    /// Whether nothing has taken effect since [`next`](Self::next).
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.applied.try_recv().is_err()
    }

    /// Waits until the status is as wanted.
    pub(crate) async fn until(&self, wanted: impl Fn(&Seen) -> bool) -> Seen {
        let reached = async {
            loop {
                let seen = self.status.seen();
                if wanted(&seen) {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let reached = timeout(DEADLINE, reached).await;
        reached.unwrap_or_else(|_| panic!("never: {:?}", self.status))
    }

    /// Waits for a refusal, and gives its words.
    pub(crate) async fn refusal(&self) -> String {
        self.until(|seen| seen.refused.is_some()).await.refused.unwrap().because
    }

    /// Waits until the document can't be read, and gives the words.
    pub(crate) async fn trouble(&self) -> String {
        self.until_trouble("").await
    }

    /// Waits until the document can't be read for a reason with these words, and gives all of them.
    pub(crate) async fn until_trouble(&self, words: &str) -> String {
        let is_it = |seen: &Seen| {
            seen.unreachable.as_ref().is_some_and(|trouble| trouble.because.contains(words))
        };
        self.until(is_it).await.unreachable.unwrap().because
    }

    /// Waits until documents were applied, refused, and could not be read so often.
    pub(crate) async fn until_counts(&self, wanted: [u64; 3]) {
        self.until(|_| self.status.counts().map(Counter::get) == wanted).await;
    }
}
