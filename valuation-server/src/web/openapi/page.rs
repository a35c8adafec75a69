//! The readable page of a document.

use askama::Template;
use serde_json::Value;

use super::expand::METHODS;

/// The page.
#[derive(Debug, Template)]
#[template(path = "openapi/page.html")]
pub(super) struct Page {
    title: String,
    description: String,
    paths: Vec<Path>,
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

/// The longest JSON that is shown in a line, in bytes.
const LINE: usize = 60;

impl Page {
    pub(super) fn of(document: &Value) -> Self {
        let paths = members(&document["paths"]).map(|(path, item)| Path {
            path: path.clone(),
            operations: operations(document, item).collect(),
        });
        let schemas = members(&document["components"]["schemas"]);
        Self {
            title: text(&document["info"]["title"]),
            description: text(&document["info"]["description"]),
            paths: paths.collect(),
            schemas: schemas.map(|(name, schema)| (name.clone(), Schema::of(schema))).collect(),
        }
    }

    /// How many operations it shows.
    #[cfg(test)]
    pub(super) fn operations(&self) -> usize {
        self.paths.iter().map(|path| path.operations.len()).sum()
    }
}

fn operations<'a>(document: &'a Value, item: &'a Value) -> impl Iterator<Item = Operation> + 'a {
    // HEAD and OPTIONS follow from the others, and would only make the page longer.
    let shown = METHODS.iter().filter(|method| !["head", "options"].contains(method));
    shown.filter_map(move |method| {
        let operation = item.get(*method)?;
        let parameters = items(&item["parameters"]).chain(items(&operation["parameters"]));
        let answer = |(status, answer): (&String, &Value)| {
            let answer = resolved(document, answer);
            let headers: Vec<_> = members(&answer["headers"]).map(|(n, _)| n.as_str()).collect();
            Answer {
                status: status.clone(),
                description: text(&answer["description"]),
                headers: headers.join(", "),
                content: content(answer),
            }
        };
        Some(Operation {
            method: method.to_uppercase(),
            id: text(&operation["operationId"]),
            summary: text(&operation["summary"]),
            parameters: parameters.map(|p| Parameter::of(resolved(document, p))).collect(),
            body: operation.get("requestBody").map(|body| Body {
                description: text(&body["description"]),
                content: content(body),
            }),
            answers: members(&operation["responses"]).map(answer).collect(),
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

impl Schema {
    fn of(schema: &Value) -> Self {
        match schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
            Some(name) => Self::Named(name.to_owned()),
            None => match schema.to_string() {
                line if line.len() <= LINE => Self::Line(line),
                _ => Self::Block(format!("{schema:#}")),
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

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
