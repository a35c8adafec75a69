//! The descriptions of both listeners: OpenAPI 3.1, with a readable page of each.
//!
//! `public.json` and `admin.json` are the sources. They are OpenAPI with five abbreviations, which
//! `expand` writes out:
//!
//! - a text in the place of a response, header or parameter refers to that component;
//! - the responses of `x-everywhere` belong to every operation that has none of that status;
//! - the headers of `x-headers` belong to every response that has none of that name;
//! - each path with GET has HEAD;
//! - each path has OPTIONS, with the response `Preflight` if there is one.
//!
//! The integration tests hold every answer that they get against the document.

mod expand;
mod layout;
mod page;

use std::sync::LazyLock;

use askama::Template as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{self, HeaderMap};
use serde_json::Value;

use super::assets::{Asset, CONTENT_SECURITY_POLICY};
use page::Page;

/// A listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The customers'.
    Public,
    /// The operators'.
    Operators,
}

/// A file of a description. Each listener has all of them, at the same paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The document.
    Document,
    /// The readable page.
    Page,
    /// The page's style sheet.
    Style,
}

/// What depends on the side.
struct Description {
    document: Asset,
    page: Asset,
}

const STYLE: Asset =
    Asset::new("openapi.css", "text/css; charset=utf-8", include_str!("openapi.css"));

static PUBLIC: LazyLock<Description> =
    LazyLock::new(|| Description::of(include_str!("public.json")));
static OPERATORS: LazyLock<Description> =
    LazyLock::new(|| Description::of(include_str!("admin.json")));

impl Part {
    const ALL: [Self; 3] = [Self::Document, Self::Page, Self::Style];

    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Document => "/openapi.json",
            Self::Page => "/openapi",
            Self::Style => "/openapi.css",
        }
    }

    /// The part at a path.
    #[must_use]
    pub fn at(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.path() == path)
    }

    /// The answer to a GET with these headers: the part of `side`, or 304.
    #[must_use]
    pub fn answer(self, side: Side, request: &HeaderMap) -> Response<Full<Bytes>> {
        let description = match side {
            Side::Public => &*PUBLIC,
            Side::Operators => &*OPERATORS,
        };
        let asset = match self {
            Self::Document => description.document,
            Self::Page => description.page,
            Self::Style => STYLE,
        };
        let mut answer = asset.answer(request);
        if self == Self::Page {
            answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
        }
        answer
    }
}

impl Description {
    /// # Panics
    /// If the source, which is embedded, is not an OpenAPI document.
    fn of(source: &str) -> Self {
        let document = expanded(source);
        let page = Page::of(&document).render().expect("a page is written to memory");
        // Leaked once for each side: an asset's text lives as long as the program.
        Self {
            document: Asset::new("openapi.json", "application/json", document.to_string().leak()),
            page: Asset::new("openapi", "text/html; charset=utf-8", page.leak()),
        }
    }
}

fn expanded(source: &str) -> Value {
    expand::expanded(serde_json::from_str(source).expect("the embedded source is JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const SOURCES: [&str; 2] = [include_str!("public.json"), include_str!("admin.json")];

    /// The references below a value.
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_component_is_used() {
        // The test harness holds these against what no operation has.
        let elsewhere =
            ["#/components/responses/MethodNotAllowed", "#/components/responses/NoRoute"];
        for source in SOURCES {
            let document = expanded(source);
            let mut found = Vec::new();
            references(&document, &mut found);
            for reference in &found {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(document.pointer(pointer).is_some(), "{reference}");
            }
            let used: BTreeSet<_> = found.into_iter().chain(elsewhere).collect();
            for (kind, components) in document["components"].as_object().unwrap() {
                for name in components.as_object().unwrap().keys() {
                    let reference = format!("#/components/{kind}/{name}");
                    let is_used = kind == "securitySchemes" || used.contains(&*reference);
                    assert!(is_used, "{reference} is used nowhere");
                }
            }
        }
    }

    #[test]
    fn operations_have_ids_of_their_own() {
        for source in SOURCES {
            let document = expanded(source);
            let mut ids = BTreeSet::new();
            for item in document["paths"].as_object().unwrap().values() {
                for operation in item.as_object().unwrap().values().filter(|o| o.is_object()) {
                    let id = operation["operationId"].as_str().unwrap().to_owned();
                    assert!(ids.insert(id.clone()), "{id}");
                }
            }
        }
    }

    #[test]
    fn the_settings_of_a_policy_are_those_that_can_be_changed() {
        let document = expanded(SOURCES[1]);
        let known: BTreeSet<_> =
            crate::config::Setting::live().map(crate::config::Setting::key).collect();
        for schema in ["Settings", "Policy"] {
            let pointer = format!("/components/schemas/{schema}/properties");
            let documented = document.pointer(&pointer).unwrap().as_object().unwrap();
            // Which nodes a change is for, and how long, is no setting.
            let others = ["scope", "persist"];
            let names = documented.keys().map(String::as_str);
            let documented: BTreeSet<_> = names.filter(|name| !others.contains(name)).collect();
            assert_eq!(documented, known, "{schema}");
        }
    }

    #[test]
    fn the_page_shows_each_operation_and_nothing_inline() {
        for side in [Side::Public, Side::Operators] {
            let description = if side == Side::Public { &*PUBLIC } else { &*OPERATORS };
            let page = Page::of(&expanded(SOURCES[usize::from(side == Side::Operators)]));
            assert!(page.operations() >= 8);
            let html = page.render().unwrap();
            assert!(
                !html.contains("<script") && !html.contains(" style=") && !html.contains("<style")
            );
            assert!(html.len() < 100_000, "{}", html.len());
            // The headers of all answers are shown once.
            let shown = usize::from(side == Side::Operators);
            assert_eq!(html.matches("Referrer-Policy").count(), shown);
            let answer = Part::Page.answer(side, &HeaderMap::new());
            assert_eq!(answer.headers()[header::CONTENT_SECURITY_POLICY], CONTENT_SECURITY_POLICY);
            assert_eq!(description.page.name, "openapi");
        }
    }
}
