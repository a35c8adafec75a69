//! Every answer of the test run is held against the OpenAPI document of its listener.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex};

use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::header::HeaderMap;
use jsonschema::Validator;
use serde_json::{Value, json};
use valuation_server::web::openapi::{Part, Side};

/// An answer as a client sees it.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) status: u16,
    /// The names are in lower case.
    pub(crate) headers: &'a [(String, String)],
    /// `None` if it was not read: the answer to HEAD has none.
    pub(crate) body: Option<&'a str>,
}

/// A listener's document.
pub(crate) struct Document {
    root: Value,
    /// By their schemas.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// The methods of a document that an operation can have.
const METHODS: [&str; 6] = ["get", "head", "post", "put", "delete", "options"];

/// The components that are errors before a path is looked at, by status.
const ANYWHERE: [(u16, &str); 10] = [
    (400, "BadRequest"),
    (401, "Unauthorized"),
    (403, "Forbidden"),
    (408, "RequestTimeout"),
    (413, "ContentTooLarge"),
    (421, "Misdirected"),
    (429, "TooManyGuesses"),
    (431, "HeadTooLarge"),
    (500, "Fault"),
    (503, "Unavailable"),
];

/// The headers that say something only if they are documented.
const MEANT: [&str; 6] =
    ["allow", "etag", "location", "retry-after", "set-cookie", "www-authenticate"];

/// The document that a listener serves.
pub(crate) fn document(side: Side) -> &'static Document {
    static PUBLIC: LazyLock<Document> = LazyLock::new(|| Document::of(Side::Public));
    static OPERATORS: LazyLock<Document> = LazyLock::new(|| Document::of(Side::Operators));
    match side {
        Side::Public => &PUBLIC,
        Side::Operators => &OPERATORS,
    }
}

/// Panics unless the document has this answer to this method and target: its status, headers, content
/// type and body. Without a request, which the server may not have read, it is one of the errors that
/// any request can get.
#[track_caller]
pub(crate) fn conforms(document: &Document, request: Option<(&str, &str)>, seen: &Seen<'_>) {
    if let Err(fault) = document.check(request, seen) {
        panic!("{request:?}: {fault}: {seen:?}");
    }
}

impl Document {
    fn of(side: Side) -> Self {
        let body = Part::Document.answer(side, &HeaderMap::new()).into_body();
        let text = body.collect().now_or_never().expect("it is in memory").unwrap().to_bytes();
        let root = serde_json::from_slice(&text).unwrap();
        Self { root, validators: Mutex::default() }
    }

    fn check(&self, request: Option<(&str, &str)>, seen: &Seen<'_>) -> Result<(), String> {
        let documented = request.and_then(|(method, target)| {
            if target == "*" {
                return match seen.status {
                    204 => self.component("responses", "Allowed"),
                    405 => self.component("responses", "MethodNotAllowed"),
                    _ => None,
                };
            }
            // A preflight is answered before a path is looked at.
            if method == "OPTIONS" && seen.status == 200 {
                return self.component("responses", "Preflight");
            }
            let Some(item) = self.item(target) else {
                return self.component("responses", "NoRoute").filter(|_| seen.status == 404);
            };
            match item.get(method.to_ascii_lowercase()) {
                Some(operation) => operation["responses"].get(seen.status.to_string()),
                None if seen.status == 405 => self.component("responses", "MethodNotAllowed"),
                None => None,
            }
        });
        let anywhere = || {
            let (_, name) = ANYWHERE.iter().find(|(status, _)| *status == seen.status)?;
            self.component("responses", name).filter(|_| documented.is_none())
        };
        // The head of a request can be wrong wherever it was sent to, and if it was not read.
        let is_unread = request.is_none_or(|(method, target)| {
            target != "*"
                && self
                    .item(target)
                    .is_none_or(|item| item.get(method.to_ascii_lowercase()).is_none())
        });
        let response = documented.or_else(|| anywhere().filter(|_| is_unread));
        let response = self.resolved(response.ok_or("the document has no such status here")?);
        self.check_headers(response, seen)?;
        if let (Some(allow), Some(item)) =
            (seen.header("allow"), request.and_then(|(_, target)| self.item(target)))
        {
            let methods = METHODS.iter().filter(|method| item.get(method).is_some());
            let methods: BTreeSet<_> = methods.map(|method| method.to_ascii_uppercase()).collect();
            let allowed: BTreeSet<_> = allow.split(", ").map(str::to_owned).collect();
            if methods != allowed {
                return Err(format!("Allow has other methods than the document: {methods:?}"));
            }
        }
        self.check_content(response, seen)
    }

    /// The item of the path that a target matches: one without a parameter before one with it.
    fn item(&self, target: &str) -> Option<&Value> {
        let path = target.split('?').next().unwrap_or_default();
        // The absolute form of a target.
        let path = match path.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => path,
        };
        let paths = self.root["paths"].as_object().unwrap();
        let matches = |template: &str| {
            let (mut of, mut given) = (template.split('/'), path.split('/'));
            loop {
                match (of.next(), given.next()) {
                    (None, None) => return true,
                    (Some(of), Some(given)) if of == given || of.starts_with('{') => {}
                    _ => return false,
                }
            }
        };
        paths
            .get(path)
            .or_else(|| paths.iter().find(|(template, _)| matches(template)).map(|(_, item)| item))
    }

    fn component(&self, kind: &str, name: &str) -> Option<&Value> {
        self.root["components"][kind].get(name)
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        let pointer = value["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
        pointer.map_or(value, |pointer| self.root.pointer(pointer).unwrap())
    }

    fn check_headers(&self, response: &Value, seen: &Seen<'_>) -> Result<(), String> {
        let none = serde_json::Map::new();
        let documented = response["headers"].as_object().unwrap_or(&none);
        for (name, header) in documented {
            let header = self.resolved(header);
            match seen.header(&name.to_ascii_lowercase()) {
                Some(value) => self.validate(&header["schema"], &value.into(), name)?,
                None if header["required"] == true => return Err(format!("{name} is missing")),
                None => {}
            }
        }
        let is_documented =
            |name: &str| documented.keys().any(|known| known.eq_ignore_ascii_case(name));
        match MEANT.iter().find(|name| seen.header(name).is_some() && !is_documented(name)) {
            Some(name) => Err(format!("{name} is not documented")),
            None => Ok(()),
        }
    }

    fn check_content(&self, response: &Value, seen: &Seen<'_>) -> Result<(), String> {
        let content = response["content"].as_object();
        let (content, media_type) = match (content, seen.header("content-type")) {
            (None, None) if seen.body.is_none_or(str::is_empty) => return Ok(()),
            (Some(content), Some(media_type)) => (content, media_type),
            _ => return Err("one of document and answer has content".into()),
        };
        let media = content.get(media_type).ok_or("the content type is not documented")?;
        let Some(body) = seen.body else { return Ok(()) };
        let value = if media_type.ends_with("json") {
            serde_json::from_str(body).map_err(|error| format!("the body is not JSON: {error}"))?
        } else {
            Value::from(body)
        };
        self.validate(&media["schema"], &value, "the body")
    }

    fn validate(&self, schema: &Value, value: &Value, what: &str) -> Result<(), String> {
        let validator = {
            let mut validators = self.validators.lock().unwrap();
            let known = validators.entry(schema.to_string()).or_insert_with(|| {
                let whole = json!({ "allOf": [schema], "components": self.root["components"] });
                let options = jsonschema::options().should_validate_formats(true);
                Arc::new(options.build(&whole).unwrap())
            });
            Arc::clone(known)
        };
        validator.validate(value).map_err(|error| format!("{what}: {error}"))
    }
}

impl Seen<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The requests in the bytes that a client has sent on a connection, in their order.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    sent: Vec<u8>,
    /// How much of it was taken. Beyond the end while a body has not been sent.
    taken: usize,
}

impl Requests {
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    /// The method and the target of the next one. What is no request line is skipped, as are bodies of
    /// a known length.
    pub(crate) fn next(&mut self) -> Option<(String, String)> {
        let (mut found, mut body) = (None, 0);
        while let Some(length) = self.sent.get(self.taken..)?.iter().position(|&b| b == b'\n') {
            let line = &self.sent[self.taken..self.taken + length];
            let line = String::from_utf8_lossy(line).trim_end_matches('\r').to_owned();
            self.taken += length + 1;
            if found.is_none() {
                found = request_line(&line);
                continue;
            }
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    body = value.trim().parse().unwrap_or(0);
                }
                _ if line.is_empty() => {
                    self.taken = self.taken.saturating_add(body);
                    break;
                }
                _ => {}
            }
        }
        found
    }
}

fn request_line(line: &str) -> Option<(String, String)> {
    let words: Vec<_> = line.split(' ').collect();
    let [method, target, version] = words[..] else { return None };
    version.starts_with("HTTP/1.").then(|| (method.to_owned(), target.to_owned()))
}

#[test]
fn an_answer_that_the_document_does_not_have_is_told_by_what_is_wrong() {
    let public = document(Side::Public);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let json = [
        header("content-type", "application/json"),
        header("x-request-id", "a"),
        header("cache-control", "no-cache"),
        header("vary", "accept"),
    ];
    let without = |name: &str| -> Vec<_> {
        json.iter().filter(|(known, _)| known != name).cloned().collect()
    };
    let with = |one| [&json[..], &[one]].concat();
    let hello = r#"{"hello":"world"}"#;
    let check = |method: &str, target: &str, status, headers: &[_], body| {
        public.check(Some((method, target)), &Seen { status, headers, body: Some(body) })
    };
    assert_eq!(check("GET", "/", 200, &json, hello), Ok(()));
    assert_eq!(check("GET", "http://x/?a=b", 200, &json, hello), Ok(()));
    for (method, target, status, headers, body, fault) in [
        ("GET", "/", 201, &json[..], hello, "no such status"),
        ("GET", "/", 413, &json, hello, "no such status"),
        ("PATCH", "/", 200, &json, hello, "no such status"),
        ("GET", "/nothing", 200, &json, hello, "no such status"),
        ("GET", "/", 200, &without("x-request-id"), hello, "X-Request-ID is missing"),
        ("GET", "/", 200, &without("content-type"), hello, "has content"),
        (
            "GET",
            "/",
            200,
            &[&[header("content-type", "text/plain")], &json[1..]].concat(),
            hello,
            "type",
        ),
        ("GET", "/", 200, &json, "{", "not JSON"),
        ("GET", "/", 200, &json, "{}", "the body: "),
        ("GET", "/", 200, &with(header("location", "/")), hello, "location"),
        ("OPTIONS", "/", 204, &[json[1].clone(), header("allow", "GET")], "", "Allow has other"),
    ] {
        let found = check(method, target, status, headers, body).unwrap_err();
        assert!(found.contains(fault), "{method} {target} {status}: {found}");
    }
}
