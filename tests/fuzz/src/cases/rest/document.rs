//! The served document, made to hit something: where it says "a text" and means an id, random texts alone would only ever find that
//! there is no such thing.

use serde_json::{Map, Value, json};

/// `name of a parameter or a property → the id of something that exists`.
pub type Ids = Map<String, Value>;

/// The document in which everything that is named as one of `ids` may also be that id.
pub fn naming(mut document: Value, ids: &Ids) -> Value {
    for item in values(document.get_mut("paths")) {
        for operation in values(Some(item)) {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                let id = parameter["name"].as_str().and_then(|name| ids.get(name)).cloned();
                if let (Some(id), Some(schema)) = (id, parameter.get_mut("schema")) {
                    offer(schema, id);
                }
            }
        }
    }
    for schema in values(document.pointer_mut("/components/schemas")) {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            if let Some(id) = ids.get(name).cloned().filter(|_| property["type"] == "string") {
                offer(property, id);
            }
        }
    }
    document
}

fn offer(schema: &mut Value, id: Value) {
    let anything = schema.take();
    *schema = json!({ "anyOf": [{ "enum": [id] }, anything] });
}

fn values(object: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    object.and_then(Value::as_object_mut).into_iter().flat_map(|map| map.values_mut())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_offered_beside_any_text() {
        let parameter = json!({"name": "graph_id", "in": "path", "schema": {"type": "string"}});
        let document = json!({
            "paths": { "/g/{graph_id}": { "get": { "parameters": [parameter, {"name": "x", "schema": {}}] } } },
            "components": { "schemas": { "G": { "properties": { "graph_id": {"type": "string"}, "y": {"type": "string"} } } } },
        });
        let named = naming(document, &Ids::from_iter([("graph_id".to_owned(), json!("g"))]));
        let offered = json!({"anyOf": [{"enum": ["g"]}, {"type": "string"}]});
        let parameters = &named["paths"]["/g/{graph_id}"]["get"]["parameters"];
        assert_eq!((&parameters[0]["schema"], &parameters[1]["schema"]), (&offered, &json!({})));
        let properties = &named["components"]["schemas"]["G"]["properties"];
        assert_eq!((&properties["graph_id"], &properties["y"]), (&offered, &json!({"type": "string"})));
    }
}
