//! Reads a request's body, bounded in bytes and time.
//!
//! tower-http's layers for that stand in front of a handler, so a body that is too large would be
//! rejected before its path and its type were checked.

use std::pin::pin;

use futures_util::FutureExt;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use tokio::time::timeout;

use super::Limits;
use super::problem::Problem;
use super::strict::ConnectionState;
use crate::web::accept::is_of_type;

/// A body above this size needs a permit, in bytes. No valid body is larger.
const SMALL: usize = 1024;
const MANY: &str = "Too many large bodies are being read; try again later";
const STOPPING: &str = "The server is stopping, and the body has not come; try again later";

/// Whether the headers describe plain JSON. Parameters don't matter: JSON is UTF-8.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    is_plain(headers, "application/json")
}

/// Whether the headers describe a body of this type, without an encoding.
pub(super) fn is_plain(headers: &HeaderMap, content_type: &str) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING).map_or(&b"identity"[..], |v| v.as_bytes());
    is_of_type(headers, content_type) && encoding.eq_ignore_ascii_case(b"identity")
}

/// Reads the whole body.
///
/// # Errors
/// - 413 above [`Limits::body_bytes`], immediately if `Content-Length` says so;
/// - 408 after [`Limits::body_timeout`];
/// - 400 if the body is incomplete;
/// - 503 if it is incomplete [`Limits::stop_grace`] after the stop, or if it is large and
///   [`Limits::large_bodies`] others are being read.
pub(super) async fn read(
    body: Incoming,
    limits: &Limits,
    connection: &ConnectionState,
) -> Result<Vec<u8>, Problem> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limits.body_bytes {
        return Err(too_large(limits));
    }
    // One buffer for all frames: many small frames take no more memory than the limit.
    let mut whole = Vec::with_capacity(announced.min(SMALL));
    let mut permit = None;
    let mut body = Limited::new(body, limits.body_bytes);
    let mut reading = pin!(async {
        while let Some(frame) = body.frame().await {
            let data = match frame {
                Ok(frame) => frame.into_data().unwrap_or_default(),
                Err(error) if error.is::<LengthLimitError>() => return Err(too_large(limits)),
                Err(error) => {
                    tracing::debug!(%error, "a request's body broke off");
                    let message = "the body could not be read to its end";
                    return Err(Problem::new(StatusCode::BAD_REQUEST, message));
                }
            };
            if whole.len() + data.len() > SMALL && permit.is_none() {
                let taken = connection.large_body();
                permit = Some(taken.ok_or_else(|| Problem::unavailable(MANY))?);
            }
            whole.extend_from_slice(&data);
        }
        Ok(whole)
    });
    // Most bodies have arrived already and need no timer.
    if let Some(read) = reading.as_mut().now_or_never() {
        return read;
    }
    tokio::select! {
        // A body that arrives together with the deadline is accepted.
        biased;
        read = timeout(limits.body_timeout, reading) => read.unwrap_or_else(|_| {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time").closing())
        }),
        () = connection.stopped_for(limits.stop_grace) => {
            Err(Problem::unavailable(STOPPING).closing())
        }
    }
}

fn too_large(limits: &Limits) -> Problem {
    let message = format!("the body must not exceed {} bytes", limits.body_bytes);
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message).closing()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn json_is_told_by_its_essence_in_any_case_with_any_parameters() {
        let with = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        for value in ["application/json", "Application/JSON ; charset=UTF-8", "application/json;"] {
            assert!(is_json(&with(header::CONTENT_TYPE, value)), "{value}");
        }
        for value in ["", "text/plain", "application/json5", "application/problem+json", "json"] {
            assert!(!is_json(&with(header::CONTENT_TYPE, value)), "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
        let mut packed = with(header::CONTENT_TYPE, "application/json");
        packed.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(!is_json(&packed));
    }
}
