//! The document of the configuration: a text at a path or a URL, which is read once at the start and watched
//! while the server runs. What the text says is not known here.
//!
//! | place | how a change is noticed |
//! |---|---|
//! | a file | its metadata differ, looked at four times a second |
//! | a URL whose answers have `X-Consul-Index` | Consul's blocking queries |
//! | another URL | conditional requests, twice a second |

mod access;
mod consul;
mod file;
mod place;
mod poller;
mod unread;
mod watch;

use std::thread;
use std::time::{Duration, SystemTime};

use tokio::runtime::Builder;

pub use access::{Access, WrongToken};
pub use place::{Place, PlaceArg, WrongPlace};
pub use unread::Unread;
pub use watch::{Timing, Watch};

use poller::Poller;

/// The longest document, in bytes.
pub const LONGEST: usize = 1 << 20;
/// How long a document at a URL may take at the start.
const AT_START: Duration = Duration::from_secs(10);

/// A text, and where it is from. Its `Debug` does not show the text, which may have secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    /// Where it is from.
    pub place: Place,
    /// The text.
    pub text: String,
    /// When it was read.
    pub read_at: SystemTime,
    /// When it was changed: a file's modification time, or `Last-Modified`. Of a URL without one, when it was
    /// read.
    pub modified: SystemTime,
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("place", &self.place).finish_non_exhaustive()
    }
}

/// Reads the document once. Blocks: for a URL up to ten seconds.
///
/// # Errors
/// [`Unread`] says why it can't be read.
pub fn read(place: &Place, access: &Access) -> Result<Document, Unread> {
    match place {
        Place::File(path) => file::read(path),
        Place::Url(url) => {
            let asked = || {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let read = runtime.block_on(async {
                    let mut poller = Poller::new(url, access)?;
                    poller.ask(AT_START, None).await?.ok_or(Unread::Status(304))
                });
                // A look-up that hangs in the system's resolver is left behind.
                runtime.shutdown_background();
                read
            };
            // On a thread of its own: the caller's may belong to a runtime.
            let asked = thread::scope(|scope| scope.spawn(asked).join());
            asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }
    }
}
