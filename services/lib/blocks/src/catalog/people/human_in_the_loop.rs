//! Lets a person look at data before it goes on (internals §2.14).

use std::borrow::Cow;

use async_trait::async_trait;
use engine::block::{BlockDescriptor, BlockKind, Effects};
use engine::types::PinType;
use model::Map;
use model::review::{ReviewResult, ReviewStatus};
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::{Block, BlockContext, Failure, Wait};
use crate::checks::{Declared, PinChecks};
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::platform::Question;

pub(crate) struct HumanInTheLoop(Declared);

impl HumanInTheLoop {
    pub(crate) fn new() -> Self {
        let described = Describe::new(
            uuid!("8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d"),
            "HumanInTheLoopBlock",
            "Stops here until a person has approved or rejected the data.",
        )
        .categories(&["BASIC"])
        .kind(BlockKind::HumanInTheLoop)
        // The question is kept: asked again, it has the same answer.
        .effects(Effects::Idempotent)
        .input(required("data", PinType::Any).about("What is to be reviewed."))
        .input(required("name", PinType::Str).about("What the data is, in the reviewer's words."))
        .input(optional("editable", PinType::Bool, json!(true)).about("Whether the reviewer may change the data."))
        .output(output("reviewed_data", PinType::Any).about("The data as approved, with the reviewer's changes."))
        .output(output("status", PinType::literal(["approved", "rejected"])).about("What was decided."))
        .output(output("review_message", PinType::Str).about("What the reviewer has to say."));
        Self(described.build())
    }
}

#[async_trait]
impl Block for HumanInTheLoop {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.0.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.0.checks)
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let mut input = Inputs(input);
        let data = input.value("data");
        if !context.execution.safe_mode {
            return pass(out, "approved", Some(data), "Auto-approved (safe mode disabled)".to_owned()).await;
        }
        let question = Question {
            data,
            instructions: input.text("name"),
            editable: input.flag("editable"),
        };
        match context.platform.review(context, question).await? {
            None => Err(Failure::Wait(Wait::Person)),
            Some(ReviewResult {
                status: ReviewStatus::Approved,
                data,
                message,
                ..
            }) => pass(out, "approved", Some(data.unwrap_or_default()), message).await,
            Some(ReviewResult { message, .. }) => pass(out, "rejected", None, message).await,
        }
    }
}

async fn pass(out: &mut Emitter<'_>, status: &str, data: Option<Value>, message: String) -> Result<(), Failure> {
    out.emit("status", status).await?;
    if let Some(data) = data {
        out.emit("reviewed_data", data).await?;
    }
    if !message.is_empty() {
        out.emit("review_message", message).await?;
    }
    Ok(())
}
