//! Asks a model for an object, or a list of objects, with given keys.

use engine::block::Effects;
use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};

use super::chat::{self, Chat};
use super::models;
use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

pub(crate) fn block() -> Acting {
    let flag = |name, default: bool, about: &str| optional(name, PinType::Bool, json!(default)).about(about);
    let descriptor = Describe::new(
        models::STRUCTURED_RESPONSE,
        "AIStructuredResponseGeneratorBlock",
        "Asks a language model for an answer in a given form.",
    )
    .categories(&["AI"])
    .effects(Effects::Idempotent)
    .input(required("prompt", PinType::Str).about("What to ask; {{ name }} stands for a value."))
    .input(
        required("expected_format", PinType::dict(PinType::Str, PinType::Str))
            .about("The keys of the answer, each with a description. None: the answer is plain text."),
    )
    .input(flag("list_result", false, "Whether the answer is a list of such objects."))
    .input(chat::model_pin())
    .input(flag(
        "force_json_output",
        false,
        "Whether to hold the model to JSON. Not every model can be.",
    ))
    .input(chat::credentials_pin())
    .input(chat::system_prompt_pin())
    .input(optional("conversation_history", PinType::list(PinType::object()), json!([])).about("What was said before, as role and content."))
    .input(chat::retry_pin())
    .input(chat::prompt_values_pin())
    .input(chat::max_tokens_pin())
    .input(flag(
        "compress_prompt_to_fit",
        true,
        "Whether a prompt that is too long for the model may be shortened.",
    ))
    .input(chat::ollama_pin())
    .output(
        output("response", PinType::Opaque)
            .schema(json!({ "anyOf": [{ "type": "object" }, { "type": "array", "items": { "type": "object" } }, { "type": "string" }] }))
            .about("The answer."),
    )
    .output(output("prompt", PinType::list(PinType::Any)).about("What was sent to the model."));
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let (system, prompt) = chat::filled(&mut input)?;
        let form = Form {
            keys: input.map("expected_format"),
            is_list: input.flag("list_result"),
        };
        let chat = Chat::open(&mut input, context).await?;
        let mut messages = Vec::new();
        for said in input.list("conversation_history") {
            messages.push(serde_json::from_value(said).map_err(|error| Failure::raised(format!("conversation_history: {error}")))?);
        }
        let told: Vec<String> = [system, form.instructions()].into_iter().filter(|text| !text.is_empty()).collect();
        if !told.is_empty() {
            messages.push(chat::message("system", told.join("\n\n")));
        }
        messages.push(chat::message("user", prompt));
        // A model that is held to JSON objects cannot give a list.
        let held = input.flag("force_json_output") && !form.keys.is_empty() && !form.is_list;
        let tries = input.integer("retry").max(1);
        let mut problem = String::new();
        for attempt in 0..tries {
            let text = chat.ask(&messages, held, &mut out.stats).await?;
            match form.read(&text) {
                Ok(answer) => {
                    out.emit("response", answer).await?;
                    return out.emit("prompt", chat::shown(&messages)).await;
                }
                Err(found) => problem = found,
            }
            out.stats.llm_retry_count += i64::from(attempt + 1 < tries);
            messages.push(chat::message("assistant", text));
            messages.push(chat::message(
                "user",
                format!("That cannot be used: {problem}. Answer again with nothing but the JSON."),
            ));
        }
        Err(Failure::raised(format!(
            "the model gave no usable answer in {tries} attempts; the last problem: {problem}"
        )))
    })
}

/// What the answer must look like.
struct Form {
    /// Key → description. Empty: plain text.
    keys: Map,
    is_list: bool,
}

impl Form {
    fn instructions(&self) -> String {
        if self.keys.is_empty() {
            return String::new();
        }
        let what = if self.is_list {
            "a JSON list of objects, each"
        } else {
            "one JSON object"
        };
        let keys = serde_json::to_string_pretty(&self.keys).unwrap_or_default();
        format!("Answer with nothing but {what} with exactly these keys; their values here describe what belongs there:\n{keys}")
    }

    fn read(&self, text: &str) -> Result<Value, String> {
        if self.keys.is_empty() {
            return Ok(Value::from(text));
        }
        let parsed: Value = serde_json::from_str(json_in(text)).map_err(|error| format!("it is no JSON ({error})"))?;
        match parsed {
            Value::Array(items) if self.is_list => items
                .into_iter()
                .map(|item| self.complete(item))
                .collect::<Result<Vec<Value>, String>>()
                .map(Value::from),
            // One of a list is a list of one.
            object @ Value::Object(_) if self.is_list => Ok(json!([self.complete(object)?])),
            other => self.complete(other),
        }
    }

    fn complete(&self, item: Value) -> Result<Value, String> {
        let Value::Object(fields) = &item else {
            return Err("it is no JSON object".to_owned());
        };
        let missing: Vec<&str> = self.keys.keys().filter(|key| !fields.contains_key(*key)).map(String::as_str).collect();
        if missing.is_empty() {
            Ok(item)
        } else {
            Err(format!("these keys are missing: {}", missing.join(", ")))
        }
    }
}

/// The JSON of an answer that may have a fence or words around it.
fn json_in(text: &str) -> &str {
    let start = text.find(['{', '[']);
    let end = text.rfind(['}', ']']);
    match (start, end) {
        (Some(start), Some(end)) if start <= end => text.get(start..=end).unwrap_or(text),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Form;

    fn form(is_list: bool) -> Form {
        let keys = json!({ "a": "a letter", "b": "another" }).as_object().unwrap().clone();
        Form { keys, is_list }
    }

    #[test]
    fn an_answer_is_found_between_words() {
        let text = "Sure!\n```json\n{\"a\": 1, \"b\": [2]}\n```\nDone.";
        assert_eq!(form(false).read(text), Ok(json!({ "a": 1, "b": [2] })));
        assert_eq!(form(true).read(text), Ok(json!([{ "a": 1, "b": [2] }])));
        assert_eq!(form(true).read("[]"), Ok(json!([])));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(form(false).read("{\"a\": 1}"), Err("these keys are missing: b".to_owned()));
        assert!(form(false).read("no").unwrap_err().starts_with("it is no JSON ("));
        assert_eq!(form(false).read("[1]"), Err("it is no JSON object".to_owned()));
    }
}
