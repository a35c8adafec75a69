//! The providers of valuations: one file per provider, and what they share: a tower
//! [`Service`](tower::Service) of [`QuoteRequest`](crate::domain::QuoteRequest)s over a bounded HTTP
//! client.
//!
//! A provider is not trusted. Each call ends within the deadline and in bounded memory, as one
//! [`Answer`] or one [`Failure`]. Nothing that an answer refers to is fetched, and no message repeats
//! its text.
//!
//! | answer | becomes |
//! |---|---|
//! | 200 with a usable body | a quote |
//! | 404 | [`QuoteError::NotFound`]: the provider is up |
//! | another 4xx, but for 408 and 429 | [`QuoteError::Refused`]: the provider is up |
//! | anything else, or nothing | [`QuoteError::Unavailable`]: a failure of the provider |
//!
//! [`Answer`]: crate::domain::Answer
//! [`Failure`]: crate::domain::Failure
//! [`QuoteError::NotFound`]: crate::domain::QuoteError::NotFound
//! [`QuoteError::Refused`]: crate::domain::QuoteError::Refused
//! [`QuoteError::Unavailable`]: crate::domain::QuoteError::Unavailable

mod awake;
mod base_url;
mod client;
mod fetch;
mod fetch_error;
mod names;
mod premium;
mod request_url;
mod service;
mod supercar;
mod tls;
mod transport;

use std::time::Duration;

use crate::domain::ErrorCode;

pub use base_url::{BaseUrl, BaseUrlError};
pub(crate) use base_url::{REDACTED, without_credentials};
pub use fetch::{ClientError, MAX_BODY};
pub(crate) use names::Names;
pub use premium::{PremiumRange, parse as parse_premium, premium};
pub use service::{ProviderClient, ProviderFuture};
pub use supercar::{parse as parse_supercar, supercar};
pub(crate) use tls::anonymous as anonymous_tls;
pub use transport::{HttpVersion, Transport};

use fetch::Fetch;

/// There was no answer. The text has no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Unreachable {
    /// The stable code.
    pub code: ErrorCode,
    /// What happened.
    pub message: String,
}

/// The status of a provider's answer to `HEAD` of its base URL. Credentials and keys are sent as in a
/// provider call, so that a refusal is about them. No valuation is requested.
///
/// # Errors
/// [`Unreachable`] if no answer comes within `deadline`, or the client can't be made.
pub async fn reach(
    base: &BaseUrl,
    deadline: Duration,
    transport: &Transport,
) -> Result<u16, Unreachable> {
    let fetch = Fetch::new(base, deadline, transport, "*/*")
        .map_err(|error| Unreachable { code: ErrorCode::Tls, message: error.to_string() })?;
    fetch.head().await.map_err(|error| Unreachable { code: error.code, message: error.message })
}
