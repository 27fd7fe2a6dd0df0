//! Takes the parts of a text that match a regular expression.

use std::borrow::Cow;

use async_trait::async_trait;
use engine::block::BlockDescriptor;
use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};
use uuid::uuid;

use super::match_text_pattern::flags;
use crate::block::{Block, BlockContext, Failure};
use crate::checks::{Declared, PinChecks};
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::pattern::{self, Pattern, PatternError};

/// Characters of the text that are searched.
const MAX_TEXT: usize = 1_000_000;
const MAX_MATCHES: usize = 1000;
/// Characters of one match that are kept.
const MAX_MATCH: usize = 10_000;

pub(crate) struct ExtractTextInformation(Declared);

impl ExtractTextInformation {
    pub(crate) fn new() -> Self {
        let descriptor = Describe::new(
            uuid!("3146e4fe-2cdd-4f29-bd12-0c9d5bb4deb0"),
            "ExtractTextInformationBlock",
            "Extracts what matches a regular expression from a text.",
        )
        .categories(&["TEXT"])
        .input(required("text", PinType::Any).about("The text to look in."))
        .input(required("pattern", PinType::Str).about("The regular expression."))
        .input(optional("group", PinType::Int, json!(0)).about("The group to extract; 0 is the whole match."))
        .inputs(flags())
        .input(optional("find_all", PinType::Bool, json!(false)).about("Whether to extract every match."))
        .output(output("positive", PinType::Str).about("The extracted text."))
        .output(output("negative", PinType::Str).about("The original text, when nothing matches."))
        .output(output("matched_results", PinType::list(PinType::Str)).about("All that was extracted."))
        .output(output("matched_count", PinType::Int).about("How many matches there are."));
        Self(descriptor.build())
    }
}

#[async_trait]
impl Block for ExtractTextInformation {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.0.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.0.checks)
    }

    async fn run(&self, input: Map, _context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let mut input = Inputs(input);
        let text = input.value("text");
        let (pattern, case_sensitive, dot_all) = (input.text("pattern"), input.flag("case_sensitive"), input.flag("dot_all"));
        let (group, find_all) = (input.integer("group"), input.flag("find_all"));
        let searched: String = pattern::text_of(&text).chars().take(MAX_TEXT).collect();
        let found = pattern::offload(move || extract(&Pattern::new(&pattern, case_sensitive, dot_all)?, &searched, group)).await;
        // A pattern that is none, or that takes too long, counts as no match.
        let mut results = found.unwrap_or_default();
        if !find_all {
            results.truncate(1);
        }
        for result in &results {
            out.emit("positive", result.clone()).await?;
        }
        if results.is_empty() {
            out.emit("negative", text).await?;
        }
        let count = results.len();
        out.emit("matched_results", results.into_iter().map(Value::from).collect::<Vec<Value>>())
            .await?;
        out.emit("matched_count", count).await
    }
}

fn extract(pattern: &Pattern, text: &str, group: i64) -> Result<Vec<String>, PatternError> {
    // Only matches that have the group count.
    let Some(group) = usize::try_from(group).ok().filter(|group| *group <= pattern.groups()) else {
        return Ok(Vec::new());
    };
    let found = pattern.find_all(text, group, MAX_MATCHES)?;
    Ok(found
        .into_iter()
        .flatten()
        .map(|matched| matched.chars().take(MAX_MATCH).collect())
        .collect())
}
