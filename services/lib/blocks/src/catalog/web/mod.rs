//! Blocks that reach servers of the user's choice.

mod body;
mod read_rss_feed;
mod send_email;
mod send_web_request;
mod wikipedia;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(send_web_request::plain()),
        Arc::new(send_web_request::authenticated()),
        Arc::new(read_rss_feed::block()),
        Arc::new(send_email::block()),
        Arc::new(wikipedia::block()),
    ]
}
