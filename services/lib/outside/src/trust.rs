//! Hosts that the operator of the platform has named as safe, whatever their addresses.

use url::Url;

/// A list of `host` or `host:port`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trusted(Vec<(String, Option<u16>)>);

impl Trusted {
    pub(crate) fn new(hosts: &[String]) -> Self {
        let entry = |text: &String| {
            let text = text.trim().to_ascii_lowercase();
            match text.rsplit_once(':').map(|(host, port)| (host.to_owned(), port.parse().ok())) {
                Some((host, Some(port))) => (host, Some(port)),
                _ => (text, None),
            }
        };
        Self(hosts.iter().map(entry).collect())
    }

    pub(crate) fn holds(&self, url: &Url) -> bool {
        let (Some(host), port) = (url.host_str(), url.port_or_known_default()) else {
            return false;
        };
        self.0.iter().any(|(trusted, at)| trusted == host && (at.is_none() || *at == port))
    }
}

#[cfg(test)]
mod tests {
    use super::Trusted;

    #[test]
    fn a_host_is_trusted_by_name_and_port() {
        let trusted = Trusted::new(&["Models.local".to_owned(), "127.0.0.1:8080".to_owned()]);
        let holds = |url: &str| trusted.holds(&url.parse().unwrap());
        assert!(holds("http://models.local/x") && holds("https://MODELS.local:1") && holds("http://127.0.0.1:8080/"));
        assert!(!holds("http://127.0.0.1/") && !holds("http://127.0.0.1:8081/") && !holds("http://x.models.local/"));
    }
}
