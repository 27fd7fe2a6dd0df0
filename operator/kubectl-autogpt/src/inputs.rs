//! Values from the command line, and graphs from files.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use crate::complaint::Complaint;

/// `name=value` pairs. A value that is JSON is taken as such, anything else as text; `name=@file` reads a file.
pub fn pairs(arguments: &[String]) -> Result<Map<String, Value>, Complaint> {
    arguments.iter().map(|argument| pair(argument)).collect()
}

fn pair(argument: &str) -> Result<(String, Value), Complaint> {
    let (name, text) = argument.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Complaint::new(
            format!("{argument:?} is no input"),
            "write name=value, for example -i number=42 -i name=Ada -i list='[1,2]'",
        )
    })?;
    let text = match text.strip_prefix('@') {
        Some(path) => read(Path::new(path))?,
        None => text.to_owned(),
    };
    Ok((name.to_owned(), serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// A graph as the REST API spells it, or a whole GraphExecution.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    Graph(Map<String, Value>),
    Execution(Value),
}

/// Reads a file, `-` for standard input, as YAML or JSON.
pub fn document(path: &Path) -> Result<Document, Complaint> {
    parse(&read(path)?, &path.display().to_string())
}

fn parse(text: &str, place: &str) -> Result<Document, Complaint> {
    let value: Value = serde_yaml::from_str(text).map_err(|error| {
        Complaint::new(
            format!("{place} is neither YAML nor JSON: {error}"),
            "correct the place that the message names; a file with several documents has to be split",
        )
    })?;
    let shape = || {
        Complaint::new(
            format!("{place} is no graph: it has no list of nodes"),
            "give a graph (name, nodes, links) as the REST API exports it, or a GraphExecution; examples/execution.yaml is one",
        )
    };
    match value {
        Value::Object(map) if map.get("kind").and_then(Value::as_str) == Some("GraphExecution") => Ok(Document::Execution(Value::Object(map))),
        Value::Object(mut map) if map.get("nodes").is_some_and(Value::is_array) => {
            map.entry("name").or_insert_with(|| Value::from("graph"));
            Ok(Document::Graph(map))
        }
        _ => Err(shape()),
    }
}

fn read(path: &Path) -> Result<String, Complaint> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    text.map_err(|error| {
        Complaint::new(
            format!("{} cannot be read: {error}", path.display()),
            "check the path; - reads standard input",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_json_where_they_can_be() {
        let arguments = ["a=1", "b=text", "c=[1,2]", "d=", "e=x=y", "f=\"1\""].map(str::to_owned);
        assert_eq!(
            Value::Object(pairs(&arguments).unwrap()),
            json!({"a": 1, "b": "text", "c": [1, 2], "d": "", "e": "x=y", "f": "1"})
        );
        for bad in ["a", "=1"] {
            assert!(pairs(&[bad.to_owned()]).unwrap_err().to_string().contains("name=value"));
        }
        let missing = pairs(&["a=@/nowhere/at/all".to_owned()]).unwrap_err().to_string();
        assert!(missing.contains("/nowhere/at/all cannot be read"), "{missing}");
    }

    #[test]
    fn a_file_holds_a_graph_or_an_execution() {
        let graph = parse("nodes: [{id: a, block_id: b}]", "g.yaml").unwrap();
        assert!(matches!(graph, Document::Graph(graph) if graph["name"] == "graph"));
        assert!(matches!(
            parse(r#"{"kind": "GraphExecution", "spec": {}}"#, "g.json").unwrap(),
            Document::Execution(_)
        ));
        for (text, words) in [("[", "neither YAML nor JSON"), ("a: 1", "no list of nodes"), ("", "no list of nodes")] {
            let complaint = parse(text, "g.yaml").unwrap_err().to_string();
            assert!(complaint.contains(words) && complaint.contains("g.yaml"), "{complaint}");
        }
    }
}
