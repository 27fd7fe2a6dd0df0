//! The document of `/external-api` (rest.md §1 area 16): the contract describes its operations in words only, so its form is ours.

use model::api_key::ApiKeyPermission as Permission;
use serde_json::{Value, json};

use super::block_failed;

/// Where its operations are.
const BASE: &str = "/external-api/v1";
const OBJECT: &str = r#"{"type":"object"}"#;
/// Where an error that is told in words is described.
const ERROR: &str = "#/components/responses/ExternalError";

struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    permission: Permission,
    /// The schema of the body; empty for none.
    body: &'static str,
}

const fn read(path: &'static str, summary: &'static str, permission: Permission) -> Operation {
    Operation {
        method: "get",
        path,
        summary,
        permission,
        body: "",
    }
}

const fn send(path: &'static str, summary: &'static str, permission: Permission, body: &'static str) -> Operation {
    Operation {
        method: "post",
        path,
        summary,
        permission,
        body,
    }
}

const OPERATIONS: &[Operation] = &[
    read("/blocks", "List the blocks", Permission::ReadBlock),
    send(
        "/blocks/{block_id}/execute",
        "Run a block with these inputs",
        Permission::ExecuteBlock,
        OBJECT,
    ),
    send(
        "/graphs/{graph_id}/execute/{graph_version}",
        "Start a run",
        Permission::ExecuteGraph,
        r#"{"type":"object","properties":{"node_input":{"type":"object"}}}"#,
    ),
    read(
        "/graphs/{graph_id}/executions/{graph_exec_id}/results",
        "What a run has produced",
        Permission::ReadGraph,
    ),
    read("/store/agents", "List the agents of the catalogue", Permission::ReadStore),
    read(
        "/store/agents/{username}/{agent_name}",
        "An agent of the catalogue",
        Permission::ReadStore,
    ),
    read("/store/creators", "List the creators of the catalogue", Permission::ReadStore),
    read("/store/creators/{username}", "A creator of the catalogue", Permission::ReadStore),
    send(
        "/tools/find-agent",
        "Search the catalogue",
        Permission::UseTools,
        r#"{"type":"object","required":["query"],"properties":{"query":{"type":"string"}}}"#,
    ),
    send(
        "/tools/run-agent",
        "Run or schedule an agent of the catalogue",
        Permission::UseTools,
        r#"{"type":"object","required":["username_agent_slug"],"properties":{"username_agent_slug":{"type":"string"},"inputs":{"type":"object"},
            "cron":{"type":"string"},"schedule_name":{"type":"string"},"timezone":{"type":"string"}}}"#,
    ),
    read("/integrations/providers", "List the providers", Permission::ReadIntegrations),
    read("/integrations/credentials", "List the credentials", Permission::ReadIntegrations),
    read(
        "/integrations/{provider}/credentials",
        "List the credentials for a provider",
        Permission::ReadIntegrations,
    ),
    send(
        "/integrations/{provider}/credentials",
        "Keep credentials for a provider",
        Permission::ManageIntegrations,
        r#"{"type":"object","required":["type"],"properties":{"type":{"type":"string","enum":["api_key","user_password","host_scoped","oauth2"]}}}"#,
    ),
    Operation {
        method: "delete",
        path: "/integrations/{provider}/credentials/{cred_id}",
        summary: "Delete credentials",
        permission: Permission::DeleteIntegrations,
        body: "",
    },
    send(
        "/integrations/{provider}/oauth/initiate",
        "Begin a login at a provider",
        Permission::ManageIntegrations,
        r#"{"type":"object","required":["callback_url"],"properties":{"callback_url":{"type":"string"},
            "scopes":{"type":"array","items":{"type":"string"}},"state_metadata":{"type":"object"}}}"#,
    ),
    send(
        "/integrations/{provider}/oauth/complete",
        "Finish a login at a provider",
        Permission::ManageIntegrations,
        r#"{"type":"object","required":["code","state_token"],"properties":{"code":{"type":"string"},"state_token":{"type":"string"}}}"#,
    ),
];

pub fn document() -> serde_json::Result<Value> {
    let mut paths = model::Map::new();
    for operation in OPERATIONS {
        let item = paths.entry(format!("{BASE}{}", operation.path)).or_insert_with(|| json!({}));
        item[operation.method] = operation.described()?;
    }
    Ok(json!({
        "openapi": "3.1.0",
        "info": { "title": "AutoGPT Platform External API", "version": "1.0" },
        "paths": paths,
        "components": {
            "securitySchemes": { "APIKey": { "type": "apiKey", "in": "header", "name": "X-API-Key" } },
            "responses": {
                "ExternalError": answer("It was not done; detail says why", &about(&json!({ "anyOf": [{ "type": "string" }, { "type": "object" }] }))),
            },
        },
    }))
}

fn answer(text: &str, schema: &Value) -> Value {
    json!({ "description": text, "content": { "application/json": { "schema": schema } } })
}

/// The form of an error, which has nothing but `detail`.
fn about(detail: &Value) -> Value {
    json!({ "type": "object", "required": ["detail"], "properties": { "detail": detail }, "additionalProperties": false })
}

impl Operation {
    fn described(&self) -> serde_json::Result<Value> {
        let names = self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> = names
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        let problems = about(&json!({ "type": "array", "items": { "type": "object" } }));
        let done = if self.makes_credentials() { "201" } else { "200" };
        let mut responses = json!({
            done: answer("Done", &json!({})),
            "422": answer("The request cannot be read", &problems),
        });
        let takes_body = !self.body.is_empty();
        let errors = [
            (true, &["400", "401", "403", "404", "503"][..]),
            (takes_body, &["408", "413"]),
            (self.path.contains("/oauth/"), &["501"]),
        ];
        for status in errors.iter().filter(|(holds, _)| *holds).flat_map(|(_, statuses)| *statuses) {
            responses[*status] = json!({ "$ref": ERROR });
        }
        if matches!(self.permission, Permission::ExecuteBlock) {
            responses["500"] = answer("The block failed in a way that it does not foresee", &about(&block_failed()));
        }
        let mut described = json!({
            "summary": self.summary,
            "description": format!("Needs the permission {}.", self.permission.as_str()),
            "operationId": format!("{} {}", self.method, self.path),
            "parameters": parameters,
            "security": [{ "APIKey": [] }],
            "responses": responses,
        });
        if takes_body {
            let schema: Value = serde_json::from_str(self.body)?;
            described["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        Ok(described)
    }

    fn makes_credentials(&self) -> bool {
        self.method == "post" && self.path.ends_with("/credentials")
    }
}
