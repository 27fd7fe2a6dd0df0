//! Bodies of requests: JSON, forms, and forms with files.

use model::Map;
use outside::StoredFile;
use serde_json::Value;
use url::form_urlencoded;
use uuid::Uuid;

use crate::python;

/// A body and its media type.
pub(super) struct Body {
    pub media_type: String,
    pub content: Vec<u8>,
}

pub(super) fn json(fields: &Map) -> Body {
    Body {
        media_type: "application/json".to_owned(),
        content: serde_json::to_vec(fields).unwrap_or_default(),
    }
}

pub(super) fn form(fields: &Map) -> Body {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs(fields) {
        encoded.append_pair(name, &value);
    }
    Body {
        media_type: "application/x-www-form-urlencoded".to_owned(),
        content: encoded.finish().into_bytes(),
    }
}

/// A form of fields and files, all files under one name.
pub(super) fn multipart(fields: &Map, files_name: &str, files: &[StoredFile]) -> Body {
    let boundary = Uuid::new_v4().simple().to_string();
    let mut content = Vec::new();
    for (name, value) in pairs(fields) {
        let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n\r\n", quoted(name));
        content.extend_from_slice(head.as_bytes());
        content.extend_from_slice(value.as_bytes());
        content.extend_from_slice(b"\r\n");
    }
    for file in files {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {}\r\n\r\n",
            quoted(files_name),
            quoted(&file.name),
            file.media_type()
        );
        content.extend_from_slice(head.as_bytes());
        content.extend_from_slice(&file.content);
        content.extend_from_slice(b"\r\n");
    }
    content.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Body {
        media_type: format!("multipart/form-data; boundary={boundary}"),
        content,
    }
}

fn pairs(fields: &Map) -> impl Iterator<Item = (&str, String)> {
    fields.iter().map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            other => python::str_of(other),
        };
        (name.as_str(), text)
    })
}

/// As browsers write names in a header.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}
