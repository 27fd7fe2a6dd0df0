//! The cases of the battery.

mod rest;

use std::future::Future;
use std::pin::Pin;

use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome>> + Send + 'a>>;

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
    /// When the runner cannot go on: a server does not start, or a tool is missing.
    pub async fn run(&self, scope: &Scope) -> Result<Outcome> {
        (self.run)(scope).await
    }
}

/// All cases, in the order in which they run.
pub const ALL: &[Case] = &[Case {
    name: rest::NAME,
    about: "Schemathesis over the served OpenAPI document, against the app binary",
    run: |scope| Box::pin(rest::run(scope)),
}];

/// The case of that name.
pub fn find(name: &str) -> Option<&'static Case> {
    ALL.iter().find(|case| case.name == name)
}
