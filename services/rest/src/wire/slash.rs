//! Addresses with a slash too many or too few at their end: the caller is told the right one (rest.md §1, group 18).

use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{StatusCode, Uri};
use serde_json::Value;

use super::error::ApiError;

/// The addresses that there are: segments, of which a parameter is none.
pub struct Addresses(Vec<Vec<Option<String>>>);

impl Addresses {
    /// All of an OpenAPI document.
    pub fn of(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let segments = |path: &String| path.split('/').map(|part| (!part.starts_with('{')).then(|| part.to_owned())).collect();
        Self(paths.map(|(path, _)| segments(path)).collect())
    }

    /// 307 to an address that exists, which keeps method and body; else 404.
    pub fn answer(&self, uri: &Uri) -> Response {
        let path = uri.path();
        let other = path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned);
        if !self.has(&other) {
            return ApiError::not_found("Not Found").into_response();
        }
        let location = match uri.query() {
            Some(query) => format!("{other}?{query}"),
            None => other,
        };
        (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response()
    }

    fn has(&self, path: &str) -> bool {
        let given: Vec<&str> = path.split('/').collect();
        self.0.iter().any(|address| {
            let fits = |(part, given): (&Option<String>, &&str)| part.as_ref().map_or(!given.is_empty(), |part| part == given);
            address.len() == given.len() && address.iter().zip(&given).all(fits)
        })
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use serde_json::json;

    use super::Addresses;

    fn location(uri: &'static str) -> Option<String> {
        let addresses = Addresses::of(&json!({"paths": {"/a/{id}": {}, "/b/": {}}}));
        let answer = addresses.answer(&Uri::from_static(uri));
        let location = answer.headers().get("location")?;
        Some(location.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_slash_is_added_or_taken_where_that_helps() {
        assert_eq!(location("/a/1/").as_deref(), Some("/a/1"));
        assert_eq!(location("/a/1/?x=2&y").as_deref(), Some("/a/1?x=2&y"));
        assert_eq!(location("/b").as_deref(), Some("/b/"));
        for uri in ["/a/", "/a", "/c/", "/a/1/2/", "//evil.test/"] {
            assert_eq!(location(uri), None, "{uri}");
        }
    }
}
