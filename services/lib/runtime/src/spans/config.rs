//! The standard variables of OpenTelemetry (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>), as far as
//! they are about traces.

use std::time::Duration;

/// Where spans go, and which.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Config {
    /// The whole address, path included.
    pub endpoint: url::Url,
    pub headers: Vec<(String, String)>,
    /// Attributes of the process, `service.name` among them.
    pub resource: Vec<(String, String)>,
    pub sampler: Sampler,
    /// How long spans gather.
    pub delay: Duration,
    pub timeout: Duration,
}

/// Which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sampler {
    /// Of the traces that nobody has decided about, from 0 to 1.
    share: f64,
    /// Whoever brings a trace has decided.
    asks_parent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value}: {reason}")]
pub(super) struct Unusable {
    name: &'static str,
    value: String,
    reason: String,
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

impl Config {
    /// None when nothing is to be exported.
    pub fn from_environment(service: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Unusable> {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let is_off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || set("OTEL_TRACES_EXPORTER").as_deref() == Some("none");
        let address = |name: &'static str, path: &str| {
            set(name).map(|base| {
                let address = if path.is_empty() {
                    base.clone()
                } else {
                    format!("{}{path}", base.trim_end_matches('/'))
                };
                let address = url::Url::parse(&address).map_err(|error| error.to_string());
                let address = address.and_then(|url| match url.scheme() {
                    "http" | "https" => Ok(url),
                    other => Err(format!("{other} is not http or https")),
                });
                address.map_err(|reason| Unusable { name, value: base, reason })
            })
        };
        let Some(endpoint) = address(TRACES_ENDPOINT, "")
            .or_else(|| address(ENDPOINT, "/v1/traces"))
            .filter(|_| !is_off)
        else {
            return Ok(None);
        };
        let mut resource = pairs(&set("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default());
        let named = resource
            .iter()
            .position(|(name, _)| name == "service.name")
            .map(|place| resource.remove(place).1);
        let name = set("OTEL_SERVICE_NAME").or(named).unwrap_or_else(|| format!("autogpt-{service}"));
        resource.insert(0, ("service.name".to_owned(), name));
        let milliseconds = |name: &'static str, usual: u64| match set(name) {
            None => Ok(Duration::from_millis(usual)),
            Some(value) => match value.parse() {
                Ok(number) => Ok(Duration::from_millis(number)),
                Err(_) => Err(Unusable {
                    name,
                    value,
                    reason: "not a number of milliseconds".to_owned(),
                }),
            },
        };
        Ok(Some(Self {
            endpoint: endpoint?,
            headers: pairs(&set("OTEL_EXPORTER_OTLP_HEADERS").unwrap_or_default()),
            resource,
            sampler: Sampler::named(set("OTEL_TRACES_SAMPLER"), set("OTEL_TRACES_SAMPLER_ARG"))?,
            delay: milliseconds("OTEL_BSP_SCHEDULE_DELAY", 5_000)?,
            timeout: milliseconds("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000)?,
        }))
    }
}

/// `name=value,name=value`; what is no pair is left out.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |part: &str| {
        part.split_once('=')
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',').filter_map(pair).filter(|(name, _)| !name.is_empty()).collect()
}

impl Sampler {
    fn named(name: Option<String>, share: Option<String>) -> Result<Self, Unusable> {
        let name = name.unwrap_or_else(|| "parentbased_always_on".to_owned());
        let share = || match &share {
            None => Ok(1.0),
            Some(text) => match text.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
                _ => Err(Unusable {
                    name: "OTEL_TRACES_SAMPLER_ARG",
                    value: text.clone(),
                    reason: "not a number from 0 to 1".to_owned(),
                }),
            },
        };
        let (bare, asks_parent) = match name.strip_prefix("parentbased_") {
            Some(bare) => (bare, true),
            None => (name.as_str(), false),
        };
        let share = match bare {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => share()?,
            _ => {
                return Err(Unusable {
                    name: "OTEL_TRACES_SAMPLER",
                    value: name,
                    reason: "known are always_on, always_off, traceidratio, and these with parentbased_ before them".to_owned(),
                });
            }
        };
        Ok(Self { share, asks_parent })
    }

    /// The same answer for the same trace, whoever is asked.
    pub fn samples(self, trace_id: u128, brought: Option<bool>) -> bool {
        const POSSIBLE: u128 = 1 << 53;
        match brought {
            Some(decided) if self.asks_parent => decided,
            // The lower 53 bits are as random as the rest, and exact as a float.
            _ => ((trace_id & (POSSIBLE - 1)) as f64) < self.share * POSSIBLE as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(variables: &[(&str, &str)]) -> Result<Option<Config>, Unusable> {
        let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::from_environment("db", value)
    }

    #[test]
    fn nothing_is_exported_unless_somebody_listens() {
        let on = (ENDPOINT, "http://collector:4318");
        for variables in [
            &[][..],
            &[(ENDPOINT, " ")],
            &[on, ("OTEL_SDK_DISABLED", "TRUE")],
            &[on, ("OTEL_TRACES_EXPORTER", "none")],
        ] {
            assert_eq!(config(variables), Ok(None), "{variables:?}");
        }
    }

    #[test]
    fn addresses_and_names_are_as_the_standard_says() {
        let usual = config(&[(ENDPOINT, "http://collector:4318/")]).unwrap().unwrap();
        assert_eq!(usual.endpoint.as_str(), "http://collector:4318/v1/traces");
        assert_eq!(usual.resource, [("service.name".to_owned(), "autogpt-db".to_owned())]);
        assert_eq!((usual.delay, usual.timeout), (Duration::from_secs(5), Duration::from_secs(10)));
        let own = config(&[
            (ENDPOINT, "http://collector:4318"),
            (TRACES_ENDPOINT, "https://other/in"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=x,zone = a,odd"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer a=b"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
        ]);
        let own = own.unwrap().unwrap();
        assert_eq!(own.endpoint.as_str(), "https://other/in");
        assert_eq!(own.resource[0].1, "x");
        assert_eq!(own.resource[1], ("zone".to_owned(), "a".to_owned()));
        assert_eq!(own.headers, [("authorization".to_owned(), "Bearer a=b".to_owned())]);
        assert_eq!(own.delay, Duration::from_millis(50));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let on = (ENDPOINT, "http://collector:4318");
        for (variables, named) in [
            (&[(ENDPOINT, "collector:4318")][..], "OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318: "),
            (&[on, ("OTEL_TRACES_SAMPLER", "sometimes")], "OTEL_TRACES_SAMPLER=sometimes: "),
            (
                &[on, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")],
                "OTEL_TRACES_SAMPLER_ARG=2: ",
            ),
            (&[on, ("OTEL_BSP_SCHEDULE_DELAY", "soon")], "OTEL_BSP_SCHEDULE_DELAY=soon: "),
        ] {
            let error = config(variables).unwrap_err().to_string();
            assert!(error.starts_with(named), "{error}");
        }
    }

    #[test]
    fn samplers_follow_who_has_decided_or_the_id() {
        let sampler = |name: &str, share: &str| Sampler::named(Some(name.to_owned()), Some(share.to_owned())).unwrap();
        let (low, high) = (1, (1 << 53) - 1);
        let table = [
            ("always_on", "1", low, Some(false), true),
            ("always_off", "1", low, Some(true), false),
            ("parentbased_always_on", "1", high, None, true),
            ("parentbased_always_on", "1", low, Some(false), false),
            ("parentbased_always_off", "1", low, Some(true), true),
            ("traceidratio", "0.5", low, Some(false), true),
            ("traceidratio", "0.5", high, Some(true), false),
            ("parentbased_traceidratio", "0.5", high, None, false),
            ("parentbased_traceidratio", "0.5", high, Some(true), true),
        ];
        for (name, share, trace, brought, sampled) in table {
            assert_eq!(sampler(name, share).samples(trace, brought), sampled, "{name} {trace} {brought:?}");
        }
    }
}
