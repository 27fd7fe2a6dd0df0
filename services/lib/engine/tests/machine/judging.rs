//! Graphs that are refused, and what an accepted one looks like (rest.md §2.2–2.4).

use engine::error::{GraphError, summary};
use engine::graph::{Identity, prepare};
use engine::validate::{for_run, for_save, structure};
use model::{GraphModel, NodeInputMasks};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::world::{counter, object};
use crate::support::{World, at, blocks};

fn saved(world: &World) -> Result<GraphModel, GraphError> {
    let graph = world.prepare()?;
    for_save(&graph, &*world.blocks)?;
    Ok(graph)
}

fn refusal(world: World) -> String {
    saved(&world).unwrap_err().to_string()
}

#[test]
fn a_dangling_link_is_refused_by_name() {
    let text = refusal(World::new().node("a", "pass", json!({})).link("a.out -> b.x"));
    assert_eq!(text, r#"Invalid link a.out -> b.x: node "b" is not in this graph"#);
}

#[test]
fn an_unknown_block_is_refused() {
    let mut world = World::new().node("a", "pass", json!({}));
    for block in ["00000000-0000-0000-0000-00000000ffff", "nope", ""] {
        world.graph.nodes[0].block_id = block.to_owned();
        assert!(matches!(world.prepare(), Err(GraphError::UnknownBlock { .. })), "{block}");
    }
}

#[test]
fn links_join_pins_that_exist() {
    let linked = |link: &str| {
        World::new()
            .node("a", "store", json!({"input": 1}))
            .node("b", "join", json!({}))
            .link(link)
    };
    for right in [
        "a.output -> b.items",
        "a.output_#_k -> b.values_#_k",
        "a.tools_^_x_~_y -> b.items",
        "a.output -> b.tools_^_x",
    ] {
        assert!(saved(&linked(right)).is_ok(), "{right}");
    }
    for wrong in [
        "a.nope -> b.items",
        "a.output -> b.Items",
        "a.output -> b._#_k",
        "a. -> b.items",
        "a.tools_x -> b.items",
        "a.input -> b.items",
    ] {
        assert!(matches!(saved(&linked(wrong)), Err(GraphError::UnknownPin { .. })), "{wrong}");
    }
}

#[test]
fn an_agents_pins_are_those_of_its_own_schemas() {
    let schemas = json!({"graph_id": "x", "inputs": {}, "input_schema": {"properties": {"a": {}}}, "output_schema": {"properties": {"r": {}}}});
    let linked = |source: &str, sink: &str| {
        World::new()
            .node("s", "store", json!({"input": 1}))
            .node("agent", "agent", schemas.clone())
            .node("p", "pass", json!({}))
            .link(&format!("s.output -> agent.{sink}"))
            .link(&format!("agent.{source} -> p.x"))
    };
    assert!(saved(&linked("r", "a")).is_ok());
    assert!(saved(&linked("q", "a")).is_err());
    assert!(saved(&linked("r", "graph_id")).is_err());
}

#[test]
fn saving_needs_complete_inputs_outputs_and_agents_only() {
    assert!(saved(&World::new().node("p", "pass", json!({}))).is_ok());
    for block in ["input", "output", "agent"] {
        let text = refusal(World::new().node("n", block, json!({})));
        assert!(text.starts_with("This field is required"), "{text}");
    }
    assert!(saved(&World::new().node("n", "input", json!({"name": null}))).is_ok());
    assert!(saved(&World::new().node("n", "output", json!({"name": ""}))).is_ok());
}

#[test]
fn reserved_names_are_refused_for_inputs_only() {
    for name in ["credentials", "my_credentials"] {
        assert!(
            refusal(World::new().node("n", "input", json!({"name": name}))).contains("reserved"),
            "{name}"
        );
        assert!(saved(&World::new().node("n", "output", json!({"name": name}))).is_ok());
    }
    for name in ["Credentials", "credentials_x", "open credentials"] {
        assert!(saved(&World::new().node("n", "input", json!({"name": name}))).is_ok(), "{name}");
    }
}

#[test]
fn running_needs_every_required_field_from_a_default_a_link_or_a_mask() {
    let mut world = World::new()
        .node("empty", "add", json!({}))
        .node("half", "add", json!({"a": 1}))
        .node("p", "pass", json!({"x": 1}))
        .node("linked", "join", json!({}))
        .link("p.out -> linked.values_#_k");
    let ids = world.ids();
    let graph = world.stored().clone();
    let errors = for_run(&graph, &*world.blocks, &NodeInputMasks::new()).unwrap();
    assert_eq!(summary(&errors), "Graph validation failed: 3 issues on 2 nodes");
    assert_eq!(
        json!(errors[&ids["empty"]]),
        json!({"a": "This field is required", "b": "This field is required"})
    );
    assert_eq!(json!(errors[&ids["half"]]), json!({"b": "This field is required"}));
    let masks = NodeInputMasks::from_iter([(ids["empty"], object(json!({"a": 1, "b": 1}))), (ids["half"], object(json!({"b": null})))]);
    assert!(for_run(&graph, &*world.blocks, &masks).unwrap().is_empty());
}

#[test]
fn sub_graphs_are_judged_too() {
    let mut world = World::new().node("p", "pass", json!({"x": 1}));
    let mut inner = World::new().node("q", "add", json!({"a": 1})).graph;
    inner.id = "inner".to_owned();
    world.graph.sub_graphs.push(inner);
    let graph = saved(&world).unwrap();
    let errors = for_run(&graph, &*world.blocks, &NodeInputMasks::new()).unwrap();
    assert_eq!(errors.keys().copied().collect::<Vec<_>>(), [graph.sub_graphs[0].nodes[0].id]);
    world.graph.sub_graphs[0].nodes[0].block_id = "x".to_owned();
    assert!(world.prepare().is_err());
}

#[test]
fn every_node_link_and_graph_gets_a_fresh_id() {
    let agent = json!({"graph_id": "inner", "input_schema": {"properties": {"a": {}}}, "output_schema": {"properties": {}}});
    let mut world = World::new()
        .node("s", "store", json!({"input": 1}))
        .node("agent", "agent", agent)
        .link("s.output -> agent.a")
        .link("s.output -> agent.a");
    world.graph.nodes.push(world.graph.nodes[0].clone());
    world.graph.instructions = Some("Read me".to_owned());
    let mut inner = World::new().node("q", "pass", json!({"x": 1})).graph;
    inner.id = "inner".to_owned();
    world.graph.sub_graphs.push(inner);
    let graph = saved(&world).unwrap();
    let mut ids: Vec<Uuid> = graph.nodes.iter().chain(&graph.sub_graphs[0].nodes).map(|node| node.id).collect();
    ids.extend([graph.id, graph.sub_graphs[0].id]);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 6);
    assert_eq!(graph.links.len(), 1);
    assert!(graph.links[0].is_static);
    assert_eq!(graph.nodes[1].input_links, graph.links);
    let agent = &graph.nodes[1].input_default;
    assert_eq!(agent["graph_id"], graph.sub_graphs[0].id.to_string());
    assert_eq!(agent["inputs"], json!({}));
    assert_eq!(agent["user_id"], Uuid::nil().to_string());
    assert_eq!(graph.instructions.as_deref(), Some("Read me"));
    assert!(structure(&graph.nodes, &graph.links, &*world.blocks).is_ok());
}

#[test]
fn a_new_version_keeps_the_graphs_id() {
    let world = World::new().node("p", "pass", json!({"x": 1}));
    let id = Uuid::from_u128(42);
    let identity = Identity::Version { id, version: 3 };
    let graph = prepare(world.graph.clone(), identity, Uuid::nil(), at(0), &*world.blocks, &mut counter(0)).unwrap();
    assert_eq!((graph.id, graph.version, graph.nodes[0].graph_version), (id, 3, 3));
}

#[test]
fn the_schemas_name_inputs_and_outputs() {
    let world = World::new()
        .node(
            "a",
            "input",
            json!({"name": "a", "title": "First", "description": "the first", "secret": true, "advanced": true}),
        )
        .node(
            "b",
            "input",
            json!({"name": "b", "value": 5, "advanced": true, "placeholder_values": [5, 6]}),
        )
        .node("o", "output", json!({"name": "o"}))
        .node("p", "pass", json!({"x": 1}));
    let graph = saved(&world).unwrap();
    let wanted = json!({
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"secret": true, "advanced": false, "title": "First", "description": "the first"},
            "b": {"secret": false, "advanced": true, "title": "b", "enum": [5, 6], "default": 5},
        },
    });
    assert_eq!(graph.input_schema, wanted);
    assert_eq!(graph.output_schema["required"], json!(["o"]));
    assert_eq!(graph.credentials_input_schema["properties"], json!({}));
    assert!(!graph.has_external_trigger && !graph.has_human_in_the_loop);
    assert_eq!(graph.trigger_setup_info, None);
    assert_eq!(blocks::NAMES.len(), 13);
}

#[test]
fn values_too_deep_to_store_are_refused_when_saving() {
    let deep = (0..120).fold(Value::Null, |inner, _| json!([inner]));
    assert!(matches!(
        World::new().node("p", "pass", json!({"x": deep})).prepare(),
        Err(GraphError::TooDeep { .. })
    ));
}
