//! Schemathesis over the operations of the served OpenAPI document, as a user who has one of everything and is an administrator.

mod document;
mod owner;
mod schemathesis;

use contract_tests::app::App;

use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

pub const NAME: &str = "rest";

pub async fn run(scope: &Scope) -> Result<Outcome> {
    // With an address for webhooks and uploads: without one they can only say that it is missing.
    let app = App::start(&[("PLATFORM_BASE_URL", "http://localhost:8006")]).await;
    let owner = owner::Owner::new(&app.rest()).await?;
    let served = owner.client.get("/openapi.json").await.body;
    let document = document::naming(served, &owner.ids);
    let run = schemathesis::run(&app.rest(), &owner.token, &document, scope).await?;
    Ok(Outcome::new(NAME, run.requests, run.failures))
}
