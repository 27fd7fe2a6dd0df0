//! The OpenAPI document that is served at `/openapi.json`.
//!
//! Operations are told by the handlers (`#[utoipa::path]`): id, tags, parameters, body and success answer. What holds for
//! every operation is added here by rule: the user's token and its 401, the 422 of an operation that takes something, and
//! the schemas that are referred to. `tests/rest/openapi.rs` compares the result with the contract.

pub mod external;
mod page;
pub mod schemas;

use std::collections::BTreeSet;

use serde_json::{Value, json};

pub use page::page;

/// `components.schemas` of the contract, without texts.
const CONTRACT_SCHEMAS: &str = include_str!("../../contract/schemas.json");
const PREFIX: &str = "#/components/schemas/";

/// Where every error but 401 and 422 is described (rest.md §2.9).
pub const ERROR: &str = "#/components/responses/HTTPError";

/// Makes the document out of what the handlers tell, and the contract's description of the operations that are absent.
pub fn complete(mut document: Value, absent: Value) -> serde_json::Result<Value> {
    add(&mut document["paths"], absent);
    for elsewhere in ELSEWHERE {
        relocate(&mut document["paths"], elsewhere);
    }
    document["info"] = json!({ "title": "AutoGPT Agent Server", "version": "0.1" });
    for operation in operations(&mut document) {
        finish(operation);
    }
    let mut schemas = schemas_of(&document, &serde_json::from_str(CONTRACT_SCHEMAS)?);
    schemas
        .as_object_mut()
        .into_iter()
        .flat_map(|schemas| schemas.values_mut())
        .for_each(show_secrets);
    document["components"] = json!({
        "schemas": schemas,
        "securitySchemes": {
            "HTTPBearerJWT": { "type": "http", "scheme": "bearer", "bearerFormat": "jwt" },
            "APIKeyAuthenticator-X-Postmark-Webhook-Token": { "type": "apiKey", "in": "header", "name": "X-Postmark-Webhook-Token" },
        },
        "responses": {
            "HTTP401NotAuthenticatedError": {
                "description": "Authentication required",
                "content": { "application/json": { "schema": { "type": "object", "properties": { "detail": { "type": "string" } } } } },
            },
            "HTTPError": {
                "description": "It was not done; detail says why",
                "content": { "application/json": { "schema": in_words() } },
            },
        },
    });
    Ok(document)
}

/// The body of an error that says in words what it is about (rest.md §2.9).
fn in_words() -> Value {
    json!({
        "type": "object",
        "required": ["detail"],
        "properties": {
            "detail": { "anyOf": [{ "type": "string" }, { "type": "object" }] },
            "message": { "type": "string" },
            "hint": { "type": "string" },
        },
    })
}

/// What a block says that failed unforeseen (rest.md §2.1): the only words in which an answer may be 500. Nothing else of this service
/// has this form.
pub fn block_failed() -> Value {
    json!({ "type": "string", "pattern": r"^raised by [A-Za-z0-9_]+ with message: [\s\S]*\. block_id: [0-9a-f-]{36}$" })
}

/// An operation whose parameter the contract calls otherwise than a sibling at the same address does: the router takes one name only.
struct Elsewhere {
    method: &'static str,
    /// Path and parameter of the route.
    from: (&'static str, &'static str),
    /// Path and parameter of the contract.
    to: (&'static str, &'static str),
}

const ELSEWHERE: &[Elsewhere] = &[Elsewhere {
    method: "delete",
    from: ("/api/store/submissions/{store_listing_version_id}", "store_listing_version_id"),
    to: ("/api/store/submissions/{submission_id}", "submission_id"),
}];

fn relocate(paths: &mut Value, elsewhere: &Elsewhere) {
    let (path, name) = elsewhere.from;
    let item = paths.get_mut(path).and_then(Value::as_object_mut);
    let Some(mut operation) = item.and_then(|item| item.shift_remove(elsewhere.method)) else {
        return;
    };
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if parameter["name"] == name {
            parameter["name"] = elsewhere.to.1.into();
        }
    }
    add(paths, json!({ elsewhere.to.0: { elsewhere.method: operation } }));
}

/// Adds operations under their paths.
fn add(paths: &mut Value, more: Value) {
    let Value::Object(more) = more else { return };
    for (path, item) in more {
        match paths.get_mut(&path).and_then(Value::as_object_mut) {
            Some(known) => known.extend(item.as_object().cloned().unwrap_or_default()),
            None => paths[path] = item,
        }
    }
}

fn operations(document: &mut Value) -> impl Iterator<Item = &mut Value> {
    let paths = document.get_mut("paths").and_then(Value::as_object_mut).into_iter();
    let items = paths.flat_map(|paths| paths.values_mut()).filter_map(Value::as_object_mut);
    items
        .flat_map(|item| item.values_mut())
        .filter(|value| value.get("operationId").is_some())
}

/// Defaults beside a reference to a schema, which handlers cannot tell: operation, parameter, default.
const DEFAULTS: &[(&str, &str, &str)] = &[("getV2List library agents", "sort_by", "updatedAt")];

/// What may be left out of a query may also be said to be null, unless it has a default then.
fn finish_parameters(operation: &mut Value) {
    let id = operation["operationId"].clone();
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let of_parameter = |(operation, name, _): &&(&str, &str, &str)| id == *operation && parameter["name"] == *name;
        if let Some((_, _, default)) = DEFAULTS.iter().find(of_parameter) {
            parameter["schema"]["default"] = json!(default);
        }
        let optional = parameter["in"] == "query" && parameter["required"] != true;
        let schema = &mut parameter["schema"];
        if optional && schema.get("default").is_none() && schema.get("anyOf").is_none() {
            *schema = json!({ "anyOf": [schema.take(), { "type": "null" }] });
        }
    }
}

fn finish(operation: &mut Value) {
    finish_parameters(operation);
    // `security(())` of a handler says that anybody may call it.
    if operation.get("security") == Some(&json!([{}])) {
        operation.as_object_mut().map(|operation| operation.shift_remove("security"));
    } else {
        if operation.get("security").is_none() {
            operation["security"] = json!([{ "HTTPBearerJWT": [] }]);
        }
        operation["responses"]["401"] = json!({ "$ref": "#/components/responses/HTTP401NotAuthenticatedError" });
    }
    let parameters = operation.get("parameters").and_then(Value::as_array);
    let has_query = parameters.is_some_and(|parameters| parameters.iter().any(|parameter| parameter["in"] == "query"));
    let is_preset_update = operation["operationId"] == "patchV2Update an existing preset";
    let takes_something = operation.get("parameters").is_some() || operation.get("requestBody").is_some();
    let errors = [
        (true, &["503"][..]),
        (operation.get("security").is_some(), &["400", "403"]),
        (takes_something, &["400", "404"]),
        (operation.get("requestBody").is_some(), &["408", "413"]),
        // The preset is there, its graph is not (rest.md §1 area 7).
        (is_preset_update, &["410"]),
    ];
    let told = operation["responses"].as_object().into_iter().flat_map(|told| told.keys().cloned());
    let told: Vec<String> = told.filter(|status| status.starts_with('5')).collect();
    let by_rule = errors.iter().filter(|(holds, _)| *holds).flat_map(|(_, statuses)| *statuses);
    for status in by_rule.copied().chain(told.iter().map(String::as_str)) {
        if operation["responses"][status].get("content").is_none() {
            operation["responses"][status] = json!({ "$ref": ERROR });
        }
    }
    if has_query {
        // The HTTP layer refuses it before there is a request that could be answered in words.
        operation["responses"]["414"] = json!({ "description": "The address is longer than 64 KiB" });
    }
    if operation["operationId"] == "postV1Execute graph block" {
        let mut schema = in_words();
        schema["required"] = json!(["message", "detail", "hint"]);
        schema["properties"]["detail"] = block_failed();
        schema["additionalProperties"] = json!(false);
        operation["responses"]["500"] = json!({
            "description": "The block failed in a way that it does not foresee",
            "content": { "application/json": { "schema": schema } },
        });
    }
    if takes_something && operation["responses"].get("422").is_none() {
        let problems = json!({ "$ref": "#/components/schemas/HTTPValidationError" });
        // Its own rules are told in words (rest.md §1 area 10).
        let is_top_up = operation["operationId"] == "postV1Configure auto top up";
        let schema = if is_top_up {
            json!({ "anyOf": [problems, in_words()] })
        } else {
            problems
        };
        operation["responses"]["422"] = json!({ "description": "Validation Error", "content": { "application/json": { "schema": schema } } });
    }
}

/// The contract calls the secrets of credentials write-only and shows them in its answers all the same: to their owner.
fn show_secrets(schema: &mut Value) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for property in properties.into_iter().flat_map(|properties| properties.values_mut()) {
        let either = property.get_mut("anyOf").and_then(Value::as_array_mut);
        either.into_iter().flatten().for_each(show_secret);
        show_secret(property);
    }
}

fn show_secret(property: &mut Value) {
    property.as_object_mut().map(|property| property.shift_remove("writeOnly"));
}

/// Every schema that the document refers to, however indirectly: as it was told, else as the contract has it.
fn schemas_of(document: &Value, contract: &Value) -> Value {
    let told = &document["components"]["schemas"];
    let mut wanted = Vec::from_iter(references(&document["paths"]));
    let mut taken = model::Map::new();
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let own = told.get(&name).filter(|schema| schema.get("$ref").is_none());
        if let Some(schema) = own.or_else(|| contract.get(&name)) {
            wanted.extend(references(schema));
            taken.insert(name, schema.clone());
        }
    }
    taken.sort_keys();
    Value::Object(taken)
}

/// Names of the schemas that a part of the document refers to.
fn references(value: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    collect(value, &mut names);
    names
}

fn collect(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            let name = map
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| reference.strip_prefix(PREFIX));
            names.extend(name.map(str::to_owned));
            map.values().for_each(|value| collect(value, names));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, names)),
        _ => {}
    }
}
