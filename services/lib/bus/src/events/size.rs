//! Events that fit: long texts lose their middle, long lists their end (internals §3.1).

use model::event::EventEnvelope;
use model::execution::Outputs;
use model::{ExecutionEvent, Map};
use serde::Serialize;
use serde_json::{Value, json};

/// An [`EventEnvelope`] that is only looked at.
#[derive(Serialize)]
pub(super) struct Seen<'a> {
    pub payload: &'a ExecutionEvent,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev: Option<i64>,
}

/// The event as compact JSON of at most `limit` bytes. Inputs and outputs are shortened when they take more than half of it each, and further
/// while that is not enough: escapes take more than they count for. What is too large without them becomes the contract's notice of that,
/// which readers drop.
pub(super) fn fitted(event: Seen<'_>, limit: usize) -> Vec<u8> {
    let whole = written(&event);
    if whole.len() <= limit {
        return whole;
    }
    let mut envelope = EventEnvelope {
        payload: event.payload.clone(),
        seq: event.seq,
        prev: event.prev,
    };
    let half = limit / 2;
    let mut share = half;
    while share > 0 {
        match &mut envelope.payload {
            ExecutionEvent::NodeExecutionUpdate(node) => {
                shorten_map(&mut node.input_data, share);
                shorten_outputs(&mut node.output_data, share);
            }
            ExecutionEvent::GraphExecutionUpdate(graph) => {
                if let Some(inputs) = &mut graph.meta.inputs {
                    shorten_map(inputs, share);
                }
                shorten_outputs(&mut graph.outputs, share);
                // They travel whole if they can.
                let masks = graph.meta.nodes_input_masks.iter_mut().filter(|_| share < half);
                masks.flat_map(|masks| masks.values_mut()).for_each(|mask| shorten_map(mask, share));
            }
        }
        let shortened = written(&envelope);
        if shortened.len() <= limit {
            return shortened;
        }
        share /= 4;
    }
    let notice = json!({"payload": {
        "event_type": "error_comms_update",
        "error": "Payload too large for Redis transmission",
        "original_size_bytes": whole.len(),
        "max_size_bytes": limit,
    }});
    notice.to_string().into_bytes()
}

fn written(envelope: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(envelope).unwrap_or_default()
}

fn shorten_map(map: &mut Map, limit: usize) {
    let mut value = Value::Object(std::mem::take(map));
    shorten(&mut value, limit);
    if let Value::Object(shortened) = value {
        *map = shortened;
    }
}

/// All pins together.
fn shorten_outputs(outputs: &mut Outputs, limit: usize) {
    let whole = std::mem::take(outputs);
    let mut value = Value::Object(whole.into_iter().map(|(name, values)| (name, Value::Array(values))).collect());
    shorten(&mut value, limit);
    if let Value::Object(shortened) = value {
        outputs.extend(shortened.into_iter().map(|(name, values)| match values {
            Value::Array(values) => (name, values),
            omitted => (name, vec![omitted]),
        }));
    }
}

/// Tries ever smaller bounds for texts (65 536 … 8 characters) and lists (4096 … 1 items) until it fits. What has too many parts for that
/// is left out.
fn shorten(value: &mut Value, limit: usize) {
    for step in 0..=13 {
        if size(value) <= limit {
            return;
        }
        cut(value, (4096 >> step).max(1), (65_536 >> step).max(8));
    }
    if let Value::Object(map) = value {
        leave_out(map, limit);
    }
}

/// Puts a marker in the place of entries that do not fit, and leaves out what is beyond the room for that.
fn leave_out(map: &mut Map, limit: usize) {
    let mut room = limit;
    for (name, mut value) in std::mem::take(map) {
        let bytes = size(&value);
        if name.len() + 5 + bytes > room {
            value = Value::String(format!("… (omitted {bytes} bytes)…"));
        }
        let Some(left) = room.checked_sub(name.len() + 5 + size(&value)) else {
            continue;
        };
        room = left;
        map.insert(name, value);
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 1,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>() + 1,
        other => other.to_string().len(),
    }
}

fn cut(value: &mut Value, items: usize, characters: usize) {
    match value {
        Value::String(text) => {
            let length = text.chars().count();
            if length > characters {
                let half = characters / 2;
                let head: String = text.chars().take(half).collect();
                let tail: String = text.chars().skip(length - half).collect();
                *text = format!("{head}… (omitted {} chars)…{tail}", length - 2 * half);
            }
        }
        Value::Array(list) => {
            if list.len() > items {
                let omitted = list.len() - items;
                list.truncate(items);
                list.push(Value::String(format!("… (omitted {omitted} items)…")));
            }
            list.iter_mut().for_each(|item| cut(item, items, characters));
        }
        Value::Object(map) => map.values_mut().for_each(|item| cut(item, items, characters)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_until_it_fits_and_says_so() {
        let mut value = json!({"a": "ä".repeat(100_000), "b": vec!["x".repeat(50); 10_000], "c": 1});
        shorten(&mut value, 20_000);
        assert!(size(&value) <= 20_000, "{}", size(&value));
        let text = value.to_string();
        assert!(text.contains("(omitted") && text.contains("\"c\":1"), "{text}");
    }

    #[test]
    fn a_value_of_too_many_parts_is_left_out_and_its_neighbours_stay() {
        let many: Map = (0..10_000).map(|number| (format!("key {number}"), json!(number))).collect();
        let mut value = json!({"a": 1, "many": many, "z": [true]});
        shorten(&mut value, 1000);
        assert!(size(&value) <= 1000, "{}", size(&value));
        assert_eq!((&value["a"], &value["z"]), (&json!(1), &json!([true])));
        assert!(value["many"].as_str().unwrap().contains("(omitted"), "{value}");
    }

    #[test]
    fn a_value_that_fits_is_untouched() {
        let mut value = json!({"a": [1, "b", null]});
        let before = value.clone();
        shorten(&mut value, 1000);
        assert_eq!(value, before);
    }
}
