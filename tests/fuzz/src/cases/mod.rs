//! The cases of the battery.

mod rest;
mod search;

use std::future::Future;
use std::pin::Pin;

use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

/// What became of a case.
#[derive(Debug)]
pub enum Ending {
    Ran(Outcome),
    /// What it needs is not there, and why.
    Skipped(String),
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<Ending>> + Send + 'a>>;

/// One case.
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    run: for<'a> fn(&'a Scope) -> Running<'a>,
}

impl Case {
    /// Runs the case at the size of `scope`.
    ///
    /// # Errors
    /// When the runner cannot go on: a server does not start, or a tool does not do its work.
    pub async fn run(&self, scope: &Scope) -> Result<Ending> {
        (self.run)(scope).await
    }
}

/// All cases, in the order in which they run.
pub const ALL: &[Case] = &[
    Case {
        name: rest::NAME,
        about: "Schemathesis over the served OpenAPI document, against the app binary",
        run: |scope| Box::pin(async { rest::run(scope).await.map(Ending::Ran) }),
    },
    Case {
        name: "graph_json",
        about: "libFuzzer on the body of a request to create a graph, up to its plan",
        run: |scope| Box::pin(search::run("graph_json", scope)),
    },
    Case {
        name: "ws_frame",
        about: "libFuzzer on frames that clients of the live view send",
        run: |scope| Box::pin(search::run("ws_frame", scope)),
    },
    Case {
        name: "jwt_header",
        about: "libFuzzer on the header of a user's token",
        run: |scope| Box::pin(search::run("jwt_header", scope)),
    },
];

/// The case of that name.
pub fn find(name: &str) -> Option<&'static Case> {
    ALL.iter().find(|case| case.name == name)
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_target_is_a_case() {
        let targets = fuzz_targets::ALL.iter().map(|(name, _)| *name);
        let cases = ALL.iter().map(|case| case.name).filter(|name| *name != super::rest::NAME);
        assert_eq!(targets.collect::<Vec<_>>(), cases.collect::<Vec<_>>());
    }
}
