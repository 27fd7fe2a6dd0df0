//! Every block, one file each, in folders by theme.

mod agent;
pub(crate) mod ai;
mod basic;
mod credentials;
mod data;
mod files;
mod io;
mod logic;
mod people;
mod shelves;
mod text;
mod time;
mod trigger;
mod web;

use std::sync::Arc;

use crate::block::Block;

/// All blocks of this build, in the order in which they are listed.
pub(crate) fn all() -> Vec<Arc<dyn Block>> {
    [
        agent::all(),
        basic::all(),
        io::all(),
        text::all(),
        data::all(),
        logic::all(),
        people::all(),
        time::all(),
        files::all(),
        shelves::all(),
        web::all(),
        trigger::all(),
        ai::all(),
    ]
    .concat()
}
