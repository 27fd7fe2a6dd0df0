//! The summary of an article of Wikipedia.

use engine::block::Effects;
use engine::types::PinType;
use outside::{WebRequest, read_url};
use serde_json::Value;
use uuid::uuid;

use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::describe::{Describe, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

pub(crate) fn block() -> Acting {
    let descriptor = Describe::new(
        uuid!("f5b0f5d0-1862-4d61-94be-3ad0fa772760"),
        "GetWikipediaSummaryBlock",
        "Gives the summary of an article of Wikipedia.",
    )
    .categories(&["SEARCH"])
    .effects(Effects::Idempotent)
    .input(required("topic", PinType::Str).about("The title of the article."))
    .output(output("summary", PinType::Str).about("The summary."));
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let raised = |error: &dyn std::fmt::Display| Failure::raised(error.to_string());
        let url = read_url(&format!("https://en.wikipedia.org/api/rest_v1/page/summary/{}", input.text("topic"))).map_err(|error| raised(&error))?;
        let reply = context.outside.web().send(WebRequest::get(url)).await.map_err(|error| raised(&error))?;
        let article: Value = serde_json::from_slice(&reply.body).map_err(|error| raised(&error))?;
        let summary = article.get("extract").and_then(Value::as_str);
        let summary = summary.ok_or_else(|| Failure::raised(format!("Wikipedia has no such article (status {})", reply.status)))?;
        out.emit("summary", summary).await
    })
}
