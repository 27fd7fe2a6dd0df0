//! Every recorded block case whose block exists: outputs in order, kind of failure, reply of direct execution.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use blocks::{Block, BlockContext, BlockError, Emitted, PinValue, Registry, collect, execute};
use regex::Regex;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::support::Shelf;

/// Blocks without which the test fails: each must have run a case.
const REQUIRED: [&str; 27] = [
    "AgentInputBlock",
    "AgentShortTextInputBlock",
    "AgentNumberInputBlock",
    "AgentToggleInputBlock",
    "AgentOutputBlock",
    "StoreValueBlock",
    "FillTextTemplateBlock",
    "ConditionBlock",
    "CalculatorBlock",
    "AddToListBlock",
    "CreateDictionaryBlock",
    "FindInDictionaryBlock",
    "StepThroughItemsBlock",
    "PrintToConsoleBlock",
    "NoteBlock",
    "HumanInTheLoopBlock",
    "AgentFileInputBlock",
    "FileStoreBlock",
    "FileReadBlock",
    "ReadSpreadsheetBlock",
    "PersistInformationBlock",
    "RetrieveInformationBlock",
    "SendWebRequestBlock",
    "SendAuthenticatedWebRequestBlock",
    "ReadRSSFeedBlock",
    "SendEmailBlock",
    "GenericWebhookTriggerBlock",
];

#[tokio::test]
async fn recorded_cases_are_reproduced() {
    let registry = Registry::standard();
    let mut ran: BTreeMap<String, usize> = BTreeMap::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases() {
        let class = case["class"].as_str().unwrap().to_owned();
        let id: Uuid = case["block_id"].as_str().unwrap().parse().unwrap();
        let Some(block) = registry.get(id) else {
            *skipped.entry(class).or_default() += 1;
            continue;
        };
        assert_eq!(block.descriptor().name, class);
        *ran.entry(class.clone()).or_default() += 1;
        if let Err(difference) = check(&block, &case).await {
            wrong.push(format!("{} {class}: {difference}", case["id"]));
        }
    }
    let total: usize = ran.values().sum();
    println!(
        "{} passed, {} failed, {} blocks; without a block: {skipped:?}",
        total - wrong.len(),
        wrong.len(),
        ran.len()
    );
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    let without_case: Vec<&str> = REQUIRED.into_iter().filter(|class| !ran.contains_key(*class)).collect();
    assert!(without_case.is_empty(), "no case ran for {without_case:?}");
}

fn cases() -> impl Iterator<Item = Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/recorded/blocks.jsonl");
    let lines = BufReader::new(File::open(path).unwrap()).lines();
    lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

async fn check(block: &Arc<dyn Block>, case: &Value) -> Result<(), String> {
    let input = case["input"].as_object().unwrap().clone();
    let (outputs, ended) = run(block, input.clone()).await;
    let kind = ended.as_ref().err().map(|error| error.kind.name());
    let expected_kind = case.get("error").map(|error| error["kind"].as_str().unwrap());
    if kind != expected_kind {
        return Err(format!("ended {ended:?}, wanted {expected_kind:?}"));
    }
    let expected = case["outputs"].as_array().unwrap();
    if outputs.len() != expected.len() {
        return Err(format!("gave {outputs:?}, wanted {}", case["outputs"]));
    }
    for (output, expected) in outputs.iter().zip(expected) {
        if output.pin != expected[0].as_str().unwrap() || !same_output(&expected[1], &output.value) {
            return Err(format!("gave {output:?}, wanted {expected}"));
        }
    }
    check_reply(block, input, &case["http"]).await
}

/// What `POST /api/blocks/{id}/execute` answers: 200 with the collected outputs, 400 for foreseen failures, 500 for others.
async fn check_reply(block: &Arc<dyn Block>, input: Map<String, Value>, reply: &Value) -> Result<(), String> {
    let answer = collect(block.as_ref(), input, &direct()).await;
    // The recorded system had no run context here; a system that has one may answer properly.
    let body = if reply.get("context_missing").is_some() {
        reply.get("alternative_body")
    } else {
        reply.get("body")
    };
    let status = reply["status"].as_u64().unwrap();
    match (answer, body) {
        (Ok(collected), Some(body)) => {
            let collected = serde_json::to_value(collected).unwrap();
            if same(body, &collected) {
                Ok(())
            } else {
                Err(format!("replied {collected}, wanted {body}"))
            }
        }
        (Err(error), None) if status == if error.kind.is_handled() { 400 } else { 500 } => Ok(()),
        (answer, _) => Err(format!("replied {answer:?}, wanted {reply}")),
    }
}

fn direct() -> BlockContext {
    // What the recording's stand-in of the store answered.
    let kept = json!({"theme": "dark", "language": "en"});
    let key = format!("agent#{}#user_preference", Uuid::nil());
    // One case names a host that may have to be looked for on the internet.
    support::context(&[("BLOCK_WEB_TIMEOUT_SECONDS", "2".to_owned())], Shelf::holding(key, kept))
}

async fn run(block: &Arc<dyn Block>, input: Map<String, Value>) -> (Vec<Emitted>, Result<(), BlockError>) {
    let (sink, mut outputs) = mpsc::channel(1);
    let block = Arc::clone(block);
    let running = tokio::spawn(async move { execute(block.as_ref(), input, &direct(), &sink).await.ended });
    let mut collected = Vec::new();
    while let Some(output) = outputs.recv().await {
        collected.push(output);
    }
    (collected, running.await.unwrap().map(drop))
}

fn same_output(expected: &Value, got: &PinValue) -> bool {
    match got {
        PinValue::Json(value) => same(expected, value),
        PinValue::NonFinite(number) => {
            let name = if number.is_nan() {
                "nan"
            } else if *number > 0.0 {
                "inf"
            } else {
                "-inf"
            };
            expected["$float"] == name
        }
    }
}

/// Equality as the recorded cases mean it: numbers by value, keys in any order, matchers for what may vary.
fn same(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Object(matcher), _) if matcher.contains_key("$match") => matches(matcher, got),
        (Value::Object(float), Value::Null) if float.contains_key("$float") => true,
        (Value::Number(expected), Value::Number(got)) => {
            let (expected, got) = (expected.as_f64().unwrap(), got.as_f64().unwrap());
            expected == got || (expected - got).abs() <= 1e-9 * expected.abs().max(got.abs())
        }
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(expected, got)| same(expected, got))
        }
        (Value::Object(expected), Value::Object(got)) => {
            let keys: HashSet<&String> = expected.keys().chain(got.keys()).collect();
            keys.into_iter()
                .all(|key| expected.get(key).zip(got.get(key)).is_some_and(|(expected, got)| same(expected, got)))
        }
        _ => expected == got,
    }
}

fn matches(matcher: &Map<String, Value>, got: &Value) -> bool {
    match matcher["$match"].as_str().unwrap() {
        "any" => true,
        // The recording anchors at the beginning only.
        "regex" => got.as_str().is_some_and(|text| {
            Regex::new(matcher["pattern"].as_str().unwrap())
                .unwrap()
                .find(text)
                .is_some_and(|found| found.start() == 0)
        }),
        "prefix" => got.as_str().is_some_and(|text| text.starts_with(matcher["prefix"].as_str().unwrap())),
        "list" => got.as_array().is_some_and(|items| Some(items.len() as u64) == matcher["length"].as_u64()),
        other => panic!("unknown matcher {other}"),
    }
}
