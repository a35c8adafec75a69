//! Writes out the abbreviations of a source.

use serde_json::{Map, Value, json};

/// The methods that an operation may have, in lower case as in a document.
pub(super) const METHODS: [&str; 8] =
    ["get", "head", "post", "put", "patch", "delete", "options", "trace"];

type Object = Map<String, Value>;

/// The document of a source. What has another form than a source's is left as it is.
pub(super) fn expanded(mut document: Value) -> Value {
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    let everywhere = taken(&mut document, "x-everywhere");
    let headers = taken(&mut document, "x-headers");
    // Of the side that allows other origins.
    let has_preflight = document["components"]["responses"].get("Preflight").is_some();
    let parameters = document["components"]["parameters"].clone();
    for item in object(&mut document["paths"]).into_iter().flat_map(Map::values_mut) {
        let Some(item) = object(item) else { continue };
        add_head(item);
        add_options(item, &parameters, has_preflight);
        item.get_mut("parameters").into_iter().for_each(refer_parameters);
        for operation in item.iter_mut().filter(|(name, _)| METHODS.contains(&name.as_str())) {
            complete(operation.1, &everywhere);
        }
    }
    let responses = object(&mut document["components"]["responses"]);
    for response in responses.into_iter().flat_map(Map::values_mut) {
        add_headers(response, &headers);
    }
    document
}

fn object(value: &mut Value) -> Option<&mut Object> {
    value.as_object_mut()
}

/// A member, which the document has no more.
fn taken(document: &mut Value, name: &str) -> Object {
    match object(document).and_then(|object| object.remove(name)) {
        Some(Value::Object(member)) => member,
        _ => Object::new(),
    }
}

fn add_headers(response: &mut Value, everywhere: &Object) {
    let Some(response) = object(response) else { return };
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    for (name, header) in everywhere {
        object(headers).into_iter().for_each(|headers| {
            headers.entry(name).or_insert_with(|| header.clone());
        });
    }
    refer(Some(headers), "headers");
}

fn add_head(item: &mut Object) {
    let Some(mut head) = item.get("get").cloned() else { return };
    head["operationId"] = derived(&head, "Head");
    head["summary"] = "The headers of GET.".into();
    item.insert("head".into(), head);
}

/// OPTIONS looks at no parameter of the path.
fn add_options(item: &mut Object, components: &Value, has_preflight: bool) {
    let Some(operation) = METHODS.iter().find_map(|method| item.get(*method)) else { return };
    let mut options = json!({
        "operationId": derived(operation, "Options"),
        "summary": "The allowed methods.",
        "responses": { "204": "Allowed" },
    });
    if has_preflight {
        options["responses"]["200"] = "Preflight".into();
    }
    if let Some(security) = operation.get("security") {
        options["security"] = security.clone();
    }
    if let Some(parameters) = item.get("parameters").and_then(Value::as_array) {
        let any = |parameter: &Value| {
            let component = parameter.as_str().and_then(|name| components.get(name));
            let name = &component.unwrap_or(parameter)["name"];
            json!({ "name": name, "in": "path", "required": true,
                "description": "Any text.", "schema": { "type": "string" } })
        };
        options["parameters"] = parameters.iter().map(any).collect();
    }
    item.insert("options".into(), options);
}

fn derived(operation: &Value, suffix: &str) -> Value {
    format!("{}{suffix}", operation["operationId"].as_str().unwrap_or_default()).into()
}

fn complete(operation: &mut Value, everywhere: &Object) {
    let is_open = operation.get("security").and_then(Value::as_array).is_some_and(Vec::is_empty);
    operation.get_mut("parameters").into_iter().for_each(refer_parameters);
    if let Some(responses) = object(&mut operation["responses"]) {
        // Without the need of a token there is no wrong one.
        let is_due = |status: &str| !is_open || !matches!(status, "401" | "429");
        for (status, name) in everywhere.iter().filter(|(status, _)| is_due(status)) {
            responses.entry(status).or_insert_with(|| name.clone());
        }
    }
    refer(operation.get_mut("responses"), "responses");
}

fn refer_parameters(parameters: &mut Value) {
    for parameter in parameters.as_array_mut().into_iter().flatten() {
        *parameter = reference(parameter, "parameters");
    }
}

fn refer(members: Option<&mut Value>, kind: &str) {
    for member in members.and_then(object).into_iter().flat_map(Map::values_mut) {
        *member = reference(member, kind);
    }
}

fn reference(value: &Value, kind: &str) -> Value {
    match value.as_str() {
        Some(name) => json!({ "$ref": format!("#/components/{kind}/{name}") }),
        None => value.clone(),
    }
}
