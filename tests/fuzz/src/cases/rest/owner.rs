//! An administrator who has one of everything, so that requests find something to read, change and delete.

use std::time::Duration;

use auth::unsubscribe::Unsubscriber;
use contract_tests::client::{Client, token_of};
use contract_tests::graphs::{self, block, node};
use runtime::Settings;
use serde_json::{Value, json};
use uuid::Uuid;

use super::document::{Ids, Known};
use crate::Result;

const TRIGGER: &str = "8fa8c167-2002-47ce-aba8-97572fc5d387";
/// Where programs may come back to after a login, as the platform is set up.
const CALLBACK: &str = "http://localhost:3000/back";
/// For a run of a few nodes; a busy machine is the reason for the length.
const PATIENCE: Duration = Duration::from_secs(120);
const UNSUBSCRIBE_SECRET_KEY: &str = "a secret of the links";
/// What Postmark would show.
pub const POSTMARK_TOKEN: &str = "a secret of Postmark";

/// Settings without which some operations have nothing to do.
pub const SETTINGS: &[(&str, &str)] = &[
    // What was reached is read from there.
    ("ENABLE_METRICS", "true"),
    // For webhooks and uploads.
    ("PLATFORM_BASE_URL", "http://localhost:8006"),
    // With a balance that blocks do not eat up.
    ("ENABLE_CREDIT", "true"),
    ("NUM_USER_CREDITS_REFILL", "1000000000"),
    ("UNSUBSCRIBE_SECRET_KEY", UNSUBSCRIBE_SECRET_KEY),
    ("POSTMARK_WEBHOOK_TOKEN", POSTMARK_TOKEN),
];

pub struct Owner {
    pub client: Client,
    pub token: String,
    /// A key that may do everything.
    pub api_key: String,
    pub known: Known,
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
        let had = Having(client.clone());
        had.made("/api/auth/user", json!({})).await?;
        had.profile().await?;
        let api_key = had.key(all_permissions()).await?;
        let mut owner = Self {
            client,
            token,
            api_key: text(&api_key, "/plain_text_key")?,
            known: Known::default(),
        };
        let graph_id = had.graph(graphs::greeting()).await?;
        owner.take_ids(&had, base, &graph_id).await?;
        owner.take_spares(&had, &graph_id).await?;
        owner.write_bodies(&had).await?;
        Ok(owner)
    }

    /// What every operation may name.
    async fn take_ids(&mut self, had: &Having, base: &str, graph_id: &str) -> Result<()> {
        let offer = Offer::new(base, had).await?;
        let run = had.run(graph_id).await?;
        had.settled(graph_id, &run).await?;
        let shared = had.made(&format!("/api/graphs/{graph_id}/executions/{run}/share"), Value::Null).await?;
        let hook = graphs::graph("hook", vec![node("in", TRIGGER, json!({}))], vec![]);
        let hook = had.made("/api/graphs", json!({ "graph": hook })).await?;
        let session = had.made("/api/chat/sessions", Value::Null).await?;
        let key = had.key(json!([])).await?;
        self.known.ids = ids([
            ("library_agent_id", had.library_agent(graph_id).await?),
            ("preset_id", had.preset(graph_id).await?),
            ("store_listing_version_id", offer.version_id),
            ("username", offer.username.clone()),
            ("creator", offer.username),
            ("agent_name", "agent".to_owned()),
            ("graph_exec_id", run.clone()),
            ("graph_execution_id", run),
            ("schedule_id", had.schedule(graph_id).await?),
            ("key_id", text(&key, "/api_key/id")?),
            ("cred_id", had.credential().await?),
            ("provider", "openai".to_owned()),
            ("block_id", block::FILL_TEMPLATE.to_owned()),
            ("share_token", text(&shared, "/share_token")?),
            ("webhook_id", text(&hook, "/nodes/0/webhook_id")?),
            ("session_id", text(&session, "/id")?),
            ("token", unsubscribe_token(had.0.user)?),
            ("agent_id", graph_id.to_owned()),
            ("graph_id", graph_id.to_owned()),
            // The balance of the owner is not for requests to change.
            ("user_id", offer.user.to_string()),
            ("cron", "0 9 * * 1".to_owned()),
        ]);
        for name in ["version", "graph_version", "agent_version", "active_graph_version"] {
            self.known.ids.insert(name.to_owned(), json!(1));
        }
        let trigger = json!({"name": "hooked", "graph_id": hook["id"], "graph_version": 1, "trigger_config": {"constants": {}}});
        self.known.bodies.insert("postV2SetupTrigger", trigger);
        self.of("postV1WebhookIngressGeneric", "provider", "generic_webhook".to_owned());
        Ok(())
    }

    /// Things of their own for what takes something away, or out of the others' reach.
    async fn take_spares(&mut self, had: &Having, graph_id: &str) -> Result<()> {
        self.of("deleteV1Delete graph permanently", "graph_id", had.graph(graphs::greeting()).await?);
        self.of("deleteV1Delete graph execution", "graph_exec_id", had.run(graph_id).await?);
        self.of("deleteV1Delete execution schedule", "schedule_id", had.schedule(graph_id).await?);
        self.of("deleteV2Delete a preset", "preset_id", had.preset(graph_id).await?);
        self.of("deleteV2Delete store submission", "submission_id", had.submission("deleted").await?);
        self.of("putV2Edit store submission", "store_listing_version_id", had.submission("edited").await?);
        for operation in ["deleteV2Delete library agent", "patchV2Update library agent"] {
            let spare = had.graph(graphs::greeting()).await?;
            self.of(operation, "library_agent_id", had.library_agent(&spare).await?);
        }
        for operation in ["deleteV1DeleteCredentials", "delete /integrations/{provider}/credentials/{cred_id}"] {
            self.of(operation, "cred_id", had.credential().await?);
        }
        for operation in ["deleteV1Revoke api key", "postV1Suspend api key"] {
            self.of(operation, "key_id", text(&had.key(json!([])).await?, "/api_key/id")?);
        }
        let run = had.run(graph_id).await?;
        for operation in ["postV1EnableExecutionSharing", "deleteV1DisableExecutionSharing"] {
            self.of(operation, "graph_exec_id", run.clone());
        }
        Ok(())
    }

    /// What cannot be guessed from a schema, or is good for once.
    async fn write_bodies(&mut self, had: &Having) -> Result<()> {
        let (user, offered) = (had.0.user, self.known.ids["store_listing_version_id"].clone());
        let (reviewed, judged) = (had.under_review().await?, had.submission("judged").await?);
        let credential = json!({"provider": "openai", "type": "api_key", "title": "another", "api_key": "sk"});
        let greeting = json!({"format": "Hello, {{name}}!", "values": {"name": "Ada"}});
        let delivery = json!({
            "RecordType": "Delivery", "ServerID": 1, "MessageStream": "m", "MessageID": "i", "Recipient": "r@example.test", "Tag": "t",
            "DeliveredAt": "2026-01-02T03:04:05Z", "Details": "d", "Metadata": {},
        });
        let graph_id = had.graph(graphs::greeting()).await?;
        let agent = format!("{}/agent", self.known.ids["username"].as_str().unwrap_or_default());
        self.known.bodies.extend([
            (
                "postV2ProcessReviewAction",
                json!({"reviews": [{"node_exec_id": reviewed, "approved": true}]}),
            ),
            (
                "postV2Review store submission",
                json!({"store_listing_version_id": judged, "is_approved": true, "comments": "fine"}),
            ),
            ("postV2Create agent review", json!({"store_listing_version_id": offered, "score": 5})),
            ("postV1Create credentials", credential.clone()),
            ("postV1Handle postmark email webhooks", delivery),
            (
                "postV2Proxy otto chat request",
                json!({"query": "how?", "conversation_history": [], "message_id": "m"}),
            ),
            ("postV1Update user timezone", json!({"timezone": "Europe/Berlin"})),
            ("postV1Update user email", json!(format!("{user}@example.test"))),
            (
                "postV2Add credits to user",
                json!({"user_id": self.known.ids["user_id"], "amount": 100, "comments": "a gift"}),
            ),
            ("putV1Set active graph version", json!({"active_graph_version": 1})),
            ("postV1Create execution schedule", schedule()),
            ("postV2Create a new preset", preset(&graph_id)),
            ("postV2Create store submission", submission(&graph_id, "another")),
            ("postV2Update user profile", profile(&user_name(user))),
            ("postV1Configure auto top up", json!({"amount": 500, "threshold": 0})),
            ("postV1Execute graph block", greeting.clone()),
            ("post /blocks/{block_id}/execute", greeting),
            ("post /integrations/{provider}/credentials", credential),
            ("post /integrations/{provider}/oauth/initiate", json!({ "callback_url": CALLBACK })),
            ("post /tools/run-agent", json!({"username_agent_slug": agent, "inputs": {"name": "Ada"}})),
        ]);
        self.of("postV2Review store submission", "store_listing_version_id", judged);
        for operation in ["getV1Initiate oauth flow", "post /integrations/{provider}/oauth/initiate"] {
            self.of(operation, "provider", "github".to_owned());
        }
        for operation in ["postV1Exchange oauth code for tokens", "post /integrations/{provider}/oauth/complete"] {
            let begun = had.found("/api/integrations/github/login").await?;
            let consent = json!({"code": "code", "state_token": text(&begun, "/state_token")?});
            self.known.bodies.insert(operation, consent);
            self.of(operation, "provider", "github".to_owned());
        }
        Ok(())
    }

    /// Names something in one operation only.
    fn of(&mut self, operation: &'static str, name: &str, id: String) {
        self.known.of.entry(operation).or_default().insert(name.to_owned(), Value::String(id));
    }
}

/// An agent of somebody else's that the catalogue offers. The owner's own name there is for requests to change.
struct Offer {
    user: Uuid,
    username: String,
    version_id: String,
}

impl Offer {
    async fn new(base: &str, administrator: &Having) -> Result<Self> {
        let creator = Having(Client::new_user(base).await);
        let username = creator.profile().await?;
        let version_id = creator.submission("agent").await?;
        let review = json!({"store_listing_version_id": version_id, "is_approved": true, "comments": "fine"});
        let path = format!("/api/store/admin/submissions/{version_id}/review");
        administrator.made(&path, review).await?;
        Ok(Self {
            user: creator.0.user,
            username,
            version_id,
        })
    }
}

/// Somebody who makes things; each answers with its id.
struct Having(Client);

impl Having {
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

    /// The name under which the catalogue knows the user.
    async fn profile(&self) -> Result<String> {
        let username = user_name(self.0.user);
        self.made("/api/store/profile", profile(&username)).await?;
        Ok(username)
    }

    async fn graph(&self, graph: Value) -> Result<String> {
        text(&self.made("/api/graphs", json!({ "graph": graph })).await?, "/id")
    }

    async fn run(&self, graph_id: &str) -> Result<String> {
        let inputs = json!({"inputs": {"name": "Ada", "draft": "a draft"}});
        text(&self.made(&format!("/api/graphs/{graph_id}/execute/1"), inputs).await?, "/id")
    }

    /// Waits until a run rests.
    async fn settled(&self, graph_id: &str, run: &str) -> Result<Value> {
        Ok(self.0.finished(graph_id.parse()?, run.parse()?, PATIENCE).await)
    }

    /// A node execution that waits for a decision.
    async fn under_review(&self) -> Result<String> {
        let graph_id = self.graph(graphs::reviewed(false)).await?;
        let run = self.run(&graph_id).await?;
        self.settled(&graph_id, &run).await?;
        let reviews = self.found(&format!("/api/review/execution/{run}")).await?;
        text(&reviews, "/0/node_exec_id")
    }

    async fn library_agent(&self, graph_id: &str) -> Result<String> {
        text(&self.found(&format!("/api/library/agents/by-graph/{graph_id}")).await?, "/id")
    }

    async fn preset(&self, graph_id: &str) -> Result<String> {
        text(&self.made("/api/library/presets", preset(graph_id)).await?, "/id")
    }

    async fn schedule(&self, graph_id: &str) -> Result<String> {
        text(&self.made(&format!("/api/graphs/{graph_id}/schedules"), schedule()).await?, "/id")
    }

    async fn credential(&self) -> Result<String> {
        let credential = json!({"provider": "openai", "type": "api_key", "title": "a credential", "api_key": "sk"});
        text(&self.made("/api/integrations/openai/credentials", credential).await?, "/id")
    }

    async fn key(&self, permissions: Value) -> Result<Value> {
        self.made("/api/api-keys", json!({"name": "a key", "permissions": permissions})).await
    }

    /// A version of an agent that waits for its approval.
    async fn submission(&self, slug: &str) -> Result<String> {
        let graph_id = self.graph(graphs::greeting()).await?;
        let made = self.made("/api/store/submissions", submission(&graph_id, slug)).await?;
        text(&made, "/store_listing_version_id")
    }
}

fn user_name(user: Uuid) -> String {
    format!("user-{}", user.simple())
}

fn profile(username: &str) -> Value {
    json!({"name": "Somebody", "username": username, "description": "", "links": [], "avatar_url": ""})
}

fn preset(graph_id: &str) -> Value {
    json!({"graph_id": graph_id, "graph_version": 1, "inputs": {}, "credentials": {}, "name": "preset", "description": ""})
}

fn schedule() -> Value {
    json!({"name": "weekly", "cron": "0 9 * * 1", "inputs": {"name": "Ada"}})
}

fn submission(graph_id: &str, slug: &str) -> Value {
    json!({"agent_id": graph_id, "agent_version": 1, "slug": slug, "name": "agent", "sub_heading": "short"})
}

fn all_permissions() -> Value {
    json!([
        "EXECUTE_GRAPH",
        "READ_GRAPH",
        "EXECUTE_BLOCK",
        "READ_BLOCK",
        "READ_STORE",
        "USE_TOOLS",
        "MANAGE_INTEGRATIONS",
        "READ_INTEGRATIONS",
        "DELETE_INTEGRATIONS",
    ])
}

/// Of a link in a mail to the user.
fn unsubscribe_token(user: Uuid) -> Result<String> {
    let settings = Settings::from_pairs([("UNSUBSCRIBE_SECRET_KEY", UNSUBSCRIBE_SECRET_KEY)])?;
    let unsubscriber = Unsubscriber::from_settings(&settings).ok_or("links are not signed")?;
    Ok(unsubscriber.token(user))
}

fn ids<const N: usize>(pairs: [(&str, String); N]) -> Ids {
    pairs.into_iter().map(|(name, id)| (name.to_owned(), Value::String(id))).collect()
}

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("{pointer} of {value} is no text").into())
}
