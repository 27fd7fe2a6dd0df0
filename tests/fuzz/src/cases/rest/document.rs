//! The served document, made to hit something: where it says "a text" and means an id, random texts alone would only ever find that
//! there is no such thing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// `name of a parameter or a property → what exists under this name`.
pub type Ids = Map<String, Value>;

/// What requests may name.
#[derive(Debug, Default)]
pub struct Known {
    /// For every operation.
    pub ids: Ids,
    /// `operation id → its parameters`: those of an operation that takes something away, so that the others still find theirs.
    pub of: BTreeMap<&'static str, Ids>,
    /// `operation id → a body that is accepted`.
    pub bodies: BTreeMap<&'static str, Value>,
}

/// Both documents as one: their operations have nothing in common.
pub fn joined(mut document: Value, other: Value) -> Value {
    for part in ["/paths", "/components/schemas", "/components/responses"] {
        let more = other.pointer(part).and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(map) = document.pointer_mut(part).and_then(Value::as_object_mut) {
            map.extend(more);
        }
    }
    document
}

/// The document in which everything that is named as something known may also be that, and which has an example of every such request.
pub fn naming(mut document: Value, known: &Known) -> Value {
    let nothing = Ids::new();
    for item in values(document.get_mut("paths")) {
        for operation in values(Some(item)) {
            let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
            let own = known.of.get(id.as_str()).unwrap_or(&nothing);
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap_or_default();
                let value = own.get(name).or_else(|| known.ids.get(name)).cloned();
                if let (Some(value), Some(schema)) = (value, parameter.get_mut("schema")) {
                    offer(schema, value.clone());
                    parameter["example"] = value;
                }
            }
            if let Some(body) = known.bodies.get(id.as_str()) {
                for content in values(operation.pointer_mut("/requestBody/content")) {
                    content["example"] = body.clone();
                }
            }
        }
    }
    for schema in values(document.pointer_mut("/components/schemas")) {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(id) = known.ids.get(name).cloned().filter(|_| property["type"] == "string") {
                offer(property, id);
            }
        }
    }
    document
}

fn offer(schema: &mut Value, value: Value) {
    let anything = schema.take();
    *schema = json!({ "anyOf": [{ "enum": [value] }, anything] });
}

fn values(object: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    object.and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(value: &str) -> Ids {
        Ids::from_iter([("graph_id".to_owned(), json!(value))])
    }

    #[test]
    fn ids_are_offered_beside_any_text() {
        let parameter = json!({"name": "graph_id", "in": "path", "schema": {"type": "string"}});
        let document = json!({
            "paths": { "/g/{graph_id}": {
                "get": { "operationId": "read", "parameters": [parameter, {"name": "x", "schema": {}}] },
                "delete": { "operationId": "delete", "parameters": [parameter], "requestBody": { "content": { "application/json": {} } } },
            } },
            "components": { "schemas": { "G": { "properties": { "graph_id": {"type": "string"}, "y": {"type": "string"} } } } },
        });
        let known = Known {
            ids: ids("g"),
            of: BTreeMap::from([("delete", ids("spare"))]),
            bodies: BTreeMap::from([("delete", json!({"z": 1}))]),
        };
        let named = naming(document, &known);
        let offered = |id: &str| json!({"anyOf": [{"enum": [id]}, {"type": "string"}]});
        let item = &named["paths"]["/g/{graph_id}"];
        let parameters = &item["get"]["parameters"];
        assert_eq!((&parameters[0]["schema"], &parameters[1]["schema"]), (&offered("g"), &json!({})));
        assert_eq!(parameters[0]["example"], "g");
        assert_eq!(item["delete"]["parameters"][0]["schema"], offered("spare"));
        assert_eq!(item["delete"]["requestBody"]["content"]["application/json"]["example"], json!({"z": 1}));
        let properties = &named["components"]["schemas"]["G"]["properties"];
        assert_eq!((&properties["graph_id"], &properties["y"]), (&offered("g"), &json!({"type": "string"})));
    }

    #[test]
    fn two_documents_become_one() {
        let document = |path: &str| json!({"paths": {path: {}}, "components": {"responses": {path: 1}}});
        assert_eq!(
            joined(document("a"), document("b")),
            json!({"paths": {"a": {}, "b": {}}, "components": {"responses": {"a": 1, "b": 1}}})
        );
    }
}
