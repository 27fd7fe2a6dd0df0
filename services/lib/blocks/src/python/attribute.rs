//! Python attribute look-up on JSON values, which FindInDictionary falls back to.

use serde_json::{Value, json};

/// What `getattr(value, name)` finds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Attribute {
    /// A plain value, for example `real` of a number.
    Value(Value),
    /// A method or another object that no output can carry.
    Object,
    Missing,
}

const OBJECT: &[&str] = &[
    "__class__",
    "__delattr__",
    "__dir__",
    "__doc__",
    "__eq__",
    "__format__",
    "__ge__",
    "__getattribute__",
    "__getstate__",
    "__gt__",
    "__hash__",
    "__init__",
    "__init_subclass__",
    "__le__",
    "__lt__",
    "__ne__",
    "__new__",
    "__reduce__",
    "__reduce_ex__",
    "__repr__",
    "__setattr__",
    "__sizeof__",
    "__str__",
    "__subclasshook__",
];
const MAP: &[&str] = &[
    "clear",
    "copy",
    "fromkeys",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
    "__len__",
    "__iter__",
];
const LIST: &[&str] = &[
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort", "__len__", "__iter__",
];
const TEXT: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "maketrans",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "translate",
    "upper",
    "zfill",
    "__len__",
    "__iter__",
];
const INT: &[&str] = &[
    "as_integer_ratio",
    "bit_count",
    "bit_length",
    "conjugate",
    "from_bytes",
    "to_bytes",
    "__int__",
    "__float__",
];
const FLOAT: &[&str] = &["as_integer_ratio", "conjugate", "fromhex", "hex", "is_integer", "__int__", "__float__"];

pub(crate) fn attribute(value: &Value, name: &str) -> Attribute {
    if let Some(plain) = number_part(value, name) {
        return Attribute::Value(plain);
    }
    let own = match value {
        Value::Object(_) => MAP,
        Value::Array(_) => LIST,
        Value::String(_) => TEXT,
        Value::Number(number) if number.is_f64() => FLOAT,
        Value::Number(_) | Value::Bool(_) => INT,
        Value::Null => &[],
    };
    if own.contains(&name) || OBJECT.contains(&name) {
        Attribute::Object
    } else {
        Attribute::Missing
    }
}

/// Numbers carry their real and imaginary part, integers their numerator and denominator.
fn number_part(value: &Value, name: &str) -> Option<Value> {
    let whole = match value {
        Value::Bool(flag) => json!(i32::from(*flag)),
        Value::Number(_) => value.clone(),
        _ => return None,
    };
    let is_float = whole.is_f64();
    match name {
        "real" => Some(whole),
        "imag" if is_float => Some(json!(0.0)),
        "imag" => Some(json!(0)),
        "numerator" if !is_float => Some(whole),
        "denominator" if !is_float => Some(json!(1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Attribute, attribute};

    #[test]
    fn methods_are_found_and_cannot_be_output() {
        assert_eq!(attribute(&json!({}), "keys"), Attribute::Object);
        assert_eq!(attribute(&json!({}), "a"), Attribute::Missing);
        assert_eq!(attribute(&json!(5), "real"), Attribute::Value(json!(5)));
        assert_eq!(attribute(&json!(1.5), "numerator"), Attribute::Missing);
    }
}
