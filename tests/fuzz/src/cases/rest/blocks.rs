//! Blocks that are run alone: each gets an address of its own in the document, where its own inputs are the body. Of the one operation of
//! the contract no request would ever have the inputs of another block than the one it names.

use serde_json::{Value, json};

use crate::Result;

const GENERAL: &str = "/api/blocks/{block_id}/execute";

/// Blocks that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("CountdownTimerBlock", "waits as long as it is told"),
    ("SendWebRequestBlock", "calls addresses of others"),
    ("SendAuthenticatedWebRequestBlock", "calls addresses of others"),
    ("ReadRSSFeedBlock", "calls addresses of others, again and again"),
    ("GetWikipediaSummaryBlock", "calls Wikipedia"),
    ("SendEmailBlock", "calls servers of others"),
    ("AITextGeneratorBlock", "calls services of others"),
    ("AIStructuredResponseGeneratorBlock", "calls services of others"),
];

/// The document with an operation for every block of `list`, the answer of `GET /api/blocks`.
///
/// # Errors
/// When a block that is left out does not exist.
pub fn apart(mut document: Value, list: &Value) -> Result<Value> {
    let general = document["paths"][GENERAL]["post"].clone();
    let blocks: Vec<&Value> = list.as_array().into_iter().flatten().collect();
    if let Some((name, _)) = LEFT_OUT.iter().find(|(name, _)| !blocks.iter().any(|block| block["name"] == *name)) {
        return Err(format!("there is no block {name} to be left out").into());
    }
    for block in blocks {
        let (Some(id), Some(name)) = (block["id"].as_str(), block["name"].as_str()) else {
            continue;
        };
        if LEFT_OUT.iter().any(|(left_out, _)| *left_out == name) {
            continue;
        }
        let mut operation = general.clone();
        operation["operationId"] = json!(format!("{name} alone"));
        operation["parameters"] = json!([]);
        operation["requestBody"]["content"]["application/json"] = json!({ "schema": block["inputSchema"] });
        document["paths"][GENERAL.replace("{block_id}", id)] = json!({ "post": operation });
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_its_own_inputs() {
        let document = json!({"paths": {GENERAL: {"post": {"operationId": "x", "parameters": [1], "responses": {"200": {}}}}}});
        let block = |name: &str| json!({"id": name, "name": name, "inputSchema": {"title": name}});
        let mut list: Vec<Value> = LEFT_OUT.iter().map(|(name, _)| block(name)).collect();
        assert!(apart(document.clone(), &json!([])).is_err());
        list.push(block("Echo"));
        let apart = apart(document, &json!(list)).unwrap_or_default();
        let operation = &apart["paths"]["/api/blocks/Echo/execute"]["post"];
        assert_eq!(
            operation["requestBody"]["content"]["application/json"]["schema"],
            json!({"title": "Echo"})
        );
        assert_eq!((&operation["responses"], &operation["parameters"]), (&json!({"200": {}}), &json!([])));
        assert_eq!(apart["paths"].as_object().map(serde_json::Map::len), Some(2));
    }
}
