//! What the operator is told by its environment; the chart sets all of it.

use std::collections::HashMap;
use std::time::Duration;

/// The operator's own settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// `WATCH_NAMESPACES`: where custom resources are looked for; comma-separated. The operator's own namespace when empty.
    pub watch_namespaces: Vec<String>,
    /// `POD_NAMESPACE`: where the leader's Lease is.
    pub namespace: String,
    /// `POD_NAME`: who this process is among its replicas.
    pub identity: String,
    /// `OPERATOR_PORT`: /livez, /readyz and /metrics.
    pub port: u16,
    /// `APPLY_CRDS`: whether to bring the definitions of the custom resources up to date at start.
    pub apply_crds: bool,
    /// `SCHEDULER_URL`: where a platform's scheduler service is; `{platform}` and `{namespace}` are replaced.
    pub scheduler_url: String,
    /// `STOP_PATIENCE_SECONDS`: a deleted execution whose run cannot be stopped is let go after so long.
    pub stop_patience: Duration,
    /// Images of platforms that name none.
    pub images: DefaultImages,
}

/// Images of platforms that name none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefaultImages {
    /// `PLATFORM_IMAGE_REPOSITORY`: registry and path without the service's name.
    pub repository: Option<String>,
    /// `PLATFORM_IMAGE_TAG`.
    pub tag: Option<String>,
    /// `PLATFORM_IMAGE_PULL_POLICY`.
    pub pull_policy: Option<String>,
    /// `POSTGRES_IMAGE`.
    pub postgres: String,
    /// `REDIS_IMAGE`.
    pub redis: String,
    /// `RABBITMQ_IMAGE`.
    pub rabbitmq: String,
}

/// Why the environment cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{name}={value:?} is not {expected}")]
    Invalid {
        name: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("WATCH_NAMESPACES and POD_NAMESPACE are both empty: name the namespaces to watch in WATCH_NAMESPACES")]
    NoNamespace,
}

impl Config {
    /// From the process's environment.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(&std::env::vars().collect())
    }

    /// From these variables.
    pub fn from_variables(variables: &HashMap<String, String>) -> Result<Self, ConfigError> {
        let text = |name: &str| variables.get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let own = text("POD_NAMESPACE");
        let mut watch_namespaces: Vec<String> = text("WATCH_NAMESPACES")
            .iter()
            .flat_map(|list| list.split(','))
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        watch_namespaces.sort();
        watch_namespaces.dedup();
        if watch_namespaces.is_empty() {
            watch_namespaces.extend(own.clone());
        }
        let first = watch_namespaces.first().ok_or(ConfigError::NoNamespace)?;
        Ok(Self {
            namespace: own.unwrap_or_else(|| first.clone()),
            identity: text("POD_NAME").unwrap_or_else(|| format!("operator-{}", uuid::Uuid::new_v4().simple())),
            port: parse(text("OPERATOR_PORT"), "OPERATOR_PORT", 8080, "a port")?,
            apply_crds: parse(text("APPLY_CRDS"), "APPLY_CRDS", true, "true or false")?,
            scheduler_url: text("SCHEDULER_URL").unwrap_or_else(|| "http://{platform}-scheduler.{namespace}.svc:8003".to_owned()),
            stop_patience: Duration::from_secs(parse(text("STOP_PATIENCE_SECONDS"), "STOP_PATIENCE_SECONDS", 60, "a number of seconds")?),
            images: DefaultImages {
                repository: text("PLATFORM_IMAGE_REPOSITORY"),
                tag: text("PLATFORM_IMAGE_TAG"),
                pull_policy: text("PLATFORM_IMAGE_PULL_POLICY"),
                postgres: text("POSTGRES_IMAGE").unwrap_or_else(|| "postgres:17".to_owned()),
                redis: text("REDIS_IMAGE").unwrap_or_else(|| "redis:7".to_owned()),
                rabbitmq: text("RABBITMQ_IMAGE").unwrap_or_else(|| "rabbitmq:4".to_owned()),
            },
            watch_namespaces,
        })
    }

    /// Where the scheduler service of a platform is.
    pub fn scheduler_url(&self, platform: &str, namespace: &str) -> String {
        self.scheduler_url.replace("{platform}", platform).replace("{namespace}", namespace)
    }
}

fn parse<T: std::str::FromStr>(value: Option<String>, name: &'static str, default: T, expected: &'static str) -> Result<T, ConfigError> {
    match value {
        None => Ok(default),
        Some(value) => value.parse().map_err(|_| ConfigError::Invalid { name, value, expected }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_own_namespace_is_watched_when_none_is_named() {
        let config = config(&[("POD_NAMESPACE", "system"), ("WATCH_NAMESPACES", " ")]).unwrap();
        assert_eq!(
            (config.watch_namespaces, config.namespace),
            (vec!["system".to_owned()], "system".to_owned())
        );
    }

    #[test]
    fn namespaces_are_a_list_without_repetition() {
        let config = config(&[("WATCH_NAMESPACES", "b, a,b")]).unwrap();
        assert_eq!(config.watch_namespaces, ["a", "b"]);
        assert_eq!(config.scheduler_url("p", "a"), "http://p-scheduler.a.svc:8003");
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        assert!(matches!(config(&[]), Err(ConfigError::NoNamespace)));
        let error = config(&[("POD_NAMESPACE", "a"), ("OPERATOR_PORT", "http")]).unwrap_err();
        assert_eq!(error.to_string(), r#"OPERATOR_PORT="http" is not a port"#);
    }
}
