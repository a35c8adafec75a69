//! The one error type of a failover.

use std::error::Error as StdError;
use std::fmt;

/// An error of one of the two services, or of both.
///
/// Where both have the same error type, [`into_inner`](Error::into_inner) gives it back. In a chain,
/// where the fallback is a failover itself, its error is one of these again:
/// [`flatten`](Error::flatten) goes through all tiers at once.
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

impl<P, F> Error<P, F> {
    /// Changes the primary's error, if there is one.
    pub fn map_primary<Q>(self, map: impl FnOnce(P) -> Q) -> Error<Q, F> {
        match self {
            Self::Primary(primary) => Error::Primary(map(primary)),
            Self::Fallback(fallback) => Error::Fallback(fallback),
            Self::Both { primary, fallback } => Error::Both { primary: map(primary), fallback },
        }
    }

    /// Changes the fallback's error, if there is one.
    pub fn map_fallback<G>(self, map: impl FnOnce(F) -> G) -> Error<P, G> {
        match self {
            Self::Primary(primary) => Error::Primary(primary),
            Self::Fallback(fallback) => Error::Fallback(map(fallback)),
            Self::Both { primary, fallback } => Error::Both { primary, fallback: map(fallback) },
        }
    }

    /// The error itself out of all the tiers of a chain whose services have one error type,
    /// without the knowledge of whose it is; of two, the fallback's. The type has to be known
    /// where this is called.
    ///
    /// ```
    /// use failover::Error;
    ///
    /// type OfThree<E> = Error<E, Error<E, E>>;
    /// let error: OfThree<std::fmt::Error> = Error::Fallback(Error::Primary(std::fmt::Error));
    /// let inner: std::fmt::Error = error.flatten();
    /// ```
    pub fn flatten<E, Tiers>(self) -> E
    where
        Self: Nested<E, Tiers>,
    {
        self.into_innermost()
    }
}

/// An error `E`, bare or inside the [`Error`]s of a chain: what [`Error::flatten`] takes. `Tiers`
/// is how deep it is, which the compiler finds out by itself.
pub trait Nested<E, Tiers> {
    /// The error itself.
    fn into_innermost(self) -> E;
}

/// The depth of a bare error.
#[derive(Debug)]
pub enum Bare {}

impl<E> Nested<E, Bare> for E {
    fn into_innermost(self) -> E {
        self
    }
}

impl<E, P, F, Upper, Lower> Nested<E, (Upper, Lower)> for Error<P, F>
where
    P: Nested<E, Upper>,
    F: Nested<E, Lower>,
{
    fn into_innermost(self) -> E {
        match self {
            Self::Primary(primary) => primary.into_innermost(),
            Self::Fallback(fallback) | Self::Both { fallback, .. } => fallback.into_innermost(),
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
