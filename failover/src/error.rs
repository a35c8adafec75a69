//! The one error type of a failover.

use std::error::Error as StdError;
use std::fmt;

/// An error of one of the two services, or of both.
///
/// Where both have the same error type, [`into_inner`](Error::into_inner) gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error<P, F> {
    /// The primary's. Nobody else was asked.
    Primary(P),
    /// The fallback's. Nobody else was asked.
    Fallback(F),
    /// The call was rescued in vain: each was asked and each failed.
    Both {
        /// The primary's.
        primary: P,
        /// The fallback's.
        fallback: F,
    },
}

impl<E> Error<E, E> {
    /// The error itself, without the knowledge of whose it is; of two, the fallback's.
    pub fn into_inner(self) -> E {
        match self {
            Self::Primary(error) | Self::Fallback(error) => error,
            Self::Both { fallback, .. } => fallback,
        }
    }
}

impl<P: fmt::Display, F: fmt::Display> fmt::Display for Error<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary(error) => write!(f, "primary: {error}"),
            Self::Fallback(error) => write!(f, "fallback: {error}"),
            Self::Both { primary, fallback } => {
                write!(f, "primary: {primary}; fallback: {fallback}")
            }
        }
    }
}

impl<P: StdError, F: StdError> StdError for Error<P, F> {
    // The message holds the wrapped errors' own messages, so the chain goes on below them.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Primary(error) | Self::Both { primary: error, .. } => error.source(),
            Self::Fallback(error) => error.source(),
        }
    }
}
