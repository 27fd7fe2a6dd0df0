//! The targets of libFuzzer over their seeds, and over what becomes of the seeds when bytes are cut, changed or doubled.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Changed inputs for each seed.
const CHANGED: usize = 400;
/// Bytes that mean something to a reader of JSON, of base64 or of text.
const TELLING: &[u8] = b"{}[]\",:\\0-e.\x00\xff\xed\xa0 =n";

fn changed(seed: &[u8], chance: &mut StdRng) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..chance.random_range(1..=4) {
        let at = chance.random_range(0..bytes.len().max(1));
        match chance.random_range(0..4) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at.min(bytes.len()), TELLING[chance.random_range(0..TELLING.len())]),
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = TELLING[chance.random_range(0..TELLING.len())];
                }
            }
            _ => {
                let part = bytes[at.min(bytes.len())..].to_vec();
                bytes.extend_from_slice(&part);
            }
        }
    }
    bytes
}

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../seeds")
}

#[test]
fn no_seed_and_nothing_near_it_does_harm() {
    for (name, target) in fuzz_targets::ALL {
        let mut chance = StdRng::seed_from_u64(1);
        let mut files: Vec<_> = fs::read_dir(seeds().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 4, "{name} has {} seeds", files.len());
        for file in files {
            let seed = fs::read(&file).unwrap();
            target(&seed);
            for _ in 0..CHANGED {
                target(&changed(&seed, &mut chance));
            }
        }
    }
}

/// The good seeds are understood: else the targets would end where they begin.
#[test]
fn the_seeds_reach_what_they_are_for() {
    let seed = |name: &str| fs::read(seeds().join(name)).unwrap();
    for name in ["graph_json/greeting", "graph_json/cycle", "graph_json/bundle", "graph_json/coerced"] {
        assert!(rest::graph_of_body(&seed(name)).is_some(), "{name}");
    }
    let text = String::from_utf8(seed("ws_frame/run")).unwrap();
    assert!(ws::frame::parse(&text).is_ok());
}
