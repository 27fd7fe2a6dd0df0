//! A block that shows the credential that it is given, as no real block would.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use blocks::describe::{Describe, output, required};
use blocks::{Block, BlockContext, Declared, Emitter, Failure, PinChecks};
use engine::block::BlockDescriptor;
use engine::types::PinType;
use model::credentials::CredentialSecret;
use model::{CredentialsMetaInput, Map};
use serde_json::{Value, json};
use uuid::uuid;

/// Its id, as graphs name it.
pub const REVEAL: &str = "7e570000-0000-4000-8000-0000000000c0";
/// The name under which a run gives it credentials.
pub const REVEAL_INPUT: &str = "github_api_key_credentials";

struct Reveal(Declared);

/// The block.
pub fn reveal() -> Arc<dyn Block> {
    let credentials = required("credentials", PinType::Any)
        .extra("credentials_provider", json!(["github"]))
        .extra("credentials_types", json!(["api_key"]));
    let block = Describe::new(uuid!("7e570000-0000-4000-8000-0000000000c0"), "RevealBlock", "Shows a key.")
        .categories(&["BASIC"])
        .input(credentials)
        .output(output("key", PinType::Str));
    Arc::new(Reveal(block.build()))
}

#[async_trait]
impl Block for Reveal {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.0.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.0.checks)
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let given = input.get("credentials").cloned().unwrap_or_default();
        let reference: CredentialsMetaInput = serde_json::from_value(given).map_err(|error| Failure::raised(error.to_string()))?;
        match context.platform.credential(context, &reference).await?.secret {
            CredentialSecret::ApiKey { api_key, .. } => out.emit("key", Value::from(api_key)).await,
            other => Err(Failure::raised(format!("{other:?} is no key"))),
        }
    }
}
