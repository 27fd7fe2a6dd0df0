//! Path and query parameters.

use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use http::request::Parts;
use model::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::error::ApiError;
use super::shape::{Problem, flag_from, integer_from_text};

/// An id from a path. Ids are opaque texts in the contract: one that is no UUID names nothing, which is not an error of form.
pub fn id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

/// An integer from a path, `null` and other texts being 422. `None` when no stored version can have that number.
pub fn path_version(name: &str, text: &str) -> Result<Option<i32>, ApiError> {
    let number = integer_from_text(text).ok_or_else(|| not_an_integer(&["path", name], text))?;
    Ok(i32::try_from(number).ok())
}

/// The decoded query string. Of a name given twice the last one counts.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        Ok(Self(url::form_urlencoded::parse(query).into_owned().collect()))
    }
}

impl Parameters {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// Every value of a name, in the order given.
    pub fn all<'a>(&'a self, name: &str) -> Vec<&'a str> {
        let named = self.0.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// A text that says something.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// One of these words; an empty text is none.
    pub fn one_of(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        let Some(given) = self.given(name) else { return Ok(None) };
        if words.contains(&given) {
            return Ok(Some(given));
        }
        let expected = format!("'{}'", words.join("', '"));
        let problem = Problem::new("enum", &["query", name], format!("Input should be one of {expected}"), Value::from(given));
        Err(problem.with_context(json!({ "expected": expected })).into())
    }

    /// A point in time; without a zone it is UTC.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(given) = self.given(name) else { return Ok(None) };
        // A plus sign that was not encoded arrives as a space.
        given.replace(' ', "+").parse().map(Some).map_err(|_| {
            let msg = "Input should be a valid datetime";
            Problem::new("datetime_parsing", &["query", name], msg, Value::from(given)).into()
        })
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.text(name)
            .map(|text| integer_from_text(text).ok_or_else(|| not_an_integer(&["query", name], text)))
            .transpose()
    }

    pub fn integer_in(&self, name: &str, range: RangeInclusive<i64>, default: i64) -> Result<i64, ApiError> {
        let number = self.integer(name)?.unwrap_or(default);
        let (least, most) = (*range.start(), *range.end());
        let input = Value::from(self.text(name).unwrap_or_default());
        let problem = if number < least {
            Problem::new(
                "greater_than_equal",
                &["query", name],
                format!("Input should be greater than or equal to {least}"),
                input,
            )
            .with_context(json!({ "ge": least }))
        } else if number > most {
            Problem::new(
                "less_than_equal",
                &["query", name],
                format!("Input should be less than or equal to {most}"),
                input,
            )
            .with_context(json!({ "le": most }))
        } else {
            return Ok(number);
        };
        Err(problem.into())
    }

    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(false);
        };
        flag_from(&Value::from(text)).ok_or_else(|| {
            Problem::new(
                "bool_parsing",
                &["query", name],
                "Input should be a valid boolean, unable to interpret input",
                Value::from(text),
            )
            .into()
        })
    }
}

/// The query of a list in pages, for documentation; [`Parameters::integer_in`] reads it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
pub struct PageQuery {
    #[param(default = 1, minimum = 1)]
    page: Option<i64>,
    #[param(default = 25, minimum = 1, maximum = 100)]
    page_size: Option<i64>,
}

fn not_an_integer(loc: &[&str], text: &str) -> ApiError {
    Problem::new(
        "int_parsing",
        loc,
        "Input should be a valid integer, unable to parse string as an integer",
        Value::from(text),
    )
    .into()
}
