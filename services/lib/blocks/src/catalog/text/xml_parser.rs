//! Reads a restricted XML: tags and text, no attributes (blocks-local, finding 27).

use engine::types::PinType;
use model::Map;
use serde_json::Value;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

/// Bytes of the document.
const MAX_SIZE: usize = 10 * 1024 * 1024;
/// Tags within tags. What is deeper could not be stored.
const MAX_DEPTH: usize = 100;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("286380af-9529-4b55-8be0-1d7c854abdb5"),
        "XMLParserBlock",
        "Turns simple XML, without attributes, into a dictionary.",
    )
    .input(required("input_xml", PinType::Str).about("The XML."))
    .output(output("parsed_xml", PinType::object()).about("The dictionary."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let text = input.text("input_xml");
    if text.len() > MAX_SIZE {
        return Err(syntax(&format!("XML input exceeds the maximum size of {MAX_SIZE} bytes")));
    }
    out.emit("parsed_xml", parse(&text)?);
    Ok(())
}

fn syntax(problem: &str) -> Failure {
    Failure::raised(format!("Error in input xml syntax: {problem}"))
}

/// An open tag: its name as written, and what it holds so far.
struct Element {
    name: String,
    children: Vec<(String, Value)>,
    text: String,
}

impl Element {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            children: Vec::new(),
            text: String::new(),
        }
    }

    /// Text beside tags is dropped; a repeated tag makes the whole content a list.
    fn into_value(self) -> Value {
        if self.children.is_empty() {
            return Value::from(python::strip(&self.text));
        }
        let repeated = self
            .children
            .iter()
            .enumerate()
            .any(|(index, (name, _))| self.children.iter().take(index).any(|(other, _)| other == name));
        if repeated {
            Value::Array(self.children.into_iter().map(|child| Value::Object(Map::from_iter([child]))).collect())
        } else {
            Value::Object(self.children.into_iter().collect())
        }
    }
}

fn parse(text: &str) -> Result<Map, Failure> {
    let mut document = Map::new();
    let mut open: Vec<Element> = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('<') {
        let (before, tag_and_more) = rest.split_at(start);
        add_text(&mut open, before)?;
        let (tag, after) = take_tag(tag_and_more)?;
        rest = after;
        match tag {
            Tag::Comment => {}
            Tag::Open(name) if open.len() < MAX_DEPTH => open.push(Element::new(name)),
            Tag::Open(_) => return Err(syntax("tags are nested too deeply")),
            Tag::Close(name) => {
                let element = open
                    .pop()
                    .filter(|element| element.name == name)
                    .ok_or_else(|| syntax("Mismatched closing tag"))?;
                let key = key_of(&element.name);
                let value = element.into_value();
                match open.last_mut() {
                    Some(parent) => parent.children.push((key, value)),
                    // Several roots merge.
                    None => _ = document.insert(key, value),
                }
            }
        }
    }
    add_text(&mut open, rest)?;
    if open.is_empty() { Ok(document) } else { Err(syntax("Unclosed tag")) }
}

fn add_text(open: &mut [Element], text: &str) -> Result<(), Failure> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if python::strip(text).is_empty() => {}
        None => return Err(syntax("Text outside of tags")),
    }
    Ok(())
}

enum Tag<'a> {
    Open(&'a str),
    Close(&'a str),
    Comment,
}

/// Splits the tag off that the text begins with.
fn take_tag(text: &str) -> Result<(Tag<'_>, &str), Failure> {
    if let Some(comment) = text.strip_prefix("<!--") {
        let (_, after) = comment.split_once("-->").ok_or_else(|| syntax("Unclosed comment"))?;
        return Ok((Tag::Comment, after));
    }
    let (tag, after) = text
        .strip_prefix('<')
        .and_then(|tag| tag.split_once('>'))
        .ok_or_else(|| syntax("Unclosed tag"))?;
    if tag.is_empty() || tag.ends_with('/') || tag.starts_with(['?', '!']) {
        return Err(syntax("Unsupported tag"));
    }
    Ok(match tag.strip_prefix('/') {
        Some(name) => (Tag::Close(name), after),
        None => (Tag::Open(tag), after),
    })
}

/// Lower case, blanks as underscores.
fn key_of(name: &str) -> String {
    name.to_lowercase().replace(' ', "_")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::parse;

    #[test]
    fn tags_become_keys_and_repeated_ones_a_list() {
        let cases = [
            ("", json!({})),
            ("<a>1</a><b>2</b>", json!({ "a": "1", "b": "2" })),
            ("<a><b>1</b><b>2</b></a>", json!({ "a": [{ "b": "1" }, { "b": "2" }] })),
            ("<a>x &amp; <!-- no --> y</a>", json!({ "a": "x &amp;  y" })),
            ("<First Name>x</First Name>", json!({ "first_name": "x" })),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).map(Value::Object), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_beyond_tags_and_text_fails() {
        for text in [
            "<a>",
            "</a>",
            "<a>x</b>",
            "x",
            "<a/>",
            "<?xml version=\"1.0\"?><a>1</a>",
            "<a b=\"c\">1</a>",
            "<a",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
