//! Which web origins may call from a browser (rest.md §2.10).

use http::HeaderValue;
use regex::Regex;
use runtime::settings::AppEnv;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

/// Why the list of origins cannot be used. Ends the process at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    #[error("BACKEND_CORS_ALLOW_ORIGINS: {origin:?} is no origin: write scheme://host[:port], or regex:<expression>")]
    NoOrigin { origin: String },
    #[error("BACKEND_CORS_ALLOW_ORIGINS: {origin:?} needs a port: a browser's origin on this machine names one")]
    NoPort { origin: String },
    #[error("BACKEND_CORS_ALLOW_ORIGINS: {origin:?} is no regular expression: {reason}")]
    NoExpression { origin: String, reason: String },
    #[error("BACKEND_CORS_ALLOW_ORIGINS: {origin:?} admits pages of the visitor's own machine, which APP_ENV=prod forbids: remove it")]
    LocalInProduction { origin: String },
}

const LOCAL_TWINS: [(&str, &str); 2] = [("localhost", "127.0.0.1"), ("127.0.0.1", "localhost")];

/// Origins that are allowed, by name or by expression.
#[derive(Debug, Clone, Default)]
struct Origins {
    exact: Vec<String>,
    expressions: Vec<Regex>,
}

/// The layer for the configured origins: credentials on, all methods and headers.
pub fn layer(origins: &[String], app_env: AppEnv) -> Result<CorsLayer, CorsError> {
    let allowed = Origins::parse(origins, app_env == AppEnv::Prod)?;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin: &HeaderValue, _| {
            origin.to_str().is_ok_and(|origin| allowed.contain(origin))
        }))
        .allow_credentials(true)
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request()))
}

impl Origins {
    fn parse(given: &[String], production: bool) -> Result<Self, CorsError> {
        let mut origins = Self::default();
        for entry in given.iter().map(|entry| entry.trim()).filter(|entry| !entry.is_empty()) {
            match entry.strip_prefix("regex:") {
                Some(expression) => origins.add_expression(entry, expression, production)?,
                None => origins.add_exact(entry, production)?,
            }
        }
        Ok(origins)
    }

    fn add_expression(&mut self, entry: &str, expression: &str, production: bool) -> Result<(), CorsError> {
        let compiled = Regex::new(&format!("^(?:{expression})$")).map_err(|error| CorsError::NoExpression {
            origin: entry.to_owned(),
            reason: error.to_string(),
        })?;
        let local = [
            "http://localhost:3000",
            "https://localhost:3000",
            "http://127.0.0.1:3000",
            "http://localhost",
            "https://localhost",
        ];
        if production && local.iter().any(|origin| compiled.is_match(origin)) {
            return Err(CorsError::LocalInProduction { origin: entry.to_owned() });
        }
        self.expressions.push(compiled);
        Ok(())
    }

    fn add_exact(&mut self, entry: &str, production: bool) -> Result<(), CorsError> {
        let origin = entry.trim_end_matches('/');
        let authority = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
        let authority = authority
            .filter(|authority| !authority.is_empty() && !authority.contains(['/', '*', '?', '#']))
            .ok_or_else(|| CorsError::NoOrigin { origin: entry.to_owned() })?;
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        if let Some((_, twin)) = LOCAL_TWINS.iter().find(|(local, _)| *local == host) {
            let port = port
                .filter(|port| !port.is_empty())
                .ok_or_else(|| CorsError::NoPort { origin: entry.to_owned() })?;
            if production {
                return Err(CorsError::LocalInProduction { origin: entry.to_owned() });
            }
            let scheme = &origin[..origin.len() - authority.len()];
            self.exact.push(format!("{scheme}{twin}:{port}"));
        }
        self.exact.push(origin.to_owned());
        Ok(())
    }

    fn contain(&self, origin: &str) -> bool {
        self.exact.iter().any(|exact| exact == origin) || self.expressions.iter().any(|expression| expression.is_match(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::{CorsError, Origins};

    fn origins(entries: &[&str], production: bool) -> Result<Origins, CorsError> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Origins::parse(&entries, production)
    }

    #[test]
    fn a_local_origin_has_a_twin() {
        let allowed = origins(&["http://localhost:3000", "http://127.0.0.1:5000/"], false).unwrap();
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1:3000",
            "http://localhost:5000",
            "http://127.0.0.1:5000",
        ] {
            assert!(allowed.contain(origin), "{origin}");
        }
        for origin in ["https://localhost:3000", "http://localhost:3001", "http://localhost", "null"] {
            assert!(!allowed.contain(origin), "{origin}");
        }
    }

    #[test]
    fn an_expression_matches_the_whole_origin() {
        let allowed = origins(&[r"regex:https://[a-z]+\.example\.com"], false).unwrap();
        assert!(allowed.contain("https://app.example.com"));
        assert!(!allowed.contain("https://app.example.com.evil.test"));
        assert!(!allowed.contain("xhttps://app.example.com"));
    }

    #[test]
    fn entries_that_cannot_work_are_refused() {
        assert!(matches!(origins(&["http://localhost"], false), Err(CorsError::NoPort { .. })));
        assert!(matches!(origins(&["example.com"], false), Err(CorsError::NoOrigin { .. })));
        assert!(matches!(origins(&["https://*.example.com"], false), Err(CorsError::NoOrigin { .. })));
        assert!(matches!(origins(&["regex:("], false), Err(CorsError::NoExpression { .. })));
    }

    #[test]
    fn production_admits_no_local_page() {
        for entry in ["http://localhost:3000", "http://127.0.0.1:80", "regex:.*", r"regex:http://localhost:\d+"] {
            assert!(matches!(origins(&[entry], true), Err(CorsError::LocalInProduction { .. })), "{entry}");
        }
        assert!(origins(&["https://app.example.com", r"regex:https://.*\.example\.com"], true).is_ok());
    }
}
