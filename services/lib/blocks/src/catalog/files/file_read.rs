//! Reads a text file, whole or in parts.

use engine::types::PinType;
use serde_json::json;
use uuid::uuid;

use super::{take_in, text_of};
use crate::acting::{Acted, Acting};
use crate::block::BlockContext;
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

pub(crate) fn block() -> Acting {
    let count = |name, about: &str| optional(name, PinType::Int, json!(0)).about(about);
    let descriptor = Describe::new(
        uuid!("3735a31f-7e18-4aca-9e90-08a7120674bc"),
        "FileReadBlock",
        "Reads a text file and gives its content, whole or in parts.",
    )
    .categories(&["DATA", "TEXT"])
    .input(required("file_input", PinType::File).about("The file: a URL, a data URI or a file of this run."))
    .input(optional("delimiter", PinType::Str, json!("")).about("What separates the rows of the file; none: it is one row."))
    .input(count("size_limit", "How many characters one part has at most; 0: no limit."))
    .input(count("row_limit", "How many rows to keep; 0: all."))
    .input(count("skip_size", "How many characters to leave out at the beginning."))
    .input(count("skip_rows", "How many rows to leave out at the beginning."))
    .output(output("content", PinType::Str).about("The content, or each part of it."));
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let file = take_in(context, &input.text("file_input")).await?;
        let text = text_of(file.content);
        let delimiter = input.text("delimiter");
        // Negative limits are none (finding 28).
        let count = |name: &str| usize::try_from(input.integer(name)).unwrap_or_default();
        let text: String = text.chars().skip(count("skip_size")).collect();
        let rows: Vec<&str> = if delimiter.is_empty() {
            vec![&text]
        } else {
            text.split(delimiter.as_str()).collect()
        };
        let limit = match count("row_limit") {
            0 => usize::MAX,
            limit => limit,
        };
        let kept: Vec<&str> = rows.into_iter().skip(count("skip_rows")).take(limit).collect();
        let text = kept.join(&delimiter);
        let size = count("size_limit");
        // Nothing comes of an empty file, but one empty text when no row is left (recorded: graph-0245).
        if text.is_empty() && !kept.is_empty() {
            return Ok(());
        }
        if size == 0 || text.is_empty() {
            return out.emit("content", text).await;
        }
        let letters: Vec<char> = text.chars().collect();
        for part in letters.chunks(size) {
            out.emit("content", part.iter().collect::<String>()).await?;
        }
        Ok(())
    })
}
