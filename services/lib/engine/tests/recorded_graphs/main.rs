//! The recorded graphs and refusals, with the real blocks and without HTTP: every case whose blocks this build contains.

mod graphs;
mod matching;
mod stage;
mod validation;
