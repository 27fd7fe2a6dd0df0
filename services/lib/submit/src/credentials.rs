//! Whether the credentials that the nodes of a graph name are the user's (rest.md §2.3, §2.4).

use std::collections::HashMap;

use engine::error::NodeErrors;
use engine::schema::is_credentials;
use model::{CredentialsMetaInput, GraphModel, Map, NodeId, NodeInputMasks, UserId};
use serde_json::Value;
use uuid::Uuid;

use crate::{SubmitError, Submitter};

/// What a credentials pin of a node holds.
struct Named<'a> {
    node: NodeId,
    pin: &'static str,
    value: &'a Value,
}

impl Submitter {
    /// For saving: the first reference to something that the owner does not have refuses the graph.
    pub(crate) async fn check_credentials(&self, graph: &GraphModel) -> Result<(), SubmitError> {
        let mut ids: Vec<Uuid> = Vec::new();
        for named in self.credentials_of(graph, &NodeInputMasks::new()) {
            match named.value.get("id").and_then(Value::as_str).filter(|id| !id.is_empty()) {
                Some(id) => ids.push(id.parse().map_err(|_| unknown_credentials(id, &named.node))?),
                None => continue,
            }
        }
        if ids.is_empty() {
            return Ok(());
        }
        match self.store.missing_credentials(graph.user_id, &ids).await?.first() {
            Some(id) => Err(SubmitError::Invalid(format!(
                "Unknown credentials #{id}: a node names credentials that you do not have"
            ))),
            None => Ok(()),
        }
    }

    /// For running: what is wrong with the references of the nodes, each of which has the form of one. Empty when the user has them all.
    pub(crate) async fn credential_errors(&self, user_id: UserId, graph: &GraphModel, masks: &NodeInputMasks) -> Result<NodeErrors, SubmitError> {
        let references = self.credentials_of(graph, masks).into_iter().filter_map(|named| {
            let reference = serde_json::from_value::<CredentialsMetaInput>(named.value.clone()).ok()?;
            Some((named.node, named.pin, reference))
        });
        let references: Vec<(NodeId, &str, CredentialsMetaInput)> = references.collect();
        if references.is_empty() {
            return Ok(NodeErrors::new());
        }
        let ids: Vec<Uuid> = references.iter().filter_map(|(.., reference)| reference.id.parse().ok()).collect();
        let known = self.store.known_credentials(user_id, &ids).await?;
        let known: HashMap<String, (String, String)> = known.into_iter().map(|(id, provider, kind)| (id.to_string(), (provider, kind))).collect();
        let mut errors = NodeErrors::new();
        for (node, pin, reference) in references {
            let problem = match known.get(&reference.id.to_lowercase()) {
                None => format!("Unknown credentials #{}", reference.id),
                Some((provider, kind)) if *provider != reference.provider || *kind != reference.kind => {
                    "Invalid credentials: type/provider mismatch".to_owned()
                }
                Some(_) => continue,
            };
            errors.entry(node).or_default().insert(pin.to_owned(), problem);
        }
        Ok(errors)
    }

    /// What the credentials pins of the graph's own nodes hold; masks lie over the nodes' own values.
    fn credentials_of<'a>(&self, graph: &'a GraphModel, masks: &'a NodeInputMasks) -> Vec<Named<'a>> {
        let mut named = Vec::new();
        for node in &graph.nodes {
            let Some(block) = self.catalog.block(node.block_id) else { continue };
            for pin in block.inputs.iter().filter(|pin| is_credentials(pin.name)) {
                let masked = |mask: &'a Map| mask.get(pin.name);
                let value = masks.get(&node.id).and_then(masked).or_else(|| node.input_default.get(pin.name));
                named.extend(value.filter(|value| !value.is_null()).map(|value| Named {
                    node: node.id,
                    pin: pin.name,
                    value,
                }));
            }
        }
        named
    }
}

fn unknown_credentials(id: &str, node: &NodeId) -> SubmitError {
    SubmitError::Invalid(format!("Unknown credentials #{id} in node {node}: choose some that you have"))
}
