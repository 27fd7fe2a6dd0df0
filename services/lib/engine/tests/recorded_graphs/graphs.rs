//! graphs.jsonl: status, outputs, node executions as a multiset, counts.

use std::collections::BTreeMap;

use blocks::Registry;
use engine::run::Run;
use serde_json::{Map, Value, json};

use crate::matching::difference;
use crate::stage::{Order, Refusal, Stored, is_playable, play, post, recorded, submit};

#[tokio::test]
async fn every_recorded_graph_whose_blocks_exist_runs_as_recorded() {
    let registry = Registry::standard();
    let (mut played, mut wrong) = (0, Vec::new());
    for case in recorded("graphs.jsonl") {
        if !is_playable(&case["graph"], &registry) || needs_services(&case) {
            continue;
        }
        played += 1;
        if let Err(difference) = replay(&case, &registry, || Order::InTurn).await {
            wrong.push(format!("{} {}: {difference}", case["id"], case["tags"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {played} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(played >= 50, "only {played} graphs could be played");
}

/// What depends on the order in which nodes happen to end is marked in the recording; everything else is the same in any order.
#[tokio::test]
async fn the_order_in_which_nodes_end_does_not_matter() {
    const ORDERS: u64 = 12;
    let registry = Registry::standard();
    let mut wrong = Vec::new();
    for case in recorded("graphs.jsonl") {
        if !is_playable(&case["graph"], &registry) || needs_services(&case) {
            continue;
        }
        for seed in 0..ORDERS {
            if let Err(difference) = replay(&case, &registry, || Order::Shuffled(seed)).await {
                wrong.push(format!("{} {} order {seed}: {difference}", case["id"], case["tags"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Nested agents, files and kept values need services around the machine: the contract tests replay these on all of them.
fn needs_services(case: &Value) -> bool {
    let has = |key: &str| case[key].as_array().into_iter().flatten();
    has("sub_graphs").next().is_some() || has("tags").any(|tag| tag == "context_block")
}

async fn replay(case: &Value, registry: &Registry, order: impl Fn() -> Order) -> Result<(), String> {
    let stored = post(&case["graph"], registry)?;
    for (position, recorded) in case["runs"].as_array().into_iter().flatten().enumerate() {
        let wanted = &recorded["expected"];
        let inputs = recorded["inputs"].as_object().cloned().unwrap_or_default();
        let outcome = match submit(&stored, &inputs, registry) {
            Err(refusal) => refused(&refusal, wanted, &stored),
            Ok(_) if wanted.get("execute_status").is_some() => Some(format!("ran, wanted {wanted}")),
            Ok(_) if wanted.get("never_ends").is_some() => None,
            Ok((plan, claimed)) => {
                let run = play(plan, claimed, registry, order()).await;
                ran(&run, wanted, &stored, case.get("timing_sensitive").is_some())
            }
        };
        if let Some(difference) = outcome {
            return Err(format!("run {position} {}: {difference}", recorded["inputs"]));
        }
    }
    Ok(())
}

fn refused(refusal: &Refusal, wanted: &Value, stored: &Stored) -> Option<String> {
    if wanted.get("execute_status").is_none() {
        return Some(format!("refused: {refusal:?}"));
    }
    match refusal {
        Refusal::Fields(errors) => {
            let named: Map<String, Value> = errors.iter().map(|(node, fields)| (stored.refs[node].clone(), json!(fields))).collect();
            difference(&wanted["detail"]["node_errors"], &Value::Object(named))
        }
        Refusal::Graph(error) => difference(&wanted["detail"], &Value::String(error.to_string())),
    }
}

fn ran(run: &Run, wanted: &Value, stored: &Stored, timing_sensitive: bool) -> Option<String> {
    let status = run.status().to_string();
    if wanted["status"] != status {
        return Some(format!("status {status}, wanted {}", wanted["status"]));
    }
    if timing_sensitive {
        return None;
    }
    let any_order: Vec<&str> = wanted["outputs_any_order"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let outputs: Map<String, Value> = run.outputs().into_iter().map(|(name, values)| (name, json!(values))).collect();
    let (mut wanted_outputs, mut outputs) = (wanted["outputs"].clone(), Value::Object(outputs));
    for name in any_order {
        for side in [&mut wanted_outputs, &mut outputs] {
            if let Some(values) = side[name].as_array_mut() {
                values.sort_by_key(Value::to_string);
            }
        }
    }
    difference(&wanted_outputs, &outputs)
        .map(|text| format!("outputs {text}"))
        .or_else(|| nodes_differ(run, wanted, stored))
        .or_else(|| counts_differ(run, wanted))
}

fn nodes_differ(run: &Run, wanted: &Value, stored: &Stored) -> Option<String> {
    let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for execution in run.node_executions() {
        let record = json!({"status": execution.status, "input_data": execution.input_data, "output_data": execution.output_data});
        seen.entry(stored.refs[&execution.node_id].clone()).or_default().push(record);
    }
    let wanted = wanted["nodes"].as_object()?;
    if !seen.keys().eq(wanted.keys().collect::<std::collections::BTreeSet<_>>()) {
        return Some(format!("nodes {:?}, wanted {:?}", seen.keys(), wanted.keys()));
    }
    wanted
        .iter()
        .find_map(|(node, wanted)| multiset(wanted.as_array()?, seen.get(node)?.clone()).map(|text| format!("node {node}: {text}")))
}

fn multiset(wanted: &[Value], mut seen: Vec<Value>) -> Option<String> {
    if wanted.len() != seen.len() {
        return Some(format!("{} executions, wanted {}: {seen:?}", seen.len(), wanted.len()));
    }
    for one in wanted {
        let one = soften(one);
        let mut reason = String::new();
        let hit = seen.iter().position(|seen| match difference(&one, seen) {
            Some(text) => {
                reason = text;
                false
            }
            None => true,
        });
        match hit {
            Some(position) => seen.remove(position),
            None => return Some(format!("{reason} in {one}")),
        };
    }
    None
}

/// Texts on the error pin are free.
fn soften(execution: &Value) -> Value {
    let mut execution = execution.clone();
    if let Some(errors) = execution.pointer_mut("/output_data/error").and_then(Value::as_array_mut) {
        errors.iter_mut().for_each(|error| *error = json!({"$match": "any"}));
    }
    execution
}

fn counts_differ(run: &Run, wanted: &Value) -> Option<String> {
    let stats = run.stats();
    let counts = [("node_exec_count", stats.node_count), ("node_error_count", stats.node_error_count)];
    let wrong = counts
        .into_iter()
        .find(|(name, count)| wanted[*name].as_i64().is_some_and(|wanted| wanted != *count));
    wrong.map(|(name, count)| format!("{name} {count}, wanted {}", wanted[name]))
}
