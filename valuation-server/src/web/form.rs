//! What an HTML form sends, and a query.

use url::form_urlencoded;

/// The type of a form's body.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The first value of a field, decoded.
#[must_use]
pub fn field(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
