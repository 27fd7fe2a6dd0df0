//! Which blocks a delivery from outside starts.

use model::BlockId;
use uuid::uuid;

/// Who sends to blocks that need no credentials, by block.
pub const PROVIDERS: [(BlockId, &str); 2] = [
    (uuid!("8fa8c167-2002-47ce-aba8-97572fc5d387"), "generic_webhook"),
    (uuid!("9464a020-ed1d-49e1-990f-7f2ac924a2b7"), "compass"),
];

/// The pin on which a trigger gets what was sent.
pub const PAYLOAD: &str = "payload";

/// Whose deliveries the block waits for. None for a block that nothing from outside starts.
pub fn provider(block: BlockId) -> Option<&'static str> {
    PROVIDERS.iter().find(|(id, _)| *id == block).map(|(_, provider)| *provider)
}
