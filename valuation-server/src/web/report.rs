//! The page of the report about a service level agreement: a form for its terms, and the report. It needs
//! no JavaScript.

use askama::Template;
use url::form_urlencoded;

use super::assets::{Asset, assets};

/// The files that the page loads.
pub const ASSETS: &[Asset] = assets![
    "report",
    "report.css" = "text/css; charset=utf-8",
    "report-form.css" = "text/css; charset=utf-8"
];

/// The page in one of its states.
#[derive(Clone, Debug, Default, PartialEq, Eq, Template)]
#[template(path = "report/page.html")]
pub struct Page {
    /// The terms by their names, as they were given.
    pub given: Vec<(String, String)>,
    /// What is wrong with a term: its name, and a message.
    pub wrong: Vec<(String, String)>,
    /// Why there is no report, if it is no term's fault.
    pub trouble: Option<String>,
    /// The report, as HTML.
    pub article: Option<String>,
}

impl Page {
    /// What stands in a field.
    fn value(&self, name: &str) -> String {
        let values = self.given.iter().filter(|(given, _)| given == name);
        values.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// What is wrong with a field.
    fn error(&self, name: &str) -> Option<String> {
        let wrong = self.wrong.iter().filter(|(field, _)| field == name);
        let texts: Vec<_> = wrong.map(|(_, message)| message.as_str()).collect();
        (!texts.is_empty()).then(|| texts.join("; "))
    }

    /// Errors of parameters that have no field.
    fn others(&self) -> Vec<&str> {
        let has_field = |name: &str| FIELDS.iter().any(|field| field.name == name) || name == "by";
        let others = self.wrong.iter().filter(|(field, _)| !has_field(field));
        others.map(|(_, message)| message.as_str()).collect()
    }

    /// The same report as a file.
    fn file(&self, format: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.given.iter().filter(|(_, value)| !value.is_empty()));
        query.append_pair("format", format);
        format!("/report?{}", query.finish())
    }
}

/// A field of the form.
struct Field {
    name: &'static str,
    label: &'static str,
    help: &'static str,
}

const FIELDS: &[Field] = &[
    Field {
        name: "from",
        label: "From",
        help: "2026-10, 2026-10-25 or 2026-10-25T01:30; empty: the first call",
    },
    Field { name: "to", label: "To before", help: "2026-11; empty: the last call" },
    Field {
        name: "provider",
        label: "Provider",
        help: "its name, or the beginning of it; empty: all",
    },
    Field { name: "time-zone", label: "Time zone", help: "such as Europe/London; empty: UTC" },
    Field { name: "target", label: "Target", help: "the agreed availability, such as 99.9%" },
    Field { name: "slow", label: "Slow above", help: "such as 2s" },
    Field {
        name: "exclude",
        label: "Not counted",
        help: "each line FROM/TO=NAME, such as 2026-05-03T01:00/2026-05-03T03:00=maintenance",
    },
];

const LENGTHS: [&str; 4] = ["month", "week", "day", "hour"];
const FORMATS: [(&str, &str); 3] =
    [("html", "HTML to send or print"), ("csv", "CSV"), ("json", "JSON")];

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn what_was_given_is_repeated_escaped_with_its_errors_and_in_the_links() {
        let hostile = r#""><script>alert(1)</script>&'"#;
        let page = Page {
            given: vec![pair("from", hostile), pair("exclude", "a"), pair("exclude", hostile)],
            wrong: vec![pair("from", hostile), pair(hostile, "no such parameter")],
            ..Page::default()
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script>alert"), "{html}");
        assert!(
            html.contains(r#"aria-invalid="true" aria-describedby="from-help from-error""#),
            "{html}"
        );
        assert!(html.contains("no such parameter"), "{html}");
        assert!(!html.contains("format=csv"), "there is no report: {html}");
        let page = Page { article: Some("<p>it</p>".to_owned()), wrong: Vec::new(), ..page };
        let html = page.render().unwrap();
        assert!(html.contains("<p>it</p>"), "{html}");
        assert!(html.contains("exclude=a&#38;exclude=%22%3E%3Cscript%3E"), "{html}");
    }

    #[test]
    fn nothing_is_inline_that_the_content_security_policy_forbids() {
        let html = Page::default().render().unwrap();
        for forbidden in [" style=", "<style", "<script", "javascript:", "http://"] {
            assert!(!html.contains(forbidden), "{forbidden}");
        }
    }
}
