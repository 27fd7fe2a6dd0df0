//! What the database does not take: control characters are dropped from everything stored (findings 16).

use serde_json::Value;

/// Removes the control characters U+0000–0008, 000B, 000C, 000E–001F and 007F from every text and key inside `value`.
pub fn make_storable(value: &mut Value) {
    match value {
        Value::String(text) => strip(text),
        Value::Array(items) => items.iter_mut().for_each(make_storable),
        Value::Object(map) => strip_map(map),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

pub(crate) fn strip_map(map: &mut model::Map) {
    map.values_mut().for_each(make_storable);
    if map.keys().any(|key| key.contains(unstorable)) {
        *map = std::mem::take(map)
            .into_iter()
            .map(|(mut key, value)| {
                strip(&mut key);
                (key, value)
            })
            .collect();
    }
}

pub(crate) fn strip(text: &mut String) {
    if text.contains(unstorable) {
        text.retain(|character| !unstorable(character));
    }
}

/// What can be stored of a text.
pub(crate) fn text(text: &str) -> String {
    let mut text = text.to_owned();
    strip(&mut text);
    text
}

fn unstorable(character: char) -> bool {
    matches!(character, '\u{0}'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn control_characters_vanish_and_line_breaks_stay() {
        let mut value = json!({"a\u{0}b": ["x\u{7f}y\t\n\r", {"k": "\u{1b}[0m"}], "n": 1});
        super::make_storable(&mut value);
        assert_eq!(value, json!({"ab": ["xy\t\n\r", {"k": "[0m"}], "n": 1}));
    }
}
