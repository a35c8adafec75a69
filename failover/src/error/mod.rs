//! The error type of a failover. The page [`errors`](crate::manual::errors) shows it with `?`,
//! `ServiceBuilder`, thiserror, anyhow and tonic.

pub(crate) mod boxed;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;

pub use boxed::BoxedError;

use crate::route::Route;

/// An error of one of the two services, or of both.
///
/// Its text is about the failover alone: the service's error is the [`source`](StdError::source),
/// unchanged, so `downcast_ref` finds it in the chain. `{error:#}` adds the services' texts, for error
/// types that have no chain, such as `&str`. It does not have the failover's name, for which each call
/// would pay: [`BoxedError`] does.
///
/// In a chain of failovers, the fallback's error is an `Error` again:
///
/// ```
/// use failover::{Error, Route};
///
/// let error: Error<u8, Error<u8, u8>> = Error::Fallback(Error::Primary(7));
/// assert_eq!(error.route(), Route::Fallback);
/// assert_eq!(error.to_string(), "fallback failed");
/// assert_eq!(format!("{error:#}"), "fallback failed: primary failed: 7");
/// assert_eq!(error.map_fallback(Error::into_inner).into_inner(), 7);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Error<P, F> {
    /// The primary's error. The fallback was not called.
    Primary(P),
    /// The fallback's error. The primary was not called.
    Fallback(F),
    /// The primary failed, and so did the fallback; with
    /// [rescue](crate::rescue::Rescue::both_ways), in either order.
    Both {
        /// The primary's.
        primary: P,
        /// The fallback's.
        fallback: F,
    },
}

/// Any [`std::error::Error`] that borrows nothing. It exists for the compiler's message about other types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `std::error::Error`, so the failover's error does not either",
    label = "not a `std::error::Error`: see `failover::Error::into_boxed`",
    note = "`.map_err(failover::Error::into_boxed)`, on a result or in a `ServiceBuilder`, makes it one"
)]
pub trait ServiceError: StdError + 'static {}

#[diagnostic::do_not_recommend]
impl<E: StdError + 'static> ServiceError for E {}

impl<P, F> Error<P, F> {
    /// The service whose error [`source`](StdError::source) and [`into_inner`](Error::into_inner) return:
    /// of two, the fallback.
    #[must_use]
    pub fn route(&self) -> Route {
        match self {
            Self::Primary(_) => Route::Primary,
            Self::Fallback(_) | Self::Both { .. } => Route::Fallback,
        }
    }

    /// The primary's error, if it failed.
    pub fn primary(&self) -> Option<&P> {
        match self {
            Self::Primary(error) | Self::Both { primary: error, .. } => Some(error),
            Self::Fallback(_) => None,
        }
    }

    /// The fallback's error, if it failed.
    pub fn fallback(&self) -> Option<&F> {
        match self {
            Self::Fallback(error) | Self::Both { fallback: error, .. } => Some(error),
            Self::Primary(_) => None,
        }
    }

    /// Maps the primary's error, if there is one.
    pub fn map_primary<Q>(self, map: impl FnOnce(P) -> Q) -> Error<Q, F> {
        self.map(map, |error| error)
    }

    /// Maps the fallback's error, if there is one.
    pub fn map_fallback<G>(self, map: impl FnOnce(F) -> G) -> Error<P, G> {
        self.map(|error| error, map)
    }

    fn map<Q, G>(self, primary: impl FnOnce(P) -> Q, fallback: impl FnOnce(F) -> G) -> Error<Q, G> {
        match self {
            Self::Primary(error) => Error::Primary(primary(error)),
            Self::Fallback(error) => Error::Fallback(fallback(error)),
            Self::Both { primary: one, fallback: other } => {
                Error::Both { primary: primary(one), fallback: fallback(other) }
            }
        }
    }

    /// Boxes both errors. For services whose errors are `Box<dyn Error + Send + Sync>`, as within
    /// tower's `timeout`, or `anyhow::Error`: `Error` is a [`std::error::Error`] only if both services'
    /// errors are. In a `ServiceBuilder`, `.map_err(Error::into_boxed)` does it for all calls;
    /// [`FailoverLayer::boxed_errors`](crate::FailoverLayer::boxed_errors) adds the failover's name.
    ///
    /// ```
    /// use std::io;
    /// use failover::{Error, Monitor, Policy};
    ///
    /// type BoxError = Box<dyn std::error::Error + Send + Sync>;
    ///
    /// async fn price(monitor: &Monitor) -> Result<u32, BoxError> {
    ///     let primary = || async { Err::<u32, BoxError>("down".into()) };
    ///     let fallback = || async { Ok::<_, io::Error>(7) };
    ///     Ok(monitor.call(primary, fallback).await.map_err(Error::into_boxed)?)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = price(&Monitor::new(Policy::default())).await.unwrap_err();
    /// assert_eq!(error.to_string(), "primary failed");
    /// assert_eq!(error.source().unwrap().to_string(), "down");
    /// # }
    /// ```
    #[must_use]
    pub fn into_boxed(self) -> BoxedError
    where
        P: Into<Box<dyn StdError + Send + Sync>>,
        F: Into<Box<dyn StdError + Send + Sync>>,
    {
        BoxedError::new(self.map(Into::into, Into::into))
    }
}

impl<E> Error<E, E> {
    /// The error itself, without its origin; of two, the fallback's.
    pub fn into_inner(self) -> E {
        match self {
            Self::Primary(error) | Self::Fallback(error) | Self::Both { fallback: error, .. } => {
                error
            }
        }
    }
}

impl<P: fmt::Display, F: fmt::Display> Error<P, F> {
    /// The text, with the failover's name if it is known.
    fn write(&self, name: Option<&str>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match self {
            Self::Fallback(_) => Route::Fallback,
            Self::Primary(_) | Self::Both { .. } => Route::Primary,
        };
        f.write_str(service.as_str())?;
        if let Some(name) = name {
            write!(f, " of {name:?}")?;
        }
        f.write_str(" failed")?;
        // The chain continues with the fallback's error only, so the primary's is written here as a whole.
        if let Self::Both { primary, .. } = self {
            write!(f, " ({primary:#}), and so did the fallback")?;
        }
        match self {
            Self::Primary(error) if f.alternate() => write!(f, ": {error:#}"),
            Self::Fallback(error) | Self::Both { fallback: error, .. } if f.alternate() => {
                write!(f, ": {error:#}")
            }
            _ => Ok(()),
        }
    }
}

impl<P: fmt::Display, F: fmt::Display> fmt::Display for Error<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(None, f)
    }
}

impl<P: ServiceError, F: ServiceError> StdError for Error<P, F> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(match self {
            Self::Primary(error) => error,
            Self::Fallback(error) | Self::Both { fallback: error, .. } => error,
        })
    }
}

/// Two services that never fail make a failover that never fails: for axum, whose layers need an error
/// that becomes [`Infallible`].
impl From<Error<Self, Self>> for Infallible {
    fn from(error: Error<Self, Self>) -> Self {
        error.into_inner()
    }
}
