//! The crate's words as text: the error of an unknown label, and what serde needs for all of them.

use std::fmt;

/// A text that is not a label of its type, such as of a [`Route`](crate::route::Route) or a
/// [`State`](crate::state::State). The message lists the labels.
///
/// ```
/// use failover::{Route, State};
///
/// assert_eq!("fallback".parse(), Ok(Route::Fallback));
/// let error = "secondary".parse::<Route>().unwrap_err();
/// assert_eq!(error.to_string(), r#""secondary" is no route: it must be one of primary, fallback"#);
/// assert_eq!("forced_primary".parse(), Ok(State::ForcedPrimary));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLabel {
    text: String,
    what: &'static str,
    labels: &'static [&'static str],
}

impl UnknownLabel {
    pub(crate) fn new(text: &str, what: &'static str, labels: &'static [&'static str]) -> Self {
        Self { text: text.to_owned(), what, labels }
    }
}

impl fmt::Display for UnknownLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, what, labels } = self;
        write!(f, "{text:?} is no {what}: it must be one of {}", labels.join(", "))
    }
}

impl std::error::Error for UnknownLabel {}

#[cfg(feature = "serde")]
pub(crate) mod scalar;
