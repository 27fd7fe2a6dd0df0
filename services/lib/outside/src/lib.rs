//! What blocks reach beyond the platform: the web, models, and the files of a run.
//!
//! Everything that a user can name leads through [`Web`], which looks at every address after the names were resolved. What the operator of
//! the platform has configured (base URLs of models, trusted hosts) is believed.

mod address;
mod files;
mod models;
pub mod reply;
mod trust;
mod web;

use std::sync::Arc;

use runtime::Settings;

pub use address::is_public;
pub use files::{FileError, Files, StoredFile};
pub use models::{ASSISTANT, Asked, Completion, Message, ModelError, Models, Speech, Usage};
pub use web::{MAX_REDIRECTS, Web, WebError, WebReply, WebRequest, read_url};

/// The outside as one process sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outside(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    web: Web,
    files: Files,
    models: Models,
}

impl Outside {
    pub fn new(settings: &Settings) -> Result<Self, reqwest::Error> {
        // For tests and tools: a service has done so already.
        runtime::install_tls_provider();
        let blocks = &settings.blocks;
        Ok(Self(Arc::new(Parts {
            web: Web::new(blocks)?,
            files: Files::new(blocks),
            models: Models::new(settings)?,
        })))
    }

    pub fn web(&self) -> &Web {
        &self.0.web
    }

    pub fn files(&self) -> &Files {
        &self.0.files
    }

    pub fn models(&self) -> &Models {
        &self.0.models
    }
}
