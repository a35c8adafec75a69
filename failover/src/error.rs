//! The error type of a failover.

use std::error::Error as StdError;
use std::fmt;

/// An error of one of the two services, or of both.
///
/// [`into_inner`](Error::into_inner) returns the error if both types are the same. In a chain, the
/// fallback's error is an `Error` again:
///
/// ```
/// use failover::Error;
///
/// let error: Error<u8, Error<u8, u8>> = Error::Fallback(Error::Primary(7));
/// assert_eq!(error.map_fallback(Error::into_inner).into_inner(), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error<P, F> {
    /// The primary's error. The fallback was not called.
    Primary(P),
    /// The fallback's error. The primary was not called.
    Fallback(F),
    /// The primary failed, and so did the fallback that was to rescue the call.
    Both {
        /// The primary's.
        primary: P,
        /// The fallback's.
        fallback: F,
    },
}

impl<E> Error<E, E> {
    /// The error itself, without its origin; of two, the fallback's.
    pub fn into_inner(self) -> E {
        match self {
            Self::Primary(error) | Self::Fallback(error) => error,
            Self::Both { fallback, .. } => fallback,
        }
    }
}

impl<P, F> Error<P, F> {
    /// Maps the primary's error, if there is one.
    pub fn map_primary<Q>(self, map: impl FnOnce(P) -> Q) -> Error<Q, F> {
        match self {
            Self::Primary(primary) => Error::Primary(map(primary)),
            Self::Fallback(fallback) => Error::Fallback(fallback),
            Self::Both { primary, fallback } => Error::Both { primary: map(primary), fallback },
        }
    }

    /// Maps the fallback's error, if there is one.
    pub fn map_fallback<G>(self, map: impl FnOnce(F) -> G) -> Error<P, G> {
        match self {
            Self::Primary(primary) => Error::Primary(primary),
            Self::Fallback(fallback) => Error::Fallback(map(fallback)),
            Self::Both { primary, fallback } => Error::Both { primary, fallback: map(fallback) },
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
    // The message contains the wrapped errors' messages, so the chain continues below them.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Primary(error) | Self::Both { primary: error, .. } => error.source(),
            Self::Fallback(error) => error.source(),
        }
    }
}
