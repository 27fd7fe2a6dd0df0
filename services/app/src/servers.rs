//! PostgreSQL, Redis and RabbitMQ: those that the environment names, and our own for the rest.

use devservices::{Options, Stack};
use runtime::BoxError;

use crate::data::DataDir;

/// A setting that our own server gives, and the variables of which any names another one.
const NAMED_BY: &[(&str, &[&str])] = &[
    ("DATABASE_URL", &["DATABASE_URL", "DB_HOST"]),
    ("REDIS_URL", &["REDIS_URL", "REDIS_HOST"]),
    ("RABBITMQ_URL", &["RABBITMQ_URL", "RABBITMQ_HOST"]),
];

pub struct Servers(Option<Stack>);

impl Servers {
    /// Starts the servers unless the environment names all three.
    pub async fn start(data: &DataDir) -> Result<Self, BoxError> {
        if missing(is_set).next().is_none() {
            return Ok(Self(None));
        }
        tracing::info!(directory = %data.path().display(), "starting PostgreSQL, Redis and RabbitMQ; this takes about ten seconds");
        Ok(Self(Some(Stack::start(data.path(), Options { durable: true }).await?)))
    }

    /// Where our own servers are, as settings. Those that the environment names are not in it.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        let missing: Vec<&str> = missing(is_set).collect();
        let own = self.0.as_ref().map(Stack::pairs).unwrap_or_default();
        own.into_iter().filter(|(name, _)| missing.contains(name)).collect()
    }

    pub fn has_own_database(&self) -> bool {
        self.addresses().iter().any(|(name, _)| *name == "DATABASE_URL")
    }

    pub async fn stop(self) {
        if let Some(stack) = self.0 {
            tracing::info!("stopping PostgreSQL, Redis and RabbitMQ");
            stack.stop().await;
        }
    }
}

fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn missing(is_set: impl Fn(&str) -> bool) -> impl Iterator<Item = &'static str> {
    NAMED_BY
        .iter()
        .filter(move |(_, names)| !names.iter().any(|name| is_set(name)))
        .map(|(setting, _)| *setting)
}

#[cfg(test)]
mod tests {
    use super::missing;

    #[test]
    fn a_server_that_any_variable_names_is_not_ours() {
        let all = ["DATABASE_URL", "REDIS_URL", "RABBITMQ_URL"];
        assert_eq!(missing(|_| false).collect::<Vec<_>>(), all);
        assert_eq!(missing(|name| name == "DB_HOST").collect::<Vec<_>>(), all[1..]);
        assert_eq!(missing(|name| name.ends_with("_HOST")).count(), 0);
    }
}
