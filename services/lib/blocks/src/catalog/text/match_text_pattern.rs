//! Tells whether a text matches a regular expression.

use std::borrow::Cow;

use async_trait::async_trait;
use engine::block::BlockDescriptor;
use engine::types::PinType;
use model::Map;
use serde_json::json;
use uuid::uuid;

use crate::block::{Block, BlockContext, Failure};
use crate::checks::{Declared, PinChecks};
use crate::describe::{Describe, PinSpec, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::pattern::{self, Pattern};
use crate::python;

pub(crate) struct MatchTextPattern(Declared);

impl MatchTextPattern {
    pub(crate) fn new() -> Self {
        let descriptor = Describe::new(
            uuid!("3060088f-6ed9-4928-9ba7-9c92823a7ccd"),
            "MatchTextPatternBlock",
            "Looks for a regular expression in a text and passes data on one way or the other.",
        )
        .categories(&["TEXT"])
        .input(required("text", PinType::Any).about("The text to look in."))
        .input(required("match", PinType::Str).about("The regular expression."))
        .input(required("data", PinType::Any).about("What to pass on; the text when empty."))
        .inputs(flags())
        .output(output("positive", PinType::Any).about("Given when the text matches."))
        .output(output("negative", PinType::Any).about("Given when the text does not match."));
        Self(descriptor.build())
    }
}

pub(super) fn flags() -> [PinSpec; 2] {
    [
        optional("case_sensitive", PinType::Bool, json!(true)).about("Whether upper and lower case differ."),
        optional("dot_all", PinType::Bool, json!(true)).about("Whether a dot also matches a line end."),
    ]
}

#[async_trait]
impl Block for MatchTextPattern {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.0.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.0.checks)
    }

    async fn run(&self, input: Map, _context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let mut input = Inputs(input);
        let (text, data) = (input.value("text"), input.value("data"));
        let (pattern, case_sensitive, dot_all) = (input.text("match"), input.flag("case_sensitive"), input.flag("dot_all"));
        let searched = pattern::text_of(&text);
        let found = pattern::offload(move || Pattern::new(&pattern, case_sensitive, dot_all)?.is_match(&searched)).await;
        let pin = if found.map_err(|error| Failure::raised(error.to_string()))? {
            "positive"
        } else {
            "negative"
        };
        out.emit(pin, if python::truthy(&data) { data } else { text }).await
    }
}
