//! Writes the chart's CustomResourceDefinitions from the Rust types, one file a kind.
//!
//! `crdgen [DIRECTORY]` writes, `crdgen --check` compares and fails when a file is not what the types say.

use std::path::Path;
use std::process::ExitCode;

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/autogpt/crds");

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let argument = std::env::args().nth(1);
    let check = argument.as_deref() == Some("--check");
    let directory = argument.filter(|_| !check).unwrap_or_else(|| CHART.to_owned());
    let mut stale = false;
    for (file, definition) in crds::manifest::definitions() {
        let path = Path::new(&directory).join(file);
        let text = crds::manifest::yaml(&definition)?;
        if !check {
            std::fs::create_dir_all(&directory)?;
            std::fs::write(path, text)?;
        } else if std::fs::read_to_string(&path).ok() != Some(text) {
            eprintln!("{} is not what the types say: run `cargo run -p crds --bin crdgen`", path.display());
            stale = true;
        }
    }
    Ok(if stale { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
