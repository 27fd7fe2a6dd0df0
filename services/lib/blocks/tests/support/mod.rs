//! The surroundings of a block in these tests: a user's store and credentials in memory, the real outside.

#![allow(dead_code)] // each test uses its part

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use blocks::{Agent, BlockContext, Failure, Outside, Platform, Question};
use model::credentials::{CredentialSecret, OpenCredential};
use model::review::{RepeatAnswer, ReviewResult};
use model::{AgentRun, CredentialsMetaInput, Map};
use runtime::Settings;
use serde_json::Value;
use uuid::Uuid;

/// What a user has.
#[derive(Debug, Default)]
pub struct Shelf {
    kept: Mutex<HashMap<String, Value>>,
    credential: Option<OpenCredential>,
}

impl Shelf {
    pub fn holding(key: String, value: Value) -> Self {
        Self {
            kept: Mutex::new([(key, value)].into()),
            credential: None,
        }
    }

    /// With one credential, whatever reference is given.
    pub fn with_credential(provider: &str, secret: CredentialSecret) -> Self {
        Self {
            credential: Some(OpenCredential {
                id: "c".to_owned(),
                provider: provider.to_owned(),
                title: None,
                secret,
            }),
            ..Self::default()
        }
    }
}

#[async_trait]
impl Platform for Shelf {
    async fn run_agent(&self, _context: &BlockContext, _agent: Agent) -> Result<AgentRun, Failure> {
        Err(Failure::raised("there are no agents here"))
    }

    async fn review(&self, _context: &BlockContext, _question: Question) -> Result<Option<ReviewResult>, Failure> {
        Ok(None)
    }

    async fn credential(&self, _context: &BlockContext, _reference: &CredentialsMetaInput) -> Result<OpenCredential, Failure> {
        self.credential.clone().ok_or_else(|| Failure::raised("there are no credentials here"))
    }

    async fn recall(&self, _context: &BlockContext, key: String) -> Result<Option<Value>, Failure> {
        Ok(self.kept.lock().unwrap().get(&key).cloned())
    }

    async fn keep(&self, _context: &BlockContext, key: String, value: Value) -> Result<Option<Value>, Failure> {
        self.kept.lock().unwrap().insert(key, value.clone());
        Ok(Some(value))
    }

    async fn ask_to_repeat(&self, _context: &BlockContext, _input: Map, _instructions: String) -> Result<RepeatAnswer, Failure> {
        Ok(RepeatAnswer::Waiting)
    }
}

/// `settings` as they would stand in the environment.
pub fn context(settings: &[(&str, String)], shelf: Shelf) -> BlockContext {
    let settings = Settings::from_pairs(settings.iter().map(|(name, value)| (*name, value.clone()))).unwrap();
    BlockContext {
        platform: Arc::new(shelf),
        graph_id: Uuid::nil(),
        ..BlockContext::direct(Uuid::nil(), Outside::new(&settings).unwrap())
    }
}
