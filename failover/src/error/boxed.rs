//! Any service's error, boxed.

use std::error::Error as StdError;
use std::fmt;

type BoxError = Box<dyn StdError + Send + Sync>;

/// A boxed error of a service. It is transparent: in a chain of errors the boxed one stands in its place.
///
/// `Box<dyn Error>` does not implement [`Error`](StdError) itself.
pub struct Boxed(BoxError);

impl Boxed {
    pub(super) fn new(error: impl Into<BoxError>) -> Self {
        match error.into().downcast() {
            // Boxed before.
            Ok(boxed) => *boxed,
            Err(error) => Self(error),
        }
    }

    /// The boxed error, for `downcast_ref`.
    #[must_use]
    pub fn inner(&self) -> &(dyn StdError + 'static) {
        &*self.0
    }

    /// The box.
    #[must_use]
    pub fn into_inner(self) -> Box<dyn StdError + Send + Sync> {
        self.0
    }
}

impl fmt::Debug for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Boxed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
