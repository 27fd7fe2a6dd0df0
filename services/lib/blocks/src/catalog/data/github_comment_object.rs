//! Builds one review comment for GitHub. No network.

use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

/// The side that GitHub assumes; it is left out.
const DEFAULT_SIDE: &str = "RIGHT";

pub(crate) fn block() -> Immediate {
    let line = || PinType::optional(PinType::Int);
    let side = || PinType::optional(PinType::Str);
    let descriptor = Describe::new(
        uuid!("b7d5e4f2-8c3a-4e6b-9f1d-7a8b9c5e4d3f"),
        "GithubCreateCommentObjectBlock",
        "Builds a comment for a GitHub pull request review.",
    )
    .categories(&["DEVELOPER_TOOLS"])
    .input(required("path", PinType::Str).about("The file to comment on.").placeholder("src/main.py"))
    .input(required("body", PinType::Str).about("The comment.").placeholder("Please fix this issue"))
    .input(optional("position", line(), Value::Null).about("The position in the diff."))
    .input(optional("line", line(), Value::Null).about("The line of the file, used when there is no position."))
    .input(optional("side", side(), json!(DEFAULT_SIDE)).about("The side of the diff: LEFT or RIGHT."))
    .input(optional("start_line", line(), Value::Null).about("The first line of a comment on several lines."))
    .input(optional("start_side", side(), Value::Null).about("The side of the first line."))
    .output(output("comment_object", PinType::object()).about("The comment."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut comment = Map::new();
    comment.insert("path".to_owned(), input.value("path"));
    comment.insert("body".to_owned(), input.value("body"));
    let line = input.optional("line");
    if let Some(position) = input.optional("position").or(line) {
        comment.insert("position".to_owned(), position);
    }
    let side = input.optional("side").filter(|side| side != DEFAULT_SIDE);
    for (name, value) in [
        ("side", side),
        ("start_line", input.optional("start_line")),
        ("start_side", input.optional("start_side")),
    ] {
        if let Some(value) = value {
            comment.insert(name.to_owned(), value);
        }
    }
    out.emit("comment_object", comment);
    Ok(())
}
