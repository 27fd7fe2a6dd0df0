//! The slice of the search that runs with every test; `make faults` runs it at full size.

#![allow(clippy::print_stdout)] // the size of what was searched

use model_tests::properties;

fn depth(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn the_engine_does_what_the_reference_says() {
    let report = properties::run(depth("MODEL_CASES", 5_000), depth("MODEL_SEED", 1));
    println!("{report}");
    assert!(report.failure.is_none(), "{report}");
    let searched = report.crashes > report.cases / 10 && report.confluent > report.cases / 10;
    assert!(searched, "the search does not search: {report}");
}
