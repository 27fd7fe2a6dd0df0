use std::collections::{BTreeSet, HashMap};

use toml::Table;

use super::super::{Service, Settings, SmtpTls, Values};
use super::*;

fn file(text: &str) -> Result<Values, ConfigError> {
    layered(Some(("my.toml".to_owned(), text.to_owned())), &HashMap::new())
}

fn environment(pairs: &[(&str, &str)]) -> Result<Settings, ConfigError> {
    Settings::from_pairs(pairs.iter().copied())
}

#[test]
fn every_key_has_an_environment_name_and_every_name_a_key() {
    let defaults: Table = DEFAULTS.parse().unwrap();
    let leaves: BTreeSet<String> = keys(&defaults, "")
        .into_iter()
        .filter(|key| !defaults.get(key).is_some_and(Value::is_table))
        .collect();
    let named: BTreeSet<String> = ENVIRONMENT.iter().map(|(_, key)| (*key).to_owned()).collect();
    assert_eq!(leaves, named);
    for (name, _) in ENVIRONMENT {
        assert!(DEFAULTS.contains(name), "{name} is not mentioned in config.default.toml");
    }
}

#[test]
fn defaults_are_the_contracts() {
    let settings = Settings::for_test();
    assert_eq!(settings.ports.scheduler, 8003);
    assert_eq!(settings.executor.num_graph_workers, 10);
    assert_eq!(settings.database.url, "postgresql://postgres@localhost:5432/postgres");
    assert_eq!(settings.redis.url(), "redis://localhost:6379/0");
    assert_eq!(settings.rabbitmq.url(), "amqp://guest:guest@localhost:5672/%2F");
    assert_eq!(settings.rpc.token, None);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let variables = HashMap::from([("NUM_GRAPH_WORKERS".to_owned(), "3".to_owned())]);
    let overlay = "[executor]\nnum_graph_workers = 4\ndrain_seconds = 7\n";
    let values = layered(Some(("my.toml".to_owned(), overlay.to_owned())), &variables).unwrap();
    assert_eq!(
        (
            values.executor.num_graph_workers,
            values.executor.drain_seconds,
            values.executor.lease_seconds
        ),
        (3, 7, 15)
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_key_that_was_meant() {
    let error = file("[executor]\nnum_graph_wokers = 4\n").unwrap_err().to_string();
    assert!(
        error.contains("unknown key `executor.num_graph_wokers`, did you mean `executor.num_graph_workers`?"),
        "{error}"
    );
    let misplaced = file("drain_seconds = 4\n").unwrap_err().to_string();
    assert!(misplaced.contains("did you mean `executor.drain_seconds`?"), "{misplaced}");
    let nothing_near = file("colour = 'red'\n").unwrap_err().to_string();
    assert!(!nothing_near.contains("did you mean"), "{nothing_near}");
}

#[test]
fn a_value_of_another_type_is_refused_by_name() {
    assert!(
        file("[ports]\nscheduler = 'x'\n")
            .unwrap_err()
            .to_string()
            .contains("`ports.scheduler` must be a whole number")
    );
    assert!(file("[ports]\nscheduler = 70000\n").is_err());
    assert!(
        environment(&[("ENABLE_AUTH", "perhaps")])
            .unwrap_err()
            .to_string()
            .contains("ENABLE_AUTH=\"perhaps\" is not true or false")
    );
    assert!(
        environment(&[("SCHEDULER_STORE", "mysql")])
            .unwrap_err()
            .to_string()
            .contains("kubernetes")
    );
}

#[test]
fn a_port_variable_injected_by_kubernetes_is_explained() {
    let error = environment(&[("REDIS_PORT", "tcp://10.0.0.7:6379")]).unwrap_err().to_string();
    assert!(error.contains("REDIS_PORT") && error.contains("enableServiceLinks: false"), "{error}");
}

#[test]
fn addresses_are_built_from_parts_and_escaped() {
    let settings = environment(&[
        ("DB_USER", "a b"),
        ("DB_PASS", "p@/ss"),
        ("DB_HOST", "db"),
        ("DB_NAME", "auto"),
        ("REDIS_HOST", "::1"),
        ("REDIS_PASSWORD", "x:y"),
        ("RABBITMQ_VHOST", "lab"),
    ])
    .unwrap();
    assert_eq!(settings.database.url, "postgresql://a%20b:p%40%2Fss@db:5432/auto");
    assert_eq!(settings.redis.url(), "redis://:x%3Ay@[::1]:6379/0");
    assert!(settings.rabbitmq.url().ends_with(":5672/lab"));
}

#[test]
fn the_references_database_url_is_understood() {
    let url = "postgresql://u:p@db:5432/postgres?schema=platform&connect_timeout=60&connection_limit=7&pool_timeout=300&sslmode=require";
    let settings = environment(&[("DATABASE_URL", url)]).unwrap();
    assert_eq!(
        settings.database.url,
        "postgresql://u:p@db:5432/postgres?sslmode=require&options%5Bsearch_path%5D=platform"
    );
    assert_eq!(settings.database.schema.as_deref(), Some("platform"));
    assert_eq!(settings.database.connection_limit, 7);
}

#[test]
fn of_two_names_for_one_key_the_documented_first_wins() {
    let both = environment(&[("JWT_VERIFY_KEY", "new"), ("SUPABASE_JWT_SECRET", "old")]).unwrap();
    assert_eq!(both.auth.jwt_verify_key.expose(), "new");
    let fallback = environment(&[("SUPABASE_JWT_SECRET", "old")]).unwrap();
    assert_eq!(fallback.auth.jwt_verify_key.expose(), "old");
}

#[test]
fn peers_are_found_by_the_contracts_host_variables() {
    let settings = environment(&[("PYRO_HOST", "0.0.0.0"), ("DATABASEMANAGER_HOST", "db"), ("SCHEDULER_HOST", "fd00::2")]).unwrap();
    assert_eq!(settings.rpc.base_url(Service::DatabaseManager), "http://db:8005");
    assert_eq!(settings.rpc.base_url(Service::Scheduler), "http://[fd00::2]:8003");
    // The wildcard address is for binding, not for dialling.
    assert_eq!(settings.rpc.base_url(Service::NotificationManager), "http://localhost:8007");
    // One container that holds both: its outside name need not resolve inside.
    let together = environment(&[("DATABASEMANAGER_HOST", "backend"), ("SCHEDULER_HOST", "backend")]).unwrap();
    assert_eq!(
        together.for_service(Some(Service::Scheduler)).rpc.base_url(Service::DatabaseManager),
        "http://localhost:8005"
    );
    assert_eq!(together.for_service(None).rpc.base_url(Service::DatabaseManager), "http://backend:8005");
}

#[test]
fn secrets_are_not_printed() {
    let settings = environment(&[
        ("INTERNAL_RPC_TOKEN", "hush1"),
        ("DATABASE_URL", "postgresql://u:hush2@db/x"),
        ("RABBITMQ_DEFAULT_PASS", "hush3"),
        ("REDIS_URL", "redis://:hush4@r:6379"),
        ("SMTP_TLS", "implicit"),
    ])
    .unwrap();
    let printed = settings.to_redacted_toml();
    assert!(!printed.contains("hush") && !format!("{settings:?}").contains("hush"), "{printed}");
    assert!(printed.contains("db/x") && printed.contains("num_graph_workers = 10"));
    assert_eq!(settings.notification.smtp_tls, SmtpTls::Implicit);
}

#[test]
fn lists_are_json_in_the_environment() {
    let settings = environment(&[("BACKEND_CORS_ALLOW_ORIGINS", r#"["https://a.example", "regex:^https://.*$"]"#)]).unwrap();
    assert_eq!(settings.cors_allow_origins.len(), 2);
    assert!(environment(&[("BACKEND_CORS_ALLOW_ORIGINS", "https://a.example")]).is_err());
}

#[test]
fn a_broker_url_that_ends_in_a_slash_means_the_default_virtual_host() {
    for (given, wanted) in [
        ("amqp://u:p@mq:5672/", "amqp://u:p@mq:5672/%2f"),
        ("amqp://mq/?heartbeat=5", "amqp://mq/%2f?heartbeat=5"),
        ("amqp://mq", "amqp://mq"),
        ("amqp://mq/tenant", "amqp://mq/tenant"),
        ("amqp://mq/%2f", "amqp://mq/%2f"),
    ] {
        let settings = Settings::from_pairs([("RABBITMQ_URL", given)]).unwrap();
        assert_eq!(settings.rabbitmq.url(), wanted);
    }
}
