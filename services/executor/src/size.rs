//! How large a value is as JSON, without serialising it: for the size statistics.

use model::Map;
use serde_json::Value;

/// Bytes of the compact JSON text. Escapes are not counted, so text may come out a little larger.
pub fn of_value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number_length(number),
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| of_value(item) + 1).sum::<usize>(),
        Value::Object(map) => of_map(map),
    }
}

/// Bytes of the compact JSON text, exactly; as slow as writing it.
pub fn written(value: &Value) -> usize {
    struct Counted(usize);
    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // Counting cannot fail, and a value is always JSON.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

pub fn of_map(map: &Map) -> usize {
    2 + map.iter().map(|(key, value)| key.len() + 4 + of_value(value)).sum::<usize>()
}

fn number_length(number: &serde_json::Number) -> usize {
    match (number.as_u64(), number.as_i64()) {
        (Some(number), _) => digits(number),
        (None, Some(number)) => 1 + digits(number.unsigned_abs()),
        // A float has at most 17 significant digits, a point, a sign and an exponent.
        (None, None) => 24,
    }
}

fn digits(number: u64) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_size_is_near_the_length_of_the_text() {
        for value in [
            json!(null),
            json!([1, -20, true, false]),
            json!({"a": "text", "b": [{"c": 100}]}),
            json!("x"),
            json!(0),
        ] {
            let text = value.to_string().len();
            let size = super::of_value(&value);
            assert!(size >= text && size <= text + 8, "{value}: {size} for {text}");
        }
    }

    #[test]
    fn what_is_written_is_counted_with_its_escapes() {
        for value in [json!({"a": "\n\"ä"}), json!([1.5, null]), json!("")] {
            assert_eq!(super::written(&value), value.to_string().len());
        }
    }
}
