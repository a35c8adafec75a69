//! The providers of valuations: one file a provider, each a tower [`Service`](tower::Service) of
//! [`QuoteRequest`](crate::domain::QuoteRequest)s, and the bounded HTTP client that they share.
//!
//! A provider is not trusted. Whatever it sends ends within the deadline, in bounded memory, as
//! one [`Answer`] or one [`Failure`]; nothing that it names is fetched, and nothing of its text
//! gets into a message.
//!
//! | answer | becomes |
//! |---|---|
//! | 200 with a usable body | a quote |
//! | 404 | [`QuoteError::NotFound`]: the provider is up |
//! | another 4xx, but for 408 and 429 | [`QuoteError::Refused`]: the provider is up |
//! | anything else, or nothing | [`QuoteError::Unavailable`]: a failure of the provider |

mod awake;
mod base_url;
mod client;
mod fetch;
mod mishap;
mod names;
mod premium;
mod supercar;
mod target;
mod tls;
mod transport;

use std::pin::Pin;
use std::time::Duration;

use crate::domain::{Answer, ErrorCode, Failure, Quote, QuoteError, Trace};

pub(crate) use base_url::REDACTED;
pub use base_url::{BaseUrl, BaseUrlError};
pub use fetch::{ClientError, MAX_BODY};
pub use premium::{Premium, PremiumRange, parse as parse_premium};
pub use supercar::{SuperCar, parse as parse_supercar};
pub use transport::{HttpVersion, Transport};

use fetch::Fetch;
use target::Target;

/// How long a whole call may take unless it is configured otherwise: connecting, the answer's
/// head and its body together.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(5);

/// The future of both providers' services.
pub type Asking = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

/// Asks one question: the exchange, then what its status says, then what its body says.
fn ask(
    fetch: Fetch,
    target: Option<Target>,
    trace: Trace,
    parse: impl FnOnce(&[u8]) -> Result<Quote, QuoteError> + Send + 'static,
) -> Asking {
    Box::pin(async move {
        let Some(target) = target else {
            return Err(Failure { error: QuoteError::NotAsked, response_code: None });
        };
        let reply = fetch.get(&target, &trace).await.map_err(|mishap| Failure {
            response_code: mishap.status,
            error: QuoteError::Unavailable {
                code: mishap.code,
                message: mishap.message,
                retry_after: None,
            },
        })?;
        let result = match reply.status {
            200 => parse(&reply.body),
            404 => Err(QuoteError::NotFound),
            status @ (408 | 429) => Err(failing_status(status, reply.retry_after)),
            status @ 400..=499 => Err(QuoteError::Refused(status)),
            status => Err(failing_status(status, reply.retry_after)),
        };
        match result {
            Ok(quote) => Ok(Answer { quote, response_code: reply.status }),
            Err(error) => Err(Failure { error, response_code: Some(reply.status) }),
        }
    })
}

/// Nobody answered. The text names no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Unreachable {
    /// The stable name of what happened.
    pub code: ErrorCode,
    /// What happened, in our words.
    pub message: String,
}

/// The status that a provider answers to `HEAD` of its base URL, whatever it is. Credentials and keys
/// are sent as with a question, so that a refusal is about them; no valuation is asked for.
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
    fetch.head().await.map_err(|mishap| Unreachable { code: mishap.code, message: mishap.message })
}

fn failing_status(status: u16, retry_after: Option<Duration>) -> QuoteError {
    QuoteError::Unavailable {
        code: ErrorCode::Status,
        message: format!("the provider answered with status {status}"),
        retry_after,
    }
}
