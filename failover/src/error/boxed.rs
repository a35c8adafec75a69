//! The error of a failover with both services' errors boxed.

use std::error::Error as StdError;
use std::fmt;

use super::Error;
use crate::route::Route;

/// The error type of tower's own layers.
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// The error of a failover with both services' errors boxed, and with the failover's name if that is
/// known. Made by [`Error::into_boxed`] and
/// [`FailoverLayer::boxed_errors`](crate::FailoverLayer::boxed_errors).
///
/// One type for every failover: `downcast_ref::<BoxedError>()` finds it behind the layers that box
/// errors, such as tower's `buffer`, `timeout` and `load_shed`. The [`source`](StdError::source) is the
/// service's error itself.
#[derive(Debug)]
pub struct BoxedError {
    name: Option<&'static str>,
    error: Error<BoxError, BoxError>,
}

impl BoxedError {
    pub(super) fn new(error: Error<BoxError, BoxError>) -> Self {
        Self { name: None, error }
    }

    pub(crate) fn named(self, name: Option<&'static str>) -> Self {
        Self { name, ..self }
    }

    /// The failover's name: see [`FailoverLayer::named`](crate::FailoverLayer::named).
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// The service whose error is the [`source`](StdError::source): of two, the fallback.
    #[must_use]
    pub fn route(&self) -> Route {
        self.error.route()
    }

    /// The primary's error, if it failed.
    #[must_use]
    pub fn primary(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.primary().map(as_dyn)
    }

    /// The fallback's error, if it failed.
    #[must_use]
    pub fn fallback(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.fallback().map(as_dyn)
    }

    /// The error with its boxes, without the name.
    #[must_use]
    pub fn into_error(self) -> Error<BoxError, BoxError> {
        self.error
    }
}

fn as_dyn(error: &BoxError) -> &(dyn StdError + 'static) {
    &**error
}

impl fmt::Display for BoxedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.write(self.name, f)
    }
}

impl StdError for BoxedError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.route() {
            Route::Primary => self.primary(),
            Route::Fallback => self.fallback(),
        }
    }
}
