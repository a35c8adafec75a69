//! The error type of a failover. The page [`errors`](crate::manual::errors) shows it with `?`,
//! `ServiceBuilder`, thiserror, anyhow and tonic.

mod boxed;
pub(crate) mod name;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::hash::{Hash, Hasher};

pub use boxed::Boxed;

use self::name::Name;
use crate::route::Route;

/// An error of one of the two services, or of both, with the failover's name if it has one.
///
/// Its text is about the failover alone: the service's error is the
/// [`source`](StdError::source), unchanged, so `downcast_ref` finds it in the chain. `{error:#}` adds the
/// services' texts, for error types that have no chain, such as `&str`.
///
/// Two errors are equal if their kinds are; the name is not compared. In a chain of failovers, the
/// fallback's error is an `Error` again:
///
/// ```
/// use failover::{Error, ErrorKind, Route};
///
/// let lower: Error<u8, u8> = ErrorKind::Primary(7).into();
/// let error: Error<u8, Error<u8, u8>> = ErrorKind::Fallback(lower).into();
/// assert_eq!(error.route(), Route::Fallback);
/// assert_eq!(error.to_string(), "fallback failed");
/// assert_eq!(format!("{error:#}"), "fallback failed: primary failed: 7");
/// assert_eq!(error.map_fallback(Error::into_inner).into_inner(), 7);
/// ```
#[derive(Clone, Copy)]
pub struct Error<P, F> {
    /// The service that failed, with its error.
    pub kind: ErrorKind<P, F>,
    name: Option<Name>,
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

/// The error of a failover with both services' errors boxed. Made by [`Error::into_boxed`].
///
/// One type for every failover: `downcast_ref::<BoxedError>()` finds it behind the layers that box
/// errors, such as tower's `buffer`, `timeout` and `load_shed`.
pub type BoxedError = Error<Boxed, Boxed>;

/// The service that failed, with its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind<P, F> {
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

impl<P, F> ErrorKind<P, F> {
    fn map<Q, G>(
        self,
        primary: impl FnOnce(P) -> Q,
        fallback: impl FnOnce(F) -> G,
    ) -> ErrorKind<Q, G> {
        match self {
            Self::Primary(error) => ErrorKind::Primary(primary(error)),
            Self::Fallback(error) => ErrorKind::Fallback(fallback(error)),
            Self::Both { primary: one, fallback: other } => {
                ErrorKind::Both { primary: primary(one), fallback: fallback(other) }
            }
        }
    }
}

impl<P, F> Error<P, F> {
    #[inline]
    pub(crate) fn new(kind: ErrorKind<P, F>, name: Option<Name>) -> Self {
        Self { kind, name }
    }

    /// The failover's name: see [`FailoverLayer::named`](crate::FailoverLayer::named).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.map(Name::text)
    }

    /// The service whose error [`source`](StdError::source) and [`into_inner`](Error::into_inner) return:
    /// of two, the fallback.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.kind {
            ErrorKind::Primary(_) => Route::Primary,
            ErrorKind::Fallback(_) | ErrorKind::Both { .. } => Route::Fallback,
        }
    }

    /// The primary's error, if it failed.
    pub fn primary(&self) -> Option<&P> {
        match &self.kind {
            ErrorKind::Primary(error) | ErrorKind::Both { primary: error, .. } => Some(error),
            ErrorKind::Fallback(_) => None,
        }
    }

    /// The fallback's error, if it failed.
    pub fn fallback(&self) -> Option<&F> {
        match &self.kind {
            ErrorKind::Fallback(error) | ErrorKind::Both { fallback: error, .. } => Some(error),
            ErrorKind::Primary(_) => None,
        }
    }

    /// Maps the primary's error, if there is one.
    pub fn map_primary<Q>(self, map: impl FnOnce(P) -> Q) -> Error<Q, F> {
        Error { kind: self.kind.map(map, |error| error), name: self.name }
    }

    /// Maps the fallback's error, if there is one.
    pub fn map_fallback<G>(self, map: impl FnOnce(F) -> G) -> Error<P, G> {
        Error { kind: self.kind.map(|error| error, map), name: self.name }
    }

    /// Boxes both errors. For services whose errors are `Box<dyn Error + Send + Sync>`, as within
    /// tower's `timeout`, or `anyhow::Error`: `Error` is a [`std::error::Error`] only if both services'
    /// errors are.
    ///
    /// ```
    /// use std::io;
    /// use std::time::Duration;
    /// use failover::{Error, FailoverLayer, Policy};
    /// use failover::error::BoxedError;
    /// use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let primary = service_fn(|_: ()| async { Err::<(), BoxError>(io::Error::other("down").into()) });
    /// let fallback = service_fn(|_: ()| async { Ok::<_, io::Error>(()) });
    ///
    /// let service = ServiceBuilder::new()
    ///     .timeout(Duration::from_secs(5)) // whatever wants a `std::error::Error` below it
    ///     .map_err(Error::into_boxed)
    ///     .layer(FailoverLayer::with_fallback(fallback, Policy::default()))
    ///     .timeout(Duration::from_secs(2)) // around the primary
    ///     .service(primary);
    ///
    /// let error: BoxError = service.oneshot(()).await.unwrap_err();
    /// let error: &BoxedError = error.downcast_ref().unwrap();
    /// assert!(error.primary().unwrap().inner().is::<io::Error>());
    /// # }
    /// ```
    #[must_use]
    pub fn into_boxed(self) -> BoxedError
    where
        P: Into<Box<dyn StdError + Send + Sync>>,
        F: Into<Box<dyn StdError + Send + Sync>>,
    {
        Error { kind: self.kind.map(Boxed::new, Boxed::new), name: self.name }
    }
}

impl<E> Error<E, E> {
    /// The error itself, without its origin; of two, the fallback's.
    pub fn into_inner(self) -> E {
        match self.kind {
            ErrorKind::Primary(error)
            | ErrorKind::Fallback(error)
            | ErrorKind::Both { fallback: error, .. } => error,
        }
    }
}

impl<P, F> From<ErrorKind<P, F>> for Error<P, F> {
    /// Without a name.
    fn from(kind: ErrorKind<P, F>) -> Self {
        Self::new(kind, None)
    }
}

impl<P: PartialEq, F: PartialEq> PartialEq for Error<P, F> {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl<P: Eq, F: Eq> Eq for Error<P, F> {}

impl<P: Hash, F: Hash> Hash for Error<P, F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
    }
}

impl<P: fmt::Debug, F: fmt::Debug> fmt::Debug for Error<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = f.debug_struct("Error");
        error.field("kind", &self.kind).field("name", &self.name()).finish()
    }
}

impl<P: fmt::Display, F: fmt::Display> fmt::Display for Error<P, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match self.kind {
            ErrorKind::Fallback(_) => "fallback",
            ErrorKind::Primary(_) | ErrorKind::Both { .. } => "primary",
        };
        f.write_str(service)?;
        if let Some(name) = self.name() {
            write!(f, " of {name:?}")?;
        }
        f.write_str(" failed")?;
        // The chain continues with the fallback's error only, so the primary's is written here as a whole.
        if let ErrorKind::Both { primary, .. } = &self.kind {
            write!(f, " ({primary:#}), and so did the fallback")?;
        }
        match &self.kind {
            ErrorKind::Primary(error) if f.alternate() => write!(f, ": {error:#}"),
            ErrorKind::Fallback(error) | ErrorKind::Both { fallback: error, .. }
                if f.alternate() =>
            {
                write!(f, ": {error:#}")
            }
            _ => Ok(()),
        }
    }
}

impl<P: ServiceError, F: ServiceError> StdError for Error<P, F> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let error: &(dyn StdError + 'static) = match &self.kind {
            ErrorKind::Primary(error) => error,
            ErrorKind::Fallback(error) | ErrorKind::Both { fallback: error, .. } => error,
        };
        // The boxed error itself, without the wrapper.
        Some(error.downcast_ref().map_or(error, Boxed::inner))
    }
}

/// Two services that never fail make a failover that never fails: for axum, whose layers need an error
/// that becomes [`Infallible`].
impl From<Error<Self, Self>> for Infallible {
    fn from(error: Error<Self, Self>) -> Self {
        error.into_inner()
    }
}
