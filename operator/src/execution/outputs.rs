//! Outputs as they fit into a status.

use model::execution::Outputs;
use serde_json::{Map, Value};

/// What all outputs together may take, as JSON.
pub const LIMIT: usize = 32 * 1024;
/// The schema's bound on the number of outputs.
const NAMES: usize = 256;

/// The outputs, and whether something was left out. What does not fit is left out from the end; a text is shortened.
pub fn fit(outputs: &Outputs) -> (Map<String, Value>, bool) {
    let mut kept = Map::new();
    let mut left = LIMIT;
    let mut truncated = false;
    for (name, values) in outputs {
        let cost = name.len() + 8;
        if kept.len() == NAMES || cost > left {
            return (kept, true);
        }
        left -= cost;
        let mut list = Vec::new();
        for value in values {
            let size = value.to_string().len() + 1;
            if size <= left {
                left -= size;
                list.push(value.clone());
                continue;
            }
            truncated = true;
            // The beginning of a long text says more than nothing.
            if let Value::String(text) = value {
                list.extend(beginning(text, left.saturating_sub(1)));
            }
            break;
        }
        kept.insert(name.clone(), Value::Array(list));
        if truncated {
            return (kept, true);
        }
    }
    (kept, truncated)
}

/// The longest beginning of a text, by halves, that takes at most so many bytes as JSON.
fn beginning(text: &str, room: usize) -> Option<Value> {
    let mut length = room;
    while length > 16 {
        let mut text = text.to_owned();
        crds::conditions::truncate(&mut text, length);
        let value = Value::String(text);
        if value.to_string().len() <= room {
            return Some(value);
        }
        // Control characters and quotes take more room as JSON.
        length /= 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outputs(pairs: &[(&str, Vec<Value>)]) -> Outputs {
        pairs.iter().map(|(name, values)| ((*name).to_owned(), values.clone())).collect()
    }

    #[test]
    fn small_outputs_stand_whole() {
        let (kept, truncated) = fit(&outputs(&[("a", vec![json!(1), json!({"b": [null]})]), ("c", vec![])]));
        assert_eq!((Value::Object(kept), truncated), (json!({"a": [1, {"b": [null]}], "c": []}), false));
    }

    #[test]
    fn large_outputs_are_cut_and_stay_below_the_limit() {
        for long in [json!("é".repeat(LIMIT)), json!("\u{1}\"".repeat(LIMIT)), json!(vec![1; LIMIT])] {
            let (kept, truncated) = fit(&outputs(&[
                ("first", vec![json!("short")]),
                ("second", vec![long]),
                ("third", vec![json!(1)]),
            ]));
            assert!(truncated && kept.contains_key("first") && !kept.contains_key("third"));
            assert!(Value::Object(kept).to_string().len() <= LIMIT);
        }
    }

    #[test]
    fn the_number_of_outputs_is_bounded() {
        let many: Vec<(String, Vec<Value>)> = (0..300).map(|number| (number.to_string(), vec![json!(1)])).collect();
        let (kept, truncated) = fit(&many.into_iter().collect());
        assert_eq!((kept.len(), truncated), (NAMES, true));
    }
}
