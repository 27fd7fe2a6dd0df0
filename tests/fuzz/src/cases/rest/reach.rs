//! What the requests reached: an operation that was never answered with success was only looked at from outside.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Result;

/// Operations that cannot succeed here, and why.
const EXEMPT: &[(&str, &str)] = &[
    ("postV2Generate submission image", "501: there is no image generator"),
    ("getV1GetAyrshareSsoUrl", "501: Ayrshare is not connected"),
    ("postV1Request credit top up", "501: no payment provider is connected"),
    ("patchV1Fulfill checkout session", "501: no payment provider is connected"),
    ("postV1Refund credit transaction", "501: no payment provider is connected"),
    ("postV1Handle stripe webhooks", "501: no payment provider is connected"),
    ("getV1Manage payment methods", "501: no payment provider is connected"),
];

/// Method and route → answers 2xx so far, as the service itself counts them.
pub type Successes = BTreeMap<(String, String), u64>;

/// Asks the service at `base`.
///
/// # Errors
/// When it shows no metrics.
pub async fn successes(base: &str) -> Result<Successes> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let text = http.get(format!("{base}/metrics")).send().await?.error_for_status()?.text().await?;
    Ok(counted(&text))
}

fn counted(text: &str) -> Successes {
    let mut found = Successes::new();
    for line in text.lines() {
        let Some((labels, count)) = line.strip_prefix("autogpt_http_requests_total{").and_then(|rest| rest.rsplit_once("} ")) else {
            continue;
        };
        let label = |name: &str| labels.split_once(&format!("{name}=\""))?.1.split('"').next();
        if let (Some(method), Some(route), Some(status)) = (label("method"), label("route"), label("status"))
            && status.starts_with('2')
        {
            *found.entry((method.to_owned(), nameless(route))).or_default() += count.parse().unwrap_or(0);
        }
    }
    found
}

/// A parameter of a path may have another name in the document than in the router.
fn nameless(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

/// How many operations there are and were answered with success between two counts, and one text for each that was not and should have been.
pub struct Reach {
    pub operations: usize,
    pub reached: usize,
    pub complaints: Vec<String>,
}

impl Reach {
    pub fn new(document: &Value, before: &Successes, after: &Successes) -> Self {
        let grew = |key: &&(String, String)| after.get(*key) > before.get(*key);
        let succeeded: BTreeSet<&(String, String)> = after.keys().filter(grew).collect();
        let mut reach = Self {
            operations: 0,
            reached: 0,
            complaints: Vec::new(),
        };
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let (method, id) = (method.to_uppercase(), operation["operationId"].as_str().unwrap_or_default());
                let reached = succeeded.contains(&(method.clone(), nameless(path)));
                let exempt = EXEMPT.iter().find(|(exempt, _)| *exempt == id);
                reach.operations += 1;
                reach.reached += usize::from(reached);
                match exempt {
                    None if !reached => reach.complaints.push(format!("{method} {path} ({id}): was never answered with success")),
                    Some((_, why)) if reached => reach
                        .complaints
                        .push(format!("{method} {path} ({id}): was answered with success, but \"{why}\"")),
                    _ => {}
                }
            }
        }
        reach
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_succeeded_before_does_not_count() {
        let line = |route: &str, status: u16, count: u64| {
            format!("autogpt_http_requests_total{{method=\"GET\",route=\"{route}\",status=\"{status}\"}} {count}\n")
        };
        let before = counted(&format!("# HELP x\n{}", line("/a/{id}", 200, 1)));
        let all = line("/a/{id}", 200, 1) + &line("/b", 204, 1) + &line("/c", 404, 9) + &line("/credits", 200, 1);
        let after = counted(&all);
        let document = json!({"paths": {
            "/a/{a_id}": {"get": {"operationId": "a"}},
            "/b": {"get": {"operationId": "b"}},
            "/c": {"get": {"operationId": "c"}},
            "/credits": {"get": {"operationId": "getV1Manage payment methods"}},
        }});
        let reach = Reach::new(&document, &before, &after);
        assert_eq!((reach.operations, reach.reached), (4, 2));
        let about: Vec<&str> = reach.complaints.iter().filter_map(|text| text.split(' ').nth(1)).collect();
        assert_eq!(about, ["/a/{a_id}", "/c", "/credits"], "{:?}", reach.complaints);
        assert_eq!(Reach::new(&document, &Successes::new(), &after).reached, 3);
    }
}
