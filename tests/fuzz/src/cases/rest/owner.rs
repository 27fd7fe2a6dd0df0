//! An administrator who has one of everything, so that requests find something to read, change and delete.

use contract_tests::client::{Client, token_of};
use contract_tests::graphs;
use serde_json::{Value, json};
use uuid::Uuid;

use super::document::Ids;
use crate::Result;

pub struct Owner {
    pub client: Client,
    pub token: String,
    pub ids: Ids,
}

impl Owner {
    /// A new one at the REST service `base`.
    ///
    /// # Errors
    /// When the service refuses something that it should not.
    pub async fn new(base: &str) -> Result<Self> {
        let user = Uuid::new_v4();
        let token = token_of(user, "admin");
        let client = Client::with_token(base, user, token.clone());
        let had = Having(&client);
        had.made("/api/auth/user", json!({})).await?;
        let graph = had.made("/api/graphs", json!({"graph": graphs::greeting()})).await?;
        let graph_id = text(&graph, "/id")?;
        let run = had
            .made(&format!("/api/graphs/{graph_id}/execute/1"), json!({"inputs": {"name": "Ada"}}))
            .await?;
        let schedule = json!({"name": "weekly", "cron": "0 9 * * 1", "inputs": {"name": "Ada"}});
        let schedule = had.made(&format!("/api/graphs/{graph_id}/schedules"), schedule).await?;
        let key = had.made("/api/api-keys", json!({"name": "a key", "permissions": []})).await?;
        let credential = json!({"provider": "openai", "type": "api_key", "title": "a credential", "api_key": "sk"});
        let credential = had.made("/api/integrations/openai/credentials", credential).await?;
        let username = format!("owner-{}", user.simple());
        let profile = json!({"name": "Somebody", "username": username, "description": "", "links": [], "avatar_url": ""});
        had.made("/api/store/profile", profile).await?;
        let agent = had.found(&format!("/api/library/agents/by-graph/{graph_id}")).await?;
        let preset = json!({"graph_id": graph_id, "graph_version": 1, "inputs": {}, "credentials": {}, "name": "preset", "description": ""});
        let preset = had.made("/api/library/presets", preset).await?;
        let submission = json!({"agent_id": graph_id, "agent_version": 1, "slug": "agent", "name": "agent", "sub_heading": "short"});
        let submission = had.made("/api/store/submissions", submission).await?;
        let version_id = text(&submission, "/store_listing_version_id")?;
        let review = json!({"store_listing_version_id": version_id, "is_approved": true, "comments": "fine"});
        had.made(&format!("/api/store/admin/submissions/{version_id}/review"), review).await?;
        let ids = [
            ("library_agent_id", text(&agent, "/id")?),
            ("preset_id", text(&preset, "/id")?),
            ("store_listing_version_id", version_id.clone()),
            ("submission_id", version_id),
            ("username", username),
            ("creator", "owner".to_owned()),
            ("agent_name", "agent".to_owned()),
            ("graph_exec_id", text(&run, "/id")?),
            ("graph_execution_id", text(&run, "/id")?),
            ("schedule_id", text(&schedule, "/id")?),
            ("key_id", text(&key, "/api_key/id")?),
            ("cred_id", text(&credential, "/id")?),
            ("provider", "openai".to_owned()),
            ("block_id", graphs::block::FILL_TEMPLATE.to_owned()),
            ("agent_id", graph_id.clone()),
            ("graph_id", graph_id),
            ("user_id", user.to_string()),
            ("cron", "0 9 * * 1".to_owned()),
        ];
        let mut ids: Ids = ids.into_iter().map(|(name, id)| (name.to_owned(), Value::String(id))).collect();
        for name in ["version", "graph_version", "agent_version", "active_graph_version"] {
            ids.insert(name.to_owned(), json!(1));
        }
        Ok(Self { client, token, ids })
    }
}

struct Having<'a>(&'a Client);

impl Having<'_> {
    async fn made(&self, path: &str, body: Value) -> Result<Value> {
        let answer = self.0.post(path, &body).await;
        match answer.status {
            200..=299 => Ok(answer.body),
            _ => Err(format!("POST {path}: {answer:?}").into()),
        }
    }

    async fn found(&self, path: &str) -> Result<Value> {
        let answer = self.0.get(path).await;
        match answer.status {
            200 => Ok(answer.body),
            _ => Err(format!("GET {path}: {answer:?}").into()),
        }
    }
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("{pointer} of {value} is no text").into())
}
