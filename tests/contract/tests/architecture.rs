//! The arrows between the crates point downwards only, and each heavy dependency lives in one place (docs/architecture.md).

#![allow(clippy::expect_used, clippy::panic)] // a test that cannot go on ends by panicking

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crates by height. A crate depends only on crates of lower rows. Its tests may start whatever they need.
const ROWS: &[&[&str]] = &[
    &["model", "runtime", "crds", "schedule"],
    &["engine", "store", "rpc", "bus", "auth", "outside", "devservices"],
    &["blocks", "submit", "vault"],
    &["rest", "ws", "db", "scheduler", "executor", "notification", "operator"],
    &["app", "kubectl-autogpt"],
    &["contract-tests", "controllers-tests", "e2e-tests", "fuzz-targets", "model-tests"],
    &["workload"],
    &["faults", "bench", "fuzz"],
];

/// Who may know what. The tests of the others may, to look from outside.
const CONFINED: &[(&str, &[&str])] = &[
    // devservices creates databases and looks whether servers answer.
    // workload writes the effects of its test blocks over a connection of its own, faults and bench look from outside.
    ("sqlx", &["store", "devservices", "workload", "faults", "bench"]),
    // bench and faults hear the events as a client does.
    ("redis", &["bus", "devservices", "bench", "faults"]),
    // faults repeats messages.
    ("lapin", &["bus", "devservices", "faults"]),
    // bench and faults look at schedules from outside.
    (
        "kube",
        &[
            "crds",
            "operator",
            "kubectl-autogpt",
            "scheduler",
            "controllers-tests",
            "e2e-tests",
            "bench",
            "faults",
        ],
    ),
    ("ring", &["vault"]),
    // blocks sends what a user writes, over the user's own server.
    ("lettre", &["notification", "blocks"]),
];

/// What a crate must not reach, on any path: the promise of its module comment.
const UNREACHABLE: &[(&str, &[&str])] = &[
    ("model", &["tokio", "axum", "reqwest", "sqlx"]),
    ("engine", &["tokio", "axum", "reqwest", "sqlx", "rand"]),
    ("schedule", &["tokio", "axum", "reqwest", "sqlx", "rand", "kube", "k8s-openapi"]),
    ("blocks", &["sqlx", "lapin", "redis", "kube"]),
    ("operator", &["store", "bus", "submit", "engine", "blocks", "sqlx", "lapin", "redis"]),
    ("executor", &["store", "submit", "sqlx", "kube"]),
    ("ws", &["store", "submit", "sqlx", "kube"]),
    ("notification", &["store", "submit", "sqlx", "kube"]),
];

/// A dependency of a crate; those of kind `dev` serve its tests only.
struct Arrow {
    to: String,
    dev: bool,
}

fn workspace() -> BTreeMap<String, Vec<Arrow>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(contract_tests::repository().join("Cargo.toml"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let arrows = |package: &Value| {
        let dependencies = package["dependencies"].as_array().cloned().unwrap_or_default();
        dependencies
            .iter()
            .map(|dependency| Arrow {
                to: text(&dependency["name"]),
                dev: dependency["kind"] == "dev",
            })
            .collect()
    };
    metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|package| (text(&package["name"]), arrows(package)))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn arrows_point_downwards_only() {
    let crates = workspace();
    let heights: BTreeMap<&str, usize> = ROWS
        .iter()
        .enumerate()
        .flat_map(|(height, row)| row.iter().map(move |name| (*name, height)))
        .collect();
    let known: BTreeSet<&str> = heights.keys().copied().collect();
    let present: BTreeSet<&str> = crates.keys().map(String::as_str).collect();
    assert_eq!(present, known, "a crate was added or removed: give it a row");
    let mut upward = Vec::new();
    for (name, arrows) in &crates {
        for arrow in arrows {
            if let Some(height) = heights.get(arrow.to.as_str())
                && *height >= heights[name.as_str()]
                && !arrow.dev
            {
                upward.push(format!("{name} -> {}", arrow.to));
            }
        }
    }
    assert!(upward.is_empty(), "these dependencies do not point downwards: {upward:?}");
}

#[test]
fn each_heavy_dependency_lives_in_one_place() {
    let crates = workspace();
    let mut strays = Vec::new();
    for (dependency, homes) in CONFINED {
        for (name, arrows) in &crates {
            if !homes.contains(&name.as_str()) && arrows.iter().any(|arrow| !arrow.dev && arrow.to == *dependency) {
                strays.push(format!("{name} -> {dependency}"));
            }
        }
    }
    assert!(strays.is_empty(), "these belong elsewhere: {strays:?}");
}

#[test]
fn crates_keep_their_promises_of_what_they_do_not_reach() {
    let crates = workspace();
    let mut broken = Vec::new();
    for (name, banned) in UNREACHABLE {
        let reached = reach(&crates, name);
        broken.extend(
            banned
                .iter()
                .filter(|dependency| reached.contains(**dependency))
                .map(|dependency| format!("{name} ..> {dependency}")),
        );
    }
    assert!(broken.is_empty(), "these are reached although they must not be: {broken:?}");
}

/// Everything that is named on a way down from a crate, without what only tests use.
fn reach(crates: &BTreeMap<String, Vec<Arrow>>, from: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for arrow in crates.get(&name).into_iter().flatten().filter(|arrow| !arrow.dev) {
            if reached.insert(arrow.to.clone()) {
                open.push(arrow.to.clone());
            }
        }
    }
    reached
}
