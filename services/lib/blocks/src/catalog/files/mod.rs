//! Files of the run.

mod csv;
mod file_read;
mod file_store;
mod read_spreadsheet;
mod workbook;

use std::sync::Arc;

use outside::{FileError, StoredFile};

use crate::block::{Block, BlockContext, Failure};

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(file_store::block()),
        Arc::new(file_read::block()),
        Arc::new(read_spreadsheet::block()),
    ]
}

/// Takes in what a `file` value names.
pub(super) async fn take_in(context: &BlockContext, source: &str) -> Result<StoredFile, Failure> {
    let taken = context
        .outside
        .files()
        .take_in(context.graph_exec_id, source, context.outside.web())
        .await;
    taken.map_err(|error: FileError| Failure::raised(error.to_string()))
}

/// What a block passes on for a file: its name, or its content.
pub(super) fn passed_on(file: StoredFile, as_content: bool) -> String {
    if as_content { file.to_data_uri() } else { file.name }
}

/// The content as text: UTF-8, or else Latin-1.
fn text_of(content: Vec<u8>) -> String {
    String::from_utf8(content).unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect())
}
