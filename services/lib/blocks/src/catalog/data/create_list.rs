//! Collects values into a list, in chunks when a limit is given.

use engine::types::PinType;
use serde_json::Value;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("a912d5c7-6e00-4542-b2a9-8034136930e4"),
        "CreateListBlock",
        "Creates a list of the given values, or several lists when a limit on their size is given.",
    )
    .categories(&["DATA"])
    .input(
        required("values", PinType::list(PinType::Any))
            .about("The values.")
            .placeholder("[\"Alice\", 25, true]"),
    )
    .input(optional("max_size", PinType::optional(PinType::Int), Value::Null).about("How many items one list holds at most."))
    .input(optional("max_tokens", PinType::optional(PinType::Int), Value::Null).about("How many tokens, by estimate, one list holds at most."))
    .output(output("list", PinType::list(PinType::Any)).about("The list."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let values = input.list("values");
    // Zero is no limit (finding 28).
    let max_size = input.optional_integer("max_size").filter(|limit| *limit != 0);
    let max_tokens = input.optional_integer("max_tokens").filter(|limit| *limit != 0);
    if values.is_empty() {
        out.emit("list", values);
        return Ok(());
    }
    let mut chunk: Vec<Value> = Vec::new();
    let mut chunk_tokens = 0;
    for value in values {
        let tokens = if max_tokens.is_some() { estimated_tokens(&value) } else { 0 };
        let too_many = max_size.is_some_and(|limit| i64::try_from(chunk.len()).unwrap_or(i64::MAX) >= limit);
        let too_long = max_tokens.is_some_and(|limit| chunk_tokens + tokens > limit);
        // A value beyond a limit of its own leaves an empty list before it (finding 28).
        if too_many || too_long {
            out.emit("list", std::mem::take(&mut chunk));
            chunk_tokens = 0;
        }
        chunk.push(value);
        chunk_tokens += tokens;
    }
    out.emit("list", chunk);
    Ok(())
}

/// About what a language model's tokenizer counts: a token for every started six letters of a word, three digits, or mark.
fn estimated_tokens(value: &Value) -> i64 {
    let text = python::str_of(value);
    let mut tokens = 0;
    let (mut letters, mut digits) = (0_i64, 0_i64);
    for letter in text.chars().chain([' ']) {
        match letter {
            _ if letter.is_numeric() => digits += 1,
            _ if letter.is_alphabetic() => letters += 1,
            _ => {
                tokens += (letters + 5) / 6 + (digits + 2) / 3 + i64::from(!letter.is_whitespace());
                (letters, digits) = (0, 0);
            }
        }
    }
    tokens
}
