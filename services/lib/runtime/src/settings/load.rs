//! The three layers and their errors.

use std::collections::HashMap;

use toml::{Table, Value};

use super::names::ENVIRONMENT;
use super::service::{bracketed, escape};
use super::{Ports, Values};

const DEFAULTS: &str = include_str!("../../config.default.toml");
const FILE_VARIABLE: &str = "AUTOGPT_CONFIG";

/// Why the configuration cannot be used, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {path} named in AUTOGPT_CONFIG: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("{path} is not valid TOML: {reason}")]
    Syntax { path: String, reason: String },
    #[error("{path}: unknown key `{key}`{}; every key is listed in config.default.toml (print it with --print-config)", did_you_mean(.suggestion))]
    UnknownKey { path: String, key: String, suggestion: Option<String> },
    #[error("{path}: `{key}` must be {expected}")]
    WrongType { path: String, key: String, expected: &'static str },
    #[error("{name}={value:?} is not {expected}{hint}")]
    Environment {
        name: String,
        value: String,
        expected: &'static str,
        hint: &'static str,
    },
    #[error("invalid configuration: {reason}")]
    Invalid { reason: String },
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|key| format!(", did you mean `{key}`?")).unwrap_or_default()
}

/// What Docker and the kubelet inject for a service called `redis` looks like a setting of the contract.
const SERVICE_LINK_HINT: &str = ": it looks like a variable that Kubernetes injects for a Service of that name; \
     set `enableServiceLinks: false` in the pod or set the variable yourself";

pub(super) fn from_process<Name: Into<String>, Value: Into<String>>(overlay: impl IntoIterator<Item = (Name, Value)>) -> Result<Values, ConfigError> {
    let file = match std::env::var(FILE_VARIABLE) {
        Ok(path) if !path.is_empty() => {
            let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::Unreadable {
                path: path.clone(),
                reason: error.to_string(),
            })?;
            Some((path, text))
        }
        _ => None,
    };
    let environment = ENVIRONMENT
        .iter()
        .filter_map(|(name, _)| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)));
    let overlay = overlay.into_iter().map(|(name, value)| (name.into(), value.into()));
    layered(file, &environment.chain(overlay).collect())
}

pub(super) fn from_pairs<Name: Into<String>, Value: Into<String>>(pairs: impl IntoIterator<Item = (Name, Value)>) -> Result<Values, ConfigError> {
    let variables: HashMap<String, String> = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    if let Some(name) = variables.keys().find(|name| !ENVIRONMENT.iter().any(|(known, _)| known == name)) {
        return Err(ConfigError::Invalid {
            reason: format!("{name} is no setting"),
        });
    }
    layered(None, &variables)
}

pub(super) fn layered(file: Option<(String, String)>, variables: &HashMap<String, String>) -> Result<Values, ConfigError> {
    let mut table: Table = DEFAULTS.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: "config.default.toml".to_owned(),
        reason: error.to_string(),
    })?;
    if let Some((path, text)) = file {
        let overlay: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let known = keys(&table, "");
        overlay_file(&mut table, overlay, "", &path, &known)?;
    }
    // Reversed, so that of two names for one key the first listed is applied last.
    for (name, key) in ENVIRONMENT.iter().rev() {
        if let Some(text) = variables.get(*name) {
            overlay_variable(&mut table, name, key, text)?;
        }
    }
    let mut values: Values = table.try_into().map_err(|error: toml::de::Error| ConfigError::Invalid {
        reason: error.to_string().trim_end().to_owned(),
    })?;
    finish(&mut values)?;
    Ok(values)
}

fn overlay_file(into: &mut Table, from: Table, prefix: &str, path: &str, known: &[String]) -> Result<(), ConfigError> {
    for (name, value) in from {
        let key = format!("{prefix}{name}");
        let Some(present) = into.get_mut(&name) else {
            return Err(ConfigError::UnknownKey {
                path: path.to_owned(),
                suggestion: nearest(&key, known),
                key,
            });
        };
        match (present, value) {
            (Value::Table(present), Value::Table(inner)) => overlay_file(present, inner, &format!("{key}."), path, known)?,
            (present, value) if present.same_type(&value) => *present = value,
            (present, _) => {
                return Err(ConfigError::WrongType {
                    path: path.to_owned(),
                    key,
                    expected: expected(present),
                });
            }
        }
    }
    Ok(())
}

fn overlay_variable(table: &mut Table, name: &str, key: &str, text: &str) -> Result<(), ConfigError> {
    let slot = match key.split_once('.') {
        Some((section, inner)) => table.get_mut(section).and_then(|section| section.get_mut(inner)),
        None => table.get_mut(key),
    };
    let Some(slot) = slot else {
        return Err(ConfigError::Invalid {
            reason: format!("{name} leads to the key `{key}`, which does not exist"),
        });
    };
    let parsed = match slot {
        Value::String(_) => Some(Value::String(text.to_owned())),
        // A variable that is set but empty means the default for everything that is no text.
        _ if text.trim().is_empty() => return Ok(()),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some(Value::Boolean(true)),
            "false" | "0" | "no" | "off" => Some(Value::Boolean(false)),
            _ => None,
        },
        Value::Array(_) => serde_json::from_str::<Vec<String>>(text)
            .ok()
            .map(|list| Value::Array(list.into_iter().map(Value::String).collect())),
        _ => None,
    };
    *slot = parsed.ok_or_else(|| ConfigError::Environment {
        name: name.to_owned(),
        value: text.to_owned(),
        expected: expected(slot),
        hint: if name.ends_with("_PORT") && text.contains("://") {
            SERVICE_LINK_HINT
        } else {
            ""
        },
    })?;
    Ok(())
}

fn expected(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of texts (JSON in the environment)",
        _ => "a section",
    }
}

/// Derived values, and rules that one key alone cannot express.
fn finish(values: &mut Values) -> Result<(), ConfigError> {
    values.rpc.ports = Ports { ..values.ports };
    for (provider, base) in values.models.base_urls() {
        if url::Url::parse(base).is_err() {
            return Err(ConfigError::Invalid {
                reason: format!("models.{provider} is {base:?}, which is no URL; expected for example https://host/v1"),
            });
        }
    }
    let assistant = &values.assistant.base_url;
    if !assistant.is_empty() && url::Url::parse(assistant).is_err() {
        return Err(ConfigError::Invalid {
            reason: format!("assistant.base_url is {assistant:?}, which is no URL; expected for example https://host/v1"),
        });
    }
    for entry in &values.oauth.hosts {
        let host = entry.split_once('=').and_then(|(_, host)| url::Url::parse(host.trim()).ok());
        if !host.is_some_and(|host| matches!(host.scheme(), "http" | "https")) {
            return Err(ConfigError::Invalid {
                reason: format!("OAUTH_HOSTS has {entry:?}; expected for example \"github=https://github.example.com\""),
            });
        }
    }
    if !values.otto_api_url.is_empty() && url::Url::parse(&values.otto_api_url).is_err() {
        return Err(ConfigError::Invalid {
            reason: format!(
                "OTTO_API_URL is {:?}, which is no URL; expected for example https://host/ask",
                values.otto_api_url
            ),
        });
    }
    for base in [&mut values.platform_base_url, &mut values.frontend_base_url] {
        if !base.is_empty() && !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(ConfigError::Invalid {
                reason: format!("the base URL {base:?} must start with http:// or https://"),
            });
        }
        *base = base.trim_end_matches('/').to_owned();
    }
    if !(1..=1024).contains(&values.upload_file_size_limit_mb) {
        return Err(ConfigError::Invalid {
            reason: format!("UPLOAD_FILE_SIZE_LIMIT_MB is {}; it may be 1 to 1024", values.upload_file_size_limit_mb),
        });
    }
    finish_database(values)
}

fn finish_database(values: &mut Values) -> Result<(), ConfigError> {
    let database = &mut values.database;
    if database.url.is_empty() {
        database.url = format!(
            "postgresql://{}:{}@{}:{}/{}",
            escape(&database.user),
            escape(database.password.expose()),
            bracketed(&database.host),
            database.port,
            escape(&database.name)
        );
    }
    let mut url = url::Url::parse(&database.url).map_err(|error| ConfigError::Invalid {
        reason: format!("DATABASE_URL is no URL ({error}); expected postgresql://user:password@host:5432/name"),
    })?;
    // Parameters of the reference's ORM: some mean something to us, none of them to the driver.
    let mut kept = Vec::new();
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "schema" => {
                database.schema.get_or_insert_with(|| value.into_owned());
            }
            "connection_limit" => database.connection_limit = value.parse().unwrap_or(database.connection_limit),
            "connect_timeout" | "pool_timeout" | "pgbouncer" | "socket_timeout" => {}
            _ => kept.push((name.into_owned(), value.into_owned())),
        }
    }
    url.set_query(None);
    if let Some(schema) = &database.schema {
        kept.push(("options[search_path]".to_owned(), schema.clone()));
    }
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    database.url = url.to_string();
    Ok(())
}

fn keys(table: &Table, prefix: &str) -> Vec<String> {
    table
        .iter()
        .flat_map(|(name, value)| match value {
            Value::Table(inner) => {
                let mut all = keys(inner, &format!("{prefix}{name}."));
                all.push(format!("{prefix}{name}"));
                all
            }
            _ => vec![format!("{prefix}{name}")],
        })
        .collect()
}

/// The known key that a typing mistake most likely meant.
fn nearest(key: &str, known: &[String]) -> Option<String> {
    known
        .iter()
        .map(|candidate| {
            let last = candidate.rsplit('.').next().unwrap_or(candidate);
            let misplaced = key.rsplit('.').next() == Some(last) && !last.is_empty();
            (if misplaced { 1 } else { distance(key, candidate) }, candidate)
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= 1 + key.len() / 4)
        .map(|(_, candidate)| candidate.clone())
}

/// Levenshtein distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, left_char) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        for (cell, right_char) in row.iter_mut().skip(1).zip(&right) {
            let substituted = diagonal + usize::from(left_char != *right_char);
            diagonal = *cell;
            *cell = substituted.min(*cell + 1).min(previous + 1);
            previous = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
