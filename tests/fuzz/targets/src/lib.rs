//! What reads untrusted bytes, as functions of those bytes that panic when the bytes did harm. libFuzzer searches for such bytes
//! (`fuzz/`), the tests try the seeds and what becomes of them when bytes are changed.

#![allow(clippy::panic)] // a panic is how a target tells that it found something

mod graph_json;
mod jwt_header;
mod ws_frame;

pub use graph_json::graph_json;
pub use jwt_header::jwt_header;
pub use ws_frame::ws_frame;

/// A target: its name, which is also that of its folder of seeds, and the function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const ALL: &[Target] = &[("graph_json", graph_json), ("ws_frame", ws_frame), ("jwt_header", jwt_header)];
