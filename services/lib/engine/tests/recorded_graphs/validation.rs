//! validation.jsonl as far as it can be judged without HTTP: what is refused when saving and when running, with the node map.

use blocks::Registry;
use serde_json::{Map, Value, json};

use crate::stage::{Refusal, Stored, is_playable, post, recorded, submit};

/// Cases that concern credentials or the shape of the request: others judge them.
fn is_elsewhere(tag: &str) -> bool {
    tag.starts_with("credentials") || tag == "request_shape"
}

#[test]
fn every_recorded_refusal_is_reproduced() {
    let registry = Registry::standard();
    let (mut judged, mut wrong) = (0, Vec::new());
    for case in recorded("validation.jsonl") {
        let tag = case["tag"].as_str().unwrap_or_default();
        let unknown_is_the_point = tag.contains("unknown_block");
        if case.get("graph").is_none() || is_elsewhere(tag) || !(unknown_is_the_point || is_playable(&case["graph"], &registry)) {
            continue;
        }
        judged += 1;
        if let Err(difference) = judge(&case, &registry) {
            wrong.push(format!("{} {tag}: {difference}", case["id"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(judged >= 40, "only {judged} cases could be judged");
}

fn judge(case: &Value, registry: &Registry) -> Result<(), String> {
    let is_saved = case["create"]["status"] == 200;
    let stored = match post(&case["graph"], registry) {
        Ok(stored) if is_saved => stored,
        Err(_) if !is_saved => return Ok(()),
        Ok(_) => return Err("saved, wanted a refusal".to_owned()),
        Err(error) => return Err(format!("not saved: {error}")),
    };
    for run in case["runs"].as_array().into_iter().flatten() {
        let inputs = run["inputs"].as_object().cloned().unwrap_or_default();
        let outcome = submit(&stored, &inputs, registry);
        match (&outcome, run["status"] == 200) {
            (Ok(_), true) => {}
            (Err(refusal), false) => same_map(refusal, run, &stored)?,
            (Ok(_), false) => return Err(format!("runs with {}", run["inputs"])),
            (Err(refusal), true) => return Err(format!("does not run: {refusal:?}")),
        }
    }
    Ok(())
}

fn same_map(refusal: &Refusal, run: &Value, stored: &Stored) -> Result<(), String> {
    let wanted = run["detail"].get("node_errors");
    let seen = match refusal {
        Refusal::Fields(errors) => {
            let named: Map<String, Value> = errors.iter().map(|(node, fields)| (stored.refs[node].clone(), json!(fields))).collect();
            Some(Value::Object(named))
        }
        Refusal::Graph(_) => None,
    };
    match (wanted, &seen) {
        (Some(wanted), Some(seen)) if wanted == seen => Ok(()),
        (None, None) => Ok(()),
        _ => Err(format!("node map {seen:?}, wanted {}", run["detail"])),
    }
}
