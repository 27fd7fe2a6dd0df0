//! A page for people: what a document describes, without anything from elsewhere.

use std::fmt::Write;

use serde_json::Value;

/// `address` is where the document itself is served.
pub fn page(document: &Value, address: &str) -> String {
    let title = escaped(document["info"]["title"].as_str().unwrap_or_default());
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>\
         body{{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem}}\
         table{{border-collapse:collapse;width:100%}}td,th{{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left}}\
         </style></head><body><h1>{title}</h1><p>The OpenAPI document: <a href=\"{address}\">{address}</a></p>\
         <table><tr><th>Method</th><th>Path</th><th>Operation</th></tr>"
    );
    let paths = document["paths"].as_object().into_iter().flatten();
    for (path, item) in paths {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let name = operation["summary"].as_str().or_else(|| operation["operationId"].as_str());
            // Writing into a String cannot fail.
            let _ = write!(
                page,
                "<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>",
                escaped(&method.to_uppercase()),
                escaped(path),
                escaped(name.unwrap_or_default())
            );
        }
    }
    page.push_str("</table></body></html>");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::page;

    #[test]
    fn every_operation_is_listed_and_nothing_is_markup() {
        let document = json!({"info": {"title": "A & B"}, "paths": {"/a/{id}": {
            "get": {"operationId": "read <it>"},
            "post": {"operationId": "x", "summary": "Make it"},
        }}});
        let page = page(&document, "/openapi.json");
        assert!(page.contains("<h1>A &amp; B</h1>"), "{page}");
        assert!(
            page.contains("<td>GET</td><td><code>/a/{id}</code></td><td>read &lt;it&gt;</td>"),
            "{page}"
        );
        assert!(page.contains("<td>POST</td><td><code>/a/{id}</code></td><td>Make it</td>"), "{page}");
    }
}
