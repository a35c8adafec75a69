//! A document at a URL: one bounded request at a time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, DATE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, USER_AGENT,
};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::{Client, Method, Request, Response};
use tokio::time::timeout;

use super::consul::{self, Index};
use super::{Access, Document, LONGEST, Place, Unread};
use crate::providers::{BaseUrl, Names, anonymous_tls, without_credentials};

const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("valuation-server/", env!("CARGO_PKG_VERSION")));
/// From this difference on between `Date` and `Last-Modified` a second change has another `Last-Modified`, which
/// has whole seconds (RFC 9110, section 8.8.2.2).
const STRONG: i64 = 1;

/// Asks for a document again and again. Redirects are not followed, the system's proxies are not used.
#[derive(Debug)]
pub(super) struct Poller {
    client: Client,
    url: Arc<BaseUrl>,
    headers: HeaderMap,
    /// What makes the next request conditional.
    condition: Option<(HeaderName, HeaderValue)>,
    index: Index,
}

impl Poller {
    /// # Errors
    /// If a certificate is missing or unusable.
    pub(super) fn new(url: &Arc<BaseUrl>, access: &Access) -> Result<Self, Unread> {
        let ca = access.ca.as_deref();
        let tls = anonymous_tls("VALUATION_CONFIG_CA", ca, url.is_https())
            .map_err(|error| Unread::Client(error.into()))?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(Names::of_system()))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| Unread::Client(error.into()))?;
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(USER_AGENT, OURSELVES);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(authorization) = access.authorization.clone().or_else(|| url.authorization()) {
            headers.insert(AUTHORIZATION, authorization);
        }
        Ok(Self { client, url: Arc::clone(url), headers, condition: None, index: Index::default() })
    }

    /// Whether a request can wait for a change.
    pub(super) fn can_wait(&self) -> bool {
        self.index.can_wait()
    }

    /// The document, or `None` if the server says that it has not changed. The answer may take as long as
    /// `deadline`, and if it can wait for a change, up to `wait` more.
    ///
    /// After an error the next request does not wait: the server may be another one.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection, and leaves the state of the last answer.
    pub(super) async fn ask(
        &mut self,
        deadline: Duration,
        wait: Option<Duration>,
    ) -> Result<Option<Document>, Unread> {
        let wait = wait.filter(|_| self.can_wait());
        let limit = deadline + wait.map_or(Duration::ZERO, consul::longest);
        let asked = match timeout(limit, self.exchange(wait)).await {
            Ok(asked) => asked,
            Err(_) => Err(Unread::Late(limit)),
        };
        match asked {
            Ok(Answer { index, condition, document }) => {
                self.index = index;
                if document.is_some() {
                    self.condition = condition;
                }
                Ok(document)
            }
            Err(error) => {
                (self.index, self.condition) = (Index::default(), None);
                Err(error)
            }
        }
    }

    async fn exchange(&self, wait: Option<Duration>) -> Result<Answer, Unread> {
        let mut url = without_credentials(self.url.url().clone());
        if let Some(wait) = wait {
            let query = self.index.query(url.query(), wait);
            url.set_query(Some(&query));
        }
        let mut request = Request::new(Method::GET, url);
        *request.headers_mut() = self.headers.clone();
        if let Some((name, value)) = self.condition.clone() {
            request.headers_mut().insert(name, value);
        }
        let response = self.client.execute(request).await.map_err(Unread::unanswered)?;
        let headers = response.headers();
        let index = headers.get(consul::HEADER);
        let index = self.index.after(index.and_then(|value| value.to_str().ok()));
        let condition = condition(headers);
        match response.status().as_u16() {
            200 => {}
            304 if self.condition.is_some() => {
                return Ok(Answer { index, condition, document: None });
            }
            status => return Err(Unread::Status(status)),
        }
        let read_at = SystemTime::now();
        let modified = time(headers, &LAST_MODIFIED).map_or(read_at, Into::into);
        let text = String::from_utf8(body(response).await?).map_err(|_| Unread::NotUtf8)?;
        let place = Place::Url(Arc::clone(&self.url));
        Ok(Answer { index, condition, document: Some(Document { place, text, read_at, modified }) })
    }
}

struct Answer {
    index: Index,
    condition: Option<(HeaderName, HeaderValue)>,
    document: Option<Document>,
}

fn time(headers: &HeaderMap, name: &HeaderName) -> Option<Timestamp> {
    let text = headers.get(name)?.to_str().ok()?;
    Some(rfc2822::parse(text).ok()?.timestamp())
}

/// The condition of the next request, if the answer has what it needs.
fn condition(headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    if let Some(tag) = headers.get(ETAG) {
        return Some((IF_NONE_MATCH, tag.clone()));
    }
    let (modified, date) = (time(headers, &LAST_MODIFIED)?, time(headers, &DATE)?);
    let is_strong = date.as_second().saturating_sub(modified.as_second()) >= STRONG;
    is_strong.then(|| Some((IF_MODIFIED_SINCE, headers.get(LAST_MODIFIED)?.clone()))).flatten()
}

async fn body(mut response: Response) -> Result<Vec<u8>, Unread> {
    if response.headers().get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(Unread::Compressed);
    }
    if response.content_length().is_some_and(|length| length > LONGEST as u64) {
        return Err(Unread::TooLong);
    }
    let mut body = Vec::new();
    while let Some(data) = response.chunk().await.map_err(Unread::unanswered)? {
        if body.len() + data.len() > LONGEST {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&data);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition_of(answer: &[(HeaderName, &'static str)]) -> Option<(HeaderName, HeaderValue)> {
        let headers =
            answer.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        condition(&headers.collect())
    }

    #[test]
    fn a_request_is_conditional_by_the_tag_or_by_a_time_that_a_second_change_would_change() {
        const AT: &str = "Mon, 30 Nov 2026 20:00:00 GMT";
        const LATER: &str = "Mon, 30 Nov 2026 20:00:01 GMT";
        let tag = Some((IF_NONE_MATCH, HeaderValue::from_static("\"a\"")));
        assert_eq!(condition_of(&[(ETAG, "\"a\""), (LAST_MODIFIED, AT), (DATE, LATER)]), tag);
        let since = Some((IF_MODIFIED_SINCE, HeaderValue::from_static(AT)));
        assert_eq!(condition_of(&[(LAST_MODIFIED, AT), (DATE, LATER)]), since);
        for answer in [
            &[(LAST_MODIFIED, AT), (DATE, AT)][..],
            &[(LAST_MODIFIED, AT)],
            &[(LAST_MODIFIED, "yesterday"), (DATE, LATER)],
            &[(DATE, LATER)],
        ] {
            assert_eq!(condition_of(answer), None, "{answer:?}");
        }
    }
}
