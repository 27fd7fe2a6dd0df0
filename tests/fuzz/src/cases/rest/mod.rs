//! Schemathesis over the operations of both served OpenAPI documents, as a user who has one of everything and is an administrator, with an
//! API key that may do everything.

mod around;
mod blocks;
mod document;
mod owner;
mod reach;
mod schemathesis;

use around::Around;
use contract_tests::app::App;
use reach::Reach;

use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

pub const NAME: &str = "rest";

pub async fn run(scope: &Scope) -> Result<Outcome> {
    let around = Around::start().await?;
    let given = around.settings();
    let given = given.iter().map(|(name, value)| (*name, value.as_str()));
    let settings: Vec<(&str, &str)> = given.chain(owner::SETTINGS.iter().copied()).collect();
    let app = App::start(&settings).await;
    let owner = owner::Owner::new(&app.rest()).await?;
    let internal = owner.client.get("/openapi.json").await.body;
    let external = owner.client.get("/external-api/openapi.json").await.body;
    let document = document::naming(document::joined(internal, external), &owner.known);
    let requests = blocks::apart(document.clone(), &owner.client.get("/api/blocks").await.body)?;
    let headers = [
        ("Authorization", format!("Bearer {}", owner.token)),
        ("X-API-Key", owner.api_key),
        ("X-Postmark-Webhook-Token", owner::POSTMARK_TOKEN.to_owned()),
    ];
    let before = reach::successes(&app.rest()).await?;
    let mut run = schemathesis::run(&app.rest(), &headers, &requests, scope).await?;
    let reach = Reach::new(&document, &before, &reach::successes(&app.rest()).await?);
    // A bounded run may have come to its end before it came to all.
    if scope.longest.is_none() {
        run.failures.extend(reach.complaints);
    }
    let told = format!("{} of {} operations were answered with success", reach.reached, reach.operations);
    Ok(Outcome::new(NAME, run.requests, run.failures).telling(told))
}
