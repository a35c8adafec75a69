//! The operator's page: a pure function of its [`figures`](Overview).
//!
//! The server renders named parts, elements with an id: all of them into the page, so that the first
//! paint is complete, and those that change into updates, which the script puts in their place. Forms
//! are in no part, so that an update never takes away what somebody types.

mod chart;
mod configuration;
mod figures;
mod fleet;
mod format;
mod latency;
mod live;
mod nodes;
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

pub use configuration::{Configuration, Document, SettingInForce, Trouble};
pub use figures::*;
pub use fleet::{Bus, Fleet, FleetOrder, Node};

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
    parts.extend([configuration::part(&overview.configuration, overview.now)]);
    render(&Page { title: live::title(overview), overview, parts })
}

/// The parts that may change each second, and the settings in force of each failover, as JSON:
/// `{"title": "…", "settings": {"name": {"key": "value", …}}, "parts": {"id": "HTML", …}}`.
#[must_use]
pub fn now(overview: &Overview) -> String {
    let settings = |failover: &Failover| {
        let pairs = failover.settings.iter().map(|setting| (setting.key, setting.value.clone()));
        (failover.name.clone(), pairs.collect())
    };
    updates(&Updates {
        title: Some(live::title(overview)),
        settings: Some(overview.failovers.iter().map(settings).collect()),
        parts: live::of_now(overview).into_iter().collect(),
    })
}

/// The parts that change every ten seconds, as JSON like [`now`], parts alone. `histories` are those
/// of `overview.failovers`, in the same order.
#[must_use]
pub fn history(overview: &Overview, histories: &[History]) -> String {
    let configuration = configuration::part(&overview.configuration, overview.now);
    let parts = trend::of_history(histories).into_iter().chain([configuration]).collect();
    updates(&Updates { title: None, settings: None, parts })
}

#[derive(Serialize)]
struct Updates {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<BTreeMap<String, BTreeMap<&'static str, String>>>,
    parts: BTreeMap<String, String>,
}

fn updates(updates: &Updates) -> String {
    serde_json::to_string(updates).expect("texts have a JSON form")
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
            for update in [now(&overview), history(&overview, &histories)] {
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
    fn an_order_is_shown_with_its_whole_reason_and_a_transition_without_its_advice() {
        let mut overview = samples::healthy();
        let at = overview.now;
        let shown = |kind, message: &str| Event { at, kind, message: message.into() };
        overview.failovers[0].events = vec![
            shown(
                EventKind::Order { by: "192.0.2.7".into() },
                "FORCE_FALLBACK: a test. Call Ann. Now",
            ),
            shown(
                EventKind::Transition { route: failover::Route::Fallback },
                "failover: so. Advice",
            ),
            shown(EventKind::Note, "client errors: check the key. They count as answers"),
        ];
        let html = now(&overview);
        assert!(html.contains("FORCE_FALLBACK: a test. Call Ann. Now, by 192.0.2.7<"), "{html}");
        assert!(
            html.contains("failover: so<") && html.contains("They count as answers<"),
            "{html}"
        );
    }

    #[test]
    fn an_hour_in_which_the_fallback_alone_was_asked_has_calls_but_no_failure_rate() {
        let mut histories = all().remove(2).2;
        for point in &mut histories[0].points {
            (point.counted, point.failures, point.primary, point.fallback) = (0, 0, 0, 5);
        }
        let update: serde_json::Value =
            serde_json::from_str(&history(&samples::healthy(), &histories)).unwrap();
        let part = |id: &str| update["parts"][id].as_str().unwrap().to_owned();
        assert!(part("f0-rate").contains("no calls to SuperCar in the last hour"));
        assert!(!part("f0-calls").contains("no calls"));
    }

    #[test]
    fn an_update_has_the_settings_in_force_for_the_form() {
        let mut overview = samples::healthy();
        overview.failovers[0].settings[0].value = "1/3".into();
        let update: serde_json::Value = serde_json::from_str(&now(&overview)).unwrap();
        let key = overview.failovers[0].settings[0].key;
        assert_eq!(update["settings"]["valuations"][key], "1/3");
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
