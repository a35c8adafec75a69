//! The report about a service level agreement: a page with a form, and files.

use std::pin::Pin;

use askama::Template;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use url::form_urlencoded;

use super::answers::{Answer, Problem, answer};
use super::{Operated, Refusal};
use crate::web::accept::wants_html;
use crate::web::report::Page;

/// Says when another report can be made.
const RETRY_AFTER: &str = "2";

/// The future of [`Operated::report`]: the report as a text.
pub type Reporting = Pin<Box<dyn Future<Output = Result<String, ReportProblem>> + Send>>;

/// A report that an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRequest {
    /// Its terms: names and texts.
    pub terms: Vec<(String, String)>,
    /// What it is written as; `None`: none is made, and the terms alone are checked.
    pub format: Option<ReportFormat>,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// An HTML element, for the page.
    Article,
    /// A page in one file.
    Html,
    /// Text.
    Table,
    /// Comma-separated values.
    Csv,
    /// JSON.
    Json,
}

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportProblem {
    /// These terms are wrong.
    Wrong(Vec<Refusal>),
    /// There is none now: the log can't be read, or another report is being made.
    Unavailable(String),
}

impl ReportFormat {
    /// The format of this name.
    fn named(name: &str) -> Option<Self> {
        match name {
            "html" => Some(Self::Html),
            "table" => Some(Self::Table),
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Its content type, and how a browser saves it.
    fn file(self) -> (&'static str, &'static str) {
        match self {
            Self::Article | Self::Html => {
                ("text/html; charset=utf-8", "attachment; filename=\"service-level-report.html\"")
            }
            Self::Table => ("text/plain; charset=utf-8", "inline"),
            Self::Csv => {
                ("text/csv; charset=utf-8", "attachment; filename=\"service-level-report.csv\"")
            }
            Self::Json => {
                ("application/json", "attachment; filename=\"service-level-report.json\"")
            }
        }
    }
}

/// Answers a GET: with the page for browsers, and JSON for others, unless a format is named. A browser that
/// names no terms gets the form alone. For a HEAD no report is made: its length is not known.
pub(super) async fn show(operated: &dyn Operated, parts: &Parts) -> Result<Answer, Problem> {
    let query = parts.uri.query().unwrap_or_default();
    let pairs: Vec<(String, String)> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let (formats, terms): (Vec<_>, Vec<_>) =
        pairs.into_iter().partition(|(name, _)| name == "format");
    let named = formats.last().map(|(_, name)| name.as_str());
    let is_page = named.is_none() && wants_html(&parts.headers);
    let format = match named {
        Some(name) => ReportFormat::named(name).ok_or_else(|| {
            let message = format!("no format {name}; choose html, csv, json or table");
            Problem::field("format", message)
        })?,
        None if is_page => ReportFormat::Article,
        None => ReportFormat::Json,
    };
    if is_page && terms.is_empty() {
        return Ok(page(StatusCode::OK, &Page::default()));
    }
    let is_head = parts.method == Method::HEAD;
    let given = terms.clone();
    let request = ReportRequest { terms, format: (!is_head).then_some(format) };
    match operated.report(request).await {
        Ok(_) if is_head => Ok(file(format, String::new())),
        Ok(article) if is_page => {
            let page = &Page { given, article: Some(article), ..Page::default() };
            Ok(self::page(StatusCode::OK, page))
        }
        Ok(text) => Ok(file(format, text)),
        Err(problem) if is_page => Ok(wrong_page(given, problem)),
        Err(ReportProblem::Wrong(wrong)) => Err(wrong_terms(&wrong)),
        Err(ReportProblem::Unavailable(message)) => {
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message)
                .with(header::RETRY_AFTER, RETRY_AFTER))
        }
    }
}

fn file(format: ReportFormat, text: String) -> Answer {
    let (content_type, disposition) = format.file();
    let mut answer = answer(content_type, text);
    let disposition = HeaderValue::from_static(disposition);
    answer.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    answer
}

fn page(status: StatusCode, page: &Page) -> Answer {
    let html =
        page.render().expect("a value that is shown writes to a String, which does not fail");
    let mut answer = answer("text/html; charset=utf-8", html);
    *answer.status_mut() = status;
    answer
}

fn wrong_page(given: Vec<(String, String)>, problem: ReportProblem) -> Answer {
    match problem {
        ReportProblem::Wrong(wrong) => {
            let wrong = wrong.into_iter().map(|Refusal { field, message }| (field, message));
            let shown = Page { given, wrong: wrong.collect(), ..Page::default() };
            page(StatusCode::BAD_REQUEST, &shown)
        }
        ReportProblem::Unavailable(message) => {
            let shown = Page { given, trouble: Some(message), ..Page::default() };
            let mut answer = page(StatusCode::SERVICE_UNAVAILABLE, &shown);
            let retry_after = HeaderValue::from_static(RETRY_AFTER);
            answer.headers_mut().insert(header::RETRY_AFTER, retry_after);
            answer
        }
    }
}

/// All messages; the member `field` names the first.
fn wrong_terms(wrong: &[Refusal]) -> Problem {
    let field = wrong.first().map_or("", |first| first.field.as_str());
    let texts: Vec<_> =
        wrong.iter().map(|wrong| format!("{}: {}", wrong.field, wrong.message)).collect();
    Problem::field(field, texts.join("; "))
}
