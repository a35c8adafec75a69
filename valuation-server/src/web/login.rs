//! The operators' login: a form for the token. It needs no JavaScript.

use askama::Template;

/// The page.
#[derive(Clone, Copy, Debug, Template)]
#[template(path = "operator/login.html")]
pub struct LoginPage {
    /// What was wrong with the last attempt.
    pub error: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_describes_its_field_and_only_if_there_is_one() {
        let page = |error| LoginPage { error }.render().unwrap();
        let (plain, wrong) = (page(None), page(Some("This is not it")));
        for page in [&plain, &wrong] {
            assert!(page.contains(r#"<label for="token">"#), "{page}");
            assert!(page.contains(r#"autocomplete="current-password""#), "{page}");
        }
        assert!(!plain.contains("aria-invalid") && !plain.contains("alert"), "{plain}");
        assert!(wrong.contains(r#"aria-describedby="error""#), "{wrong}");
        assert!(wrong.contains(r#"id="error" role="alert">This is not it<"#), "{wrong}");
    }
}
