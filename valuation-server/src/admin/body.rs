//! Reads a request's body, bounded in bytes. The stack bounds its time.

use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::HeaderMap;

use super::answers::Problem;
use crate::web::accept::is_of_type;

/// Reads the whole body of this type, of at most `largest` bytes.
///
/// # Errors
/// 415 for another type, 413 for a larger body.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    content_type: &'static str,
    largest: usize,
) -> Result<Bytes, Problem> {
    if !is_of_type(headers, content_type) {
        let message = format!("the body must be sent as Content-Type: {content_type}");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let too_large = || {
        let message = format!("the body must come whole and not exceed {largest} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    if body.size_hint().lower() > largest as u64 {
        return Err(too_large());
    }
    let body = Limited::new(body, largest).collect().await.map_err(|_| too_large())?;
    Ok(body.to_bytes())
}
