use std::sync::{Arc, LazyLock};

use blocks::Registry;
use engine::graph::{Identity, prepare};
use engine::plan::Plan;
use engine::validate::{for_run, for_save};
use model::{NodeInputMasks, Timestamp};
use uuid::Uuid;

static REGISTRY: LazyLock<Arc<Registry>> = LazyLock::new(Registry::standard);

/// The body of a request to create a graph, all the way to a compiled plan. A graph that is shown reads back as the same graph.
pub fn graph_json(bytes: &[u8]) {
    let Some(graph) = rest::graph_of_body(bytes) else { return };
    let shown = serde_json::json!({ "graph": graph }).to_string();
    assert!(
        rest::graph_of_body(shown.as_bytes()).as_ref() == Some(&graph),
        "reads back as another graph: {shown}"
    );
    let catalog = REGISTRY.as_ref();
    let mut minted = 0;
    let mut mint = || {
        minted += 1;
        Uuid::from_u128(minted)
    };
    let Ok(prepared) = prepare(graph, Identity::New, Uuid::nil(), Timestamp::now(), catalog, &mut mint) else {
        return;
    };
    let saved = for_save(&prepared, catalog);
    let run = for_run(&prepared, catalog, &NodeInputMasks::default());
    if saved.is_ok() && run.is_ok_and(|errors| errors.is_empty()) {
        let plan = Plan::compile(&prepared.nodes, &prepared.links, catalog);
        assert!(plan.is_ok(), "may be run, but cannot be compiled: {shown}");
    }
}
