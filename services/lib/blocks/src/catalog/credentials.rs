//! The pin on which a block is given a reference to credentials (internals §8.1), and the way from there to the secret.

use engine::types::PinType;
use model::CredentialsMetaInput;
use model::credentials::OpenCredential;
use serde_json::{Value, json};

use crate::block::{BlockContext, Failure};
use crate::describe::{PinSpec, required};
use crate::immediate::Inputs;

/// The pin `credentials`, for one kind of credentials of some providers.
pub(super) fn pin(providers: &[&str], kind: &str) -> PinSpec {
    required("credentials", PinType::Opaque).about("The credentials to use.").schema(json!({
        "type": "object",
        "properties": {
            "id": { "type": "string", "title": "Id" },
            "title": { "anyOf": [{ "type": "string" }, { "type": "null" }], "default": null, "title": "Title" },
            "provider": { "type": "string", "enum": providers, "title": "Provider" },
            "type": { "type": "string", "enum": [kind], "title": "Type" },
        },
        "required": ["id", "provider", "type"],
        "credentials_provider": providers,
        "credentials_types": [kind],
    }))
}

pub(super) fn reference(input: &mut Inputs) -> Result<CredentialsMetaInput, Failure> {
    serde_json::from_value(Value::Object(input.map("credentials")))
        .map_err(|error| Failure::raised(format!("the credentials are no reference: {error}")))
}

/// The secret behind the reference, to be used at once.
pub(super) async fn open(input: &mut Inputs, context: &BlockContext) -> Result<OpenCredential, Failure> {
    let reference = reference(input)?;
    context.platform.credential(context, &reference).await
}
