//! Writes the chart's CustomResourceDefinitions from the Rust types, one file a kind.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args()
        .nth(1)
        .unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/autogpt/crds").to_owned());
    std::fs::create_dir_all(&directory)?;
    for (file, definition) in crds::manifest::definitions() {
        std::fs::write(Path::new(&directory).join(file), crds::manifest::yaml(&definition)?)?;
    }
    Ok(())
}
