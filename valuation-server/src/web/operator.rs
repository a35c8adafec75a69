//! The operator's page: a pure function of its [`figures`](Overview).
//!
//! The server renders named parts, elements with an id: all of them into the page, so that the first
//! paint is complete, and those that change into updates, which the script puts in their place. Forms
//! are in no part, so that an update never takes away what somebody types.

mod chart;
mod figures;
mod format;
mod latency;
mod live;
mod sentence;
mod trend;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod sentence_tests;

use std::collections::BTreeMap;

use askama::Template;
use serde::Serialize;

use super::assets::{Asset, assets};
use crate::domain::Provider;

pub use figures::*;

/// The files that the page loads.
pub const ASSETS: &[Asset] = assets![
    "operator",
    "operator.css" = "text/css; charset=utf-8",
    "operator.js" = "text/javascript; charset=utf-8",
    "orders.js" = "text/javascript; charset=utf-8"
];

/// The whole page. `histories` are those of `overview.failovers`, in the same order.
#[must_use]
pub fn page(overview: &Overview, histories: &[History]) -> String {
    let mut parts: BTreeMap<_, _> = live::of_now(overview).into_iter().collect();
    parts.extend(trend::of_history(histories));
    render(&Page { title: live::title(overview), overview, parts })
}

/// The parts that may change each second, as JSON: `{"title": "…", "parts": {"id": "HTML", …}}`.
#[must_use]
pub fn now(overview: &Overview) -> String {
    updates(Some(live::title(overview)), live::of_now(overview))
}

/// The parts that change every ten seconds, as JSON like [`now`], without a title. `histories` are those
/// of the overview's failovers, in the same order.
#[must_use]
pub fn history(histories: &[History]) -> String {
    updates(None, trend::of_history(histories))
}

fn updates(title: Option<String>, parts: Vec<Part>) -> String {
    #[derive(Serialize)]
    struct Updates {
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        parts: BTreeMap<String, String>,
    }
    let updates = Updates { title, parts: parts.into_iter().collect() };
    serde_json::to_string(&updates).expect("texts have a JSON form")
}

/// A part: the id of its element, and what is in it.
type Part = (String, String);

fn render(template: &impl Template) -> String {
    template.render().expect("a value that is shown writes to a String, which does not fail")
}

#[derive(Template)]
#[template(path = "operator/page.html")]
struct Page<'a> {
    title: String,
    overview: &'a Overview,
    parts: BTreeMap<String, String>,
}

impl Page<'_> {
    /// How many settings are shown at once: the thresholds and the time on the fallback.
    const FIRST_SETTINGS: usize = 4;

    /// A part, as HTML.
    fn part(&self, id: &str) -> String {
        let html = self.parts.get(id).map_or("", String::as_str);
        format!("<div id=\"{id}\" data-part>{html}</div>")
    }

    /// A part of a failover.
    fn of(&self, failover: &usize, part: &str) -> String {
        self.part(&format!("f{failover}-{part}"))
    }

    fn short(&self, provider: &Provider) -> &'static str {
        format::short(*provider)
    }
}

impl Failover {
    /// The provider that is asked first now.
    fn asked(&self) -> Provider {
        match self.decision.route {
            failover::Route::Primary => self.primary,
            failover::Route::Fallback => self.fallback,
        }
    }
}

impl Decision {
    /// Whether the window's counts lead to a decision, or would: not while only probes are sent.
    fn is_counted(&self) -> bool {
        self.route == failover::Route::Primary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each sample: its name, what is shown, and the history.
    fn all() -> Vec<(&'static str, Overview, Vec<History>)> {
        samples::all()
    }

    #[test]
    fn the_page_and_its_updates_show_the_same_parts() {
        for (name, overview, histories) in all() {
            let page = page(&overview, &histories);
            for update in [now(&overview), history(&histories)] {
                let update: serde_json::Value = serde_json::from_str(&update).unwrap();
                for (id, html) in update["parts"].as_object().unwrap() {
                    let part =
                        format!("<div id=\"{id}\" data-part>{}</div>", html.as_str().unwrap());
                    assert!(page.contains(&part), "{name}: {id}");
                }
            }
        }
    }

    #[test]
    fn the_page_is_small_and_an_update_much_smaller() {
        for (name, overview, histories) in all() {
            let sizes = [page(&overview, &histories).len(), now(&overview).len()];
            assert!(sizes[0] < 60 << 10 && sizes[1] < 8 << 10, "{name}: {sizes:?}");
        }
    }

    #[test]
    fn nothing_is_inline_that_the_content_security_policy_forbids() {
        for (name, overview, histories) in all() {
            let page = page(&overview, &histories);
            for forbidden in [" style=", "<style", " onclick", " onload", "javascript:", "http://"]
            {
                assert!(!page.contains(forbidden), "{name}: {forbidden}");
            }
            assert_eq!(
                page.matches("<script").count(),
                page.matches("<script src=").count(),
                "{name}"
            );
        }
    }

    #[test]
    fn texts_of_others_are_escaped() {
        let hostile = r#""><script>alert(1)</script>"#;
        let mut overview = samples::healthy();
        overview.warnings = vec![Warning { text: hostile.into() }];
        let failover = &mut overview.failovers[0];
        let at = overview.now;
        let kind = EventKind::Order { by: hostile.into() };
        failover.events = vec![Event { at, kind, message: hostile.into() }];
        failover.settings[0].value = hostile.into();
        failover.failed_calls = vec![FailedCall {
            at,
            provider: Provider::SuperCar,
            vrm: "a/b c\"é".into(),
            code: hostile.into(),
            status: None,
            duration: std::time::Duration::MAX,
        }];
        let page = page(&overview, &[]);
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("href=\"/admin/valuations/a%2Fb%20c%22%C3%A9\""), "{page}");
    }

    #[test]
    fn a_countdown_says_what_happens_at_its_end() {
        let until = |overview: &Overview| {
            let update: serde_json::Value = serde_json::from_str(&now(overview)).unwrap();
            let html = update["parts"]["f0-countdown"].as_str().unwrap();
            let text = html.replace("</span></p>", "");
            text.rsplit('>').next().unwrap_or_default().to_owned()
        };
        let expected = [
            ("primary", ""),
            ("outage", "until SuperCar is asked again"),
            ("forced", "until the order ends"),
            ("probing", ""),
            ("returning", "until all calls go to SuperCar"),
            ("dry-run", "until it would be over"),
        ];
        for (name, expected) in expected {
            let (_, overview, _) = all().into_iter().find(|(known, ..)| *known == name).unwrap();
            assert_eq!(until(&overview), expected, "{name}");
        }
    }

    #[test]
    fn a_session_can_be_ended_and_a_cold_start_has_a_page() {
        let mut overview = samples::healthy();
        assert!(!page(&overview, &[]).contains("Log out"));
        overview.has_session = true;
        assert!(page(&overview, &[]).contains("action=\"/logout\""));
        overview.failovers.clear();
        assert!(page(&overview, &[]).contains("</html>"));
    }

    /// `OPERATOR_PAGES=folder` writes the pages there, to be looked at.
    #[test]
    fn every_state_has_its_page() {
        let folder = std::env::var_os("OPERATOR_PAGES");
        for (name, overview, histories) in all() {
            let page = page(&overview, &histories);
            assert!(page.contains("is asked"), "{name}");
            if let Some(folder) = &folder {
                let path = std::path::Path::new(folder).join(format!("{name}.html"));
                std::fs::write(path, page).unwrap();
            }
        }
    }
}
