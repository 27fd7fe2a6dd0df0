//! Two blocks that take a keyword record of DataForSEO apart. No network.

use engine::types::PinType;
use model::BlockId;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::checks::Declared;
use crate::describe::{Describe, output, required, schema_of};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn suggestion() -> Immediate {
    let descriptor = describe(
        uuid!("4193cb94-677c-48b0-9eec-6ac72fffd0f2"),
        "KeywordSuggestionExtractorBlock",
        "Gives the fields of one keyword suggestion.",
        "suggestion",
    );
    Immediate::new(descriptor, |input, out| run(input, "suggestion", out))
}

pub(crate) fn related_keyword() -> Immediate {
    let descriptor = describe(
        uuid!("98342061-09d2-4952-bf77-0761fc8cc9a8"),
        "RelatedKeywordExtractorBlock",
        "Gives the fields of one related keyword.",
        "related_keyword",
    );
    Immediate::new(descriptor, |input, out| run(input, "related_keyword", out))
}

/// The fields of a record: `keyword` is required, all others may be null.
fn fields() -> [(&'static str, PinType, &'static str); 7] {
    let nullable = PinType::optional;
    [
        ("keyword", PinType::Str, "The keyword."),
        ("search_volume", nullable(PinType::Int), "Searches in a month."),
        ("competition", nullable(PinType::Float), "The competition, from 0 to 1."),
        ("cpc", nullable(PinType::Float), "The cost of a click in dollars."),
        ("keyword_difficulty", nullable(PinType::Int), "How hard it is to rank for."),
        ("serp_info", nullable(PinType::object()), "What is known of the search result page."),
        ("clickstream_data", nullable(PinType::object()), "Clickstream numbers."),
    ]
}

fn describe(id: BlockId, name: &'static str, about: &'static str, pin: &'static str) -> Declared {
    let properties: model::Map = fields().into_iter().map(|(name, ty, _)| (name.to_owned(), schema_of(&ty))).collect();
    let record = json!({ "type": "object", "properties": properties, "required": ["keyword"] });
    let described = Describe::new(id, name, about)
        .categories(&["DATA"])
        .input(required(pin, PinType::Opaque).schema(record).about("The keyword record."));
    let with_outputs = fields()
        .into_iter()
        .fold(described, |described, (name, ty, about)| described.output(output(name, ty).about(about)));
    with_outputs.build()
}

fn run(mut input: Inputs, pin: &str, out: &mut Outputs) -> Result<(), Failure> {
    let mut record = input.map(pin);
    for (name, _, _) in fields() {
        out.emit(name, record.swap_remove(name).unwrap_or(Value::Null));
    }
    Ok(())
}
