//! Every successful answer that a test sees is held against the document that the service serves.

use std::collections::HashMap;

use http::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The served document; the same for every service of this process.
static DOCUMENT: OnceCell<Document> = OnceCell::const_new();

struct Document {
    /// By the segments of the path template.
    paths: Vec<(Vec<String>, Validators)>,
}

/// By method and status.
type Validators = HashMap<(String, u16), Validator>;

impl Document {
    fn new(document: &Value) -> Self {
        let paths = document["paths"].as_object().unwrap();
        let paths = paths.iter().map(|(path, item)| {
            let segments = path.split('/').map(str::to_owned).collect();
            let mut validators = Validators::new();
            for (method, operation) in item.as_object().unwrap() {
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let schema = &response["content"]["application/json"]["schema"];
                    if let (Value::Object(schema), Ok(status)) = (schema, status.parse()) {
                        let mut schema = schema.clone();
                        schema.insert("components".to_owned(), document["components"].clone());
                        let validator = jsonschema::options().should_validate_formats(true).build(&Value::Object(schema));
                        validators.insert((method.to_uppercase(), status), validator.unwrap());
                    }
                }
            }
            (segments, validators)
        });
        Self { paths: paths.collect() }
    }

    /// The validator of the most literal template that fits the path.
    fn validator(&self, method: &Method, path: &str, status: StatusCode) -> Option<&Validator> {
        let segments: Vec<&str> = path.split('/').collect();
        let fits = |template: &[String]| {
            template.len() == segments.len() && template.iter().zip(&segments).all(|(part, given)| part.starts_with('{') || part == given)
        };
        let literals = |template: &[String]| template.iter().filter(|part| !part.starts_with('{')).count();
        let fitting = self.paths.iter().filter(|(template, _)| fits(template));
        let (_, validators) = fitting.max_by_key(|(template, _)| literals(template))?;
        validators.get(&(method.to_string(), status.as_u16()))
    }
}

/// Panics when a successful JSON answer is not as the service's own document says.
pub async fn check(base: &str, client: &reqwest::Client, (method, path): (&Method, &str), status: StatusCode, body: &Value) {
    if !status.is_success() || path == "/openapi.json" {
        return;
    }
    let document = DOCUMENT.get_or_init(|| async {
        let answer = client.get(format!("{base}/openapi.json")).send().await.unwrap();
        Document::new(&answer.json().await.unwrap())
    });
    if let Some(validator) = document.await.validator(method, path, status) {
        let problems: Vec<String> = validator
            .iter_errors(body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(
            problems.is_empty(),
            "{method} {path} answered otherwise than /openapi.json says:\n{}\n{body}",
            problems.join("\n")
        );
    }
}

#[test]
fn an_answer_of_another_form_is_seen() {
    let document = json!({
        "paths": {
            "/a/{id}": { "get": { "responses": { "200": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/A" } } } } } } },
            "/a/new": { "get": { "responses": { "200": { "content": { "application/json": { "schema": { "type": "string" } } } } } } },
        },
        "components": { "schemas": { "A": { "type": "object", "required": ["at"], "properties": { "at": { "type": "string", "format": "date-time" } } } } },
    });
    let document = Document::new(&document);
    let validator = |path| document.validator(&Method::GET, path, StatusCode::OK).unwrap();
    assert!(validator("/a/1").is_valid(&json!({"at": "2026-01-02T03:04:05Z"})));
    assert!(!validator("/a/1").is_valid(&json!({"at": "yesterday"})));
    assert!(!validator("/a/1").is_valid(&json!({})));
    assert!(validator("/a/new").is_valid(&json!("x")));
    assert!(document.validator(&Method::GET, "/b", StatusCode::OK).is_none());
}
