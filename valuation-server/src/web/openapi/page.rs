//! The readable page of a document.

use std::collections::BTreeSet;

use askama::Template;
use serde_json::Value;

use super::expand::METHODS;
use super::layout::laid_out;

/// The page.
#[derive(Debug, Template)]
#[template(path = "openapi/page.html")]
pub(super) struct Page {
    title: String,
    description: String,
    paths: Vec<Path>,
    /// The headers that every answer has.
    headers: String,
    /// The answers that every operation has.
    answers: Vec<Answer>,
    schemas: Vec<(String, Schema)>,
}

#[derive(Debug)]
struct Path {
    path: String,
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    method: String,
    id: String,
    summary: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    answers: Vec<Answer>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    place: String,
    required: bool,
    description: String,
    schema: Schema,
}

#[derive(Debug)]
struct Body {
    description: String,
    content: Vec<(String, Schema)>,
}

#[derive(Debug)]
struct Answer {
    status: String,
    description: String,
    headers: String,
    content: Vec<(String, Schema)>,
}

/// A schema: the name of one of the document's, or JSON in a line or as a block.
#[derive(Debug)]
enum Schema {
    Named(String),
    Line(String),
    Block(String),
}

impl Page {
    pub(super) fn of(document: &Value) -> Self {
        let common = Common::of(document);
        let paths = members(&document["paths"]).map(|(path, item)| Path {
            path: path.clone(),
            operations: operations(document, item, &common).collect(),
        });
        let schemas = members(&document["components"]["schemas"]);
        Self {
            title: text(&document["info"]["title"]),
            description: text(&document["info"]["description"]),
            paths: paths.collect(),
            headers: Vec::from_iter(common.headers.iter().copied()).join(", "),
            answers: common.answers(document),
            schemas: schemas.map(|(name, schema)| (name.clone(), Schema::of(schema))).collect(),
        }
    }

    /// How many operations it shows.
    #[cfg(test)]
    pub(super) fn operations(&self) -> usize {
        self.paths.iter().map(|path| path.operations.len()).sum()
    }
}

/// What is shown once instead of everywhere.
struct Common<'a> {
    /// By name.
    headers: BTreeSet<&'a str>,
    /// By status, as references.
    answers: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Common<'a> {
    fn of(document: &'a Value) -> Self {
        let responses = members(&document["components"]["responses"]);
        let headers = responses.map(|(_, response)| names(&response["headers"]).collect());
        let items = members(&document["paths"]).flat_map(|(_, item)| members(item));
        let operations = items.filter(|(method, _)| METHODS.contains(&method.as_str()));
        let answers = operations.map(|(_, operation)| {
            let answers = members(&operation["responses"]);
            answers.filter_map(|(status, answer)| Some((&**status, answer["$ref"].as_str()?)))
        });
        Self {
            headers: intersection(headers),
            answers: intersection(answers.map(Iterator::collect)),
        }
    }

    fn has(&self, status: &str, answer: &Value) -> bool {
        answer["$ref"].as_str().is_some_and(|reference| self.answers.contains(&(status, reference)))
    }

    fn answers(&self, document: &Value) -> Vec<Answer> {
        let answer = |(status, reference): &(&str, &str)| {
            let answer = reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer));
            Answer::of(status, answer.unwrap_or(&Value::Null), self)
        };
        self.answers.iter().map(answer).collect()
    }
}

fn intersection<T: Ord + Copy>(sets: impl Iterator<Item = BTreeSet<T>>) -> BTreeSet<T> {
    sets.reduce(|all, set| &all & &set).unwrap_or_default()
}

fn operations<'a>(
    document: &'a Value,
    item: &'a Value,
    common: &'a Common<'_>,
) -> impl Iterator<Item = Operation> + 'a {
    // HEAD and OPTIONS follow from the others, and would only make the page longer.
    let shown = METHODS.iter().filter(|method| !["head", "options"].contains(method));
    shown.filter_map(move |method| {
        let operation = item.get(*method)?;
        let parameters = items(&item["parameters"]).chain(items(&operation["parameters"]));
        let answers = members(&operation["responses"]);
        let answers = answers.filter(|(status, answer)| !common.has(status, answer));
        Some(Operation {
            method: method.to_uppercase(),
            id: text(&operation["operationId"]),
            summary: text(&operation["summary"]),
            parameters: parameters.map(|p| Parameter::of(resolved(document, p))).collect(),
            body: operation.get("requestBody").map(|body| Body {
                description: text(&body["description"]),
                content: content(body),
            }),
            answers: answers.map(|(s, a)| Answer::of(s, resolved(document, a), common)).collect(),
        })
    })
}

impl Parameter {
    fn of(parameter: &Value) -> Self {
        Self {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            required: parameter["required"] == true,
            description: text(&parameter["description"]),
            schema: Schema::of(&parameter["schema"]),
        }
    }
}

impl Answer {
    fn of(status: &str, answer: &Value, common: &Common<'_>) -> Self {
        let headers = names(&answer["headers"]).filter(|name| !common.headers.contains(name));
        Self {
            status: status.to_owned(),
            description: text(&answer["description"]),
            headers: Vec::from_iter(headers).join(", "),
            content: content(answer),
        }
    }
}

impl Schema {
    fn of(schema: &Value) -> Self {
        match schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            Some(name) => Self::Named(name.to_owned()),
            None => match laid_out(schema) {
                block if block.contains('\n') => Self::Block(block),
                line => Self::Line(line),
            },
        }
    }
}

fn content(of: &Value) -> Vec<(String, Schema)> {
    let types = members(&of["content"]);
    types.map(|(name, media)| (name.clone(), Schema::of(&media["schema"]))).collect()
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|path| path.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn names(value: &Value) -> impl Iterator<Item = &str> {
    members(value).map(|(name, _)| name.as_str())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
