//! The contract's categories with the sentences that the builder shows.

use serde_json::{Value, json};

/// `{category, description}` as `/api/blocks` lists it.
pub(crate) fn describe(category: &str) -> Value {
    json!({ "category": category, "description": sentence(category) })
}

fn sentence(category: &str) -> &'static str {
    match category {
        "AI" => "Blocks that use AI to do a task.",
        "SOCIAL" => "Blocks that work with social media platforms.",
        "TEXT" => "Blocks that work on text.",
        "SEARCH" => "Blocks that search for or extract information.",
        "BASIC" => "Blocks for basic operations.",
        "INPUT" => "Blocks that bring input into the graph.",
        "OUTPUT" => "Blocks that give output out of the graph.",
        "LOGIC" => "Blocks for logic and flow.",
        "COMMUNICATION" => "Blocks that work with communication platforms.",
        "DEVELOPER_TOOLS" => "Blocks for developers' tools.",
        "DATA" => "Blocks that work on structured data.",
        "HARDWARE" => "Blocks that work with hardware.",
        "AGENT" => "Blocks that work with other agents.",
        "CRM" => "Blocks that work with customer relationship services.",
        "SAFETY" => "Blocks that keep agents safe.",
        "PRODUCTIVITY" => "Blocks that work with productivity tools.",
        "ISSUE_TRACKING" => "Blocks that work with issue trackers.",
        "MULTIMEDIA" => "Blocks that work on images, sound and video.",
        "MARKETING" => "Blocks that help with marketing.",
        _ => "",
    }
}
