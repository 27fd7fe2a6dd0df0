//! Text templates: Jinja as the reference runs it, which is sandboxed and without globals (blocks-local, porting notes).

mod filters;
mod methods;

use std::fmt::{self, Write};
use std::sync::LazyLock;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use model::Map;
use serde_json::Value as Json;

use crate::bounds::{LONGEST_TEXT, MOST_VALUES};
use crate::python;

/// Steps that one rendering may take; a runaway loop ends with an error.
const FUEL: u64 = 3_000_000;
/// Names under which templates are compiled: the name decides about escaping.
const ESCAPED: &str = "escaped";
const PLAIN: &str = "plain";

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

/// Renders `template` with the given variables. The error is the engine's text.
pub(crate) fn render(template: &str, variables: Map, escape_html: bool) -> Result<String, String> {
    let name = if escape_html { ESCAPED } else { PLAIN };
    let compiled = ENVIRONMENT.template_from_named_str(name, template).map_err(|error| describe(&error))?;
    compiled.render(value_of(&Json::Object(variables))).map_err(|error| describe(&error))
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|name| if name == ESCAPED { AutoEscape::Html } else { AutoEscape::None });
    environment.set_formatter(write_value);
    environment.set_unknown_method_callback(methods::call);
    let globals: Vec<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
    for name in globals {
        environment.remove_global(&name);
    }
    filters::install(&mut environment);
    environment
}

/// A JSON value as templates see it.
fn value_of(value: &Json) -> Value {
    match value {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(whole)) => Value::from(whole),
            (None, None) => Value::from(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(value_of).collect::<Vec<Value>>()),
        Json::Object(map) => Value::from_pairs(map.iter().map(|(key, value)| (key.as_str(), value_of(value)))),
    }
}

/// What went wrong in the words of the reference's engine where they are known, without the template's name and source.
fn describe(error: &Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let subject = |before: &str, after: &str| detail.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    let known = match error.kind() {
        ErrorKind::UnknownFilter => subject("filter ", " is unknown").map(|name| format!("No filter named '{name}'.")),
        ErrorKind::UnknownTest => subject("test ", " is unknown").map(|name| format!("No test named '{name}'.")),
        ErrorKind::UnknownFunction => subject("", " is unknown").map(|name| format!("'{name}' is undefined")),
        ErrorKind::UndefinedError => subject("`", "` is undefined").map(|name| format!("'{name}' is undefined")),
        _ if detail.starts_with("unable to calculate") && detail.ends_with("/ 0") => Some("division by zero".to_owned()),
        _ => None,
    };
    known.unwrap_or(detail)
}

fn write_value(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = text_of(value)?;
    let text = match state.auto_escape() {
        AutoEscape::None => text,
        _ if value.is_safe() => text,
        _ => filters::escaped(&text),
    };
    out.write_str(&text)
        .map_err(|_| Error::new(ErrorKind::WriteFailure, "the output could not be written"))
}

/// `str(value)` in Python's form. A list that is repeated is no longer than its parts, but its text is.
fn text_of(value: &Value) -> Result<String, Error> {
    let mut text = Bounded::default();
    let written = match value.kind() {
        ValueKind::Number | ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => write_repr(&mut text, value, 0),
        _ => write!(text, "{value}"),
    };
    match written {
        Ok(()) => Ok(text.text),
        Err(fmt::Error) => Err(methods::too_long()),
    }
}

/// A text that grows no further than it may, of no more values than it may have.
#[derive(Default)]
struct Bounded {
    text: String,
    values: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len().saturating_add(text.len()) > LONGEST_TEXT {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

fn write_repr(out: &mut Bounded, value: &Value, depth: usize) -> fmt::Result {
    /// Deeper values print as the engine prints them.
    const MAX_DEPTH: usize = 100;
    out.values += 1;
    // A long list is not even looked at: what writes it goes through it to the end.
    let is_long = value.kind() != ValueKind::String && value.len().is_some_and(|length| length > MOST_VALUES);
    if is_long || out.values > MOST_VALUES {
        return Err(fmt::Error);
    }
    match value.kind() {
        ValueKind::Undefined => out.write_str("Undefined"),
        ValueKind::String => {
            let mut quoted = String::new();
            python::quote(&mut quoted, value.as_str().unwrap_or_default());
            out.write_str(&quoted)
        }
        ValueKind::Number if !value.is_integer() => {
            let text = f64::try_from(value.clone()).map_or_else(|_| value.to_string(), python::float_text);
            out.write_str(&text)
        }
        ValueKind::Seq | ValueKind::Iterable if depth < MAX_DEPTH => {
            let is_tuple = FirstLetter::of(value) == Some('(');
            out.write_char(if is_tuple { '(' } else { '[' })?;
            let mut count = 0;
            for item in value.try_iter().into_iter().flatten() {
                out.write_str(if count == 0 { "" } else { ", " })?;
                write_repr(out, &item, depth + 1)?;
                count += 1;
            }
            out.write_str(match (is_tuple, count) {
                (false, _) => "]",
                (true, 1) => ",)",
                (true, _) => ")",
            })
        }
        ValueKind::Map if depth < MAX_DEPTH => {
            out.write_char('{')?;
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                out.write_str(if index == 0 { "" } else { ", " })?;
                write_repr(out, &key, depth + 1)?;
                out.write_str(": ")?;
                write_repr(out, &value.get_item(&key).unwrap_or_default(), depth + 1)?;
            }
            out.write_char('}')
        }
        _ => write!(out, "{value}"),
    }
}

/// Takes the first letter that is written and stops: the engine tells a tuple from a list in its text only.
struct FirstLetter(Option<char>);

impl FirstLetter {
    fn of(value: &Value) -> Option<char> {
        let mut first = Self(None);
        // The error is the stop.
        let _ = write!(first, "{value}");
        first.0
    }
}

impl Write for FirstLetter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = text.chars().next();
        if self.0.is_some() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::render;

    fn rendered(template: &str, variables: Value) -> Result<String, String> {
        render(template, variables.as_object().cloned().unwrap(), false)
    }

    #[test]
    fn values_print_as_python_prints_them() {
        let variables = json!({ "x": [1, 2.0, "a", null, true, { "k": "v" }], "big": 1e16, "none": null, "flag": false });
        assert_eq!(rendered("{{ x }}", variables.clone()).unwrap(), "[1, 2.0, 'a', None, True, {'k': 'v'}]");
        assert_eq!(
            rendered("{{ big }} {{ none }} {{ flag }} {{ big|string }}", variables).unwrap(),
            "1e+16 None False 1e+16"
        );
    }

    #[test]
    fn objects_keep_their_order() {
        assert_eq!(
            rendered("{% for k in x %}{{ k }}{% endfor %}", json!({ "x": { "z": 1, "a": 2 } })).unwrap(),
            "za"
        );
        assert_eq!(
            rendered(
                "{% for k, v in x.items() %}{{ k }}{{ v }}{% endfor %}",
                json!({ "x": { "z": 1, "a": 2 } })
            )
            .unwrap(),
            "z1a2"
        );
    }

    #[test]
    fn an_unknown_variable_is_empty_and_its_attribute_an_error() {
        assert_eq!(rendered("[{{ nothing }}]", json!({})).unwrap(), "[]");
        assert!(rendered("{{ nothing.more }}", json!({})).is_err());
    }

    #[test]
    fn there_are_no_globals_and_some_filters_are_gone() {
        for template in [
            "{{ range(3) }}",
            "{{ dict(a=1) }}",
            "{{ namespace() }}",
            "{{ x|tojson }}",
            "{{ x|pprint }}",
        ] {
            assert!(rendered(template, json!({ "x": 1 })).is_err(), "{template}");
        }
    }

    #[test]
    fn format_takes_one_number() {
        assert_eq!(rendered("{{ 3.14159|format('%.2f') }}", json!({})).unwrap(), "3.14");
        assert!(rendered("{{ 'abc'|format('%.2f') }}", json!({})).is_err());
    }

    #[test]
    fn filters_take_arguments_by_place() {
        let variables = json!({ "x": "the quick brown fox" });
        assert_eq!(
            rendered("{{ x|truncate(12) }}{{ x|truncate(5, true, leeway=0) }}", variables).unwrap(),
            "the...th..."
        );
        assert_eq!(
            rendered(
                "[{{ 'ab'|center(5) }}]{{ 'abc'|int }}{{ '4.7'|int }}{{ 'q'|int(9) }}{{ 'é/'|urlencode }}",
                json!({})
            )
            .unwrap(),
            "[  ab ]049%C3%A9/"
        );
    }

    #[test]
    fn tuples_are_told_from_lists() {
        assert_eq!(
            rendered("{{ (1, 2) }}{{ (1,) }}{{ x.items()|list }}", json!({ "x": { "a": 1 } })).unwrap(),
            "(1, 2)(1,)[('a', 1)]"
        );
    }

    #[test]
    fn errors_read_as_the_reference_words_them() {
        let cases = [
            ("{{ a.b }}", "'a' is undefined"),
            ("{{ 1|x }}", "No filter named 'x'."),
            ("{{ range(1) }}", "'range' is undefined"),
            ("{{ 1/0 }}", "division by zero"),
        ];
        for (template, message) in cases {
            assert_eq!(rendered(template, json!({})).unwrap_err(), message);
        }
    }

    #[test]
    fn escaping_spares_what_is_safe() {
        let variables = json!({ "x": "<'\">&/" }).as_object().cloned().unwrap();
        assert_eq!(render("{{ x }}{{ x|safe }}", variables, true).unwrap(), "&lt;&#39;&#34;&gt;&amp;/<'\">&/");
    }

    /// What one line would make is more than there is memory, and memory that is not there ends the process.
    #[test]
    fn a_line_that_makes_too_much_ends_with_an_error() {
        for template in [
            "{{ 1|format('%0999999999999d') }}",
            "{{ 1|format('%.999999999999f') }}",
            "{{ '{:>999999999999}'.format(1) }}",
            "{{ '{0:999999999999}'.format('x') }}",
            "{{ ('{0}' * 1000000).format('y' * 1000000) }}",
            "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
            "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}",
            "{{ ('a' * 1000000)|replace('a', 'b' * 1000000) }}",
            "{{ ('a' * 1000000).join(('x' * 1000000)|list) }}",
            "{{ 'a'.join(['x' * 1000000] * 100000000) }}",
            "{{ ([1] * 100000000)|string|length }}",
            "{{ ('x' * 90000000) * 2 }}",
        ] {
            assert!(rendered(template, json!({})).is_err(), "{template}");
        }
        for (template, text) in [
            ("{{ '%5d'|string }}{{ 7|format('%05.1f') }}", "%5d007.0"),
            (
                "{{ 'a-b'.replace('-', ' to ') }} {{ ', '.join(['x', 'y']) }} {{ '{:>3}|{}'.format(1, 'z') }}",
                "a to b x, y   1|z",
            ),
        ] {
            assert_eq!(rendered(template, json!({})).unwrap(), text);
        }
    }

    #[test]
    fn a_runaway_template_ends_with_an_error() {
        let template = "{% for a in x %}{% for b in x %}{% for c in x %}{% for d in x %}{{ a }}{% endfor %}{% endfor %}{% endfor %}{% endfor %}";
        assert!(rendered(template, json!({ "x": vec![0; 1000] })).is_err());
    }
}
