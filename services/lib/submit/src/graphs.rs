//! Accepting graphs: new ones, new versions, and the inline graphs of custom resources (rest.md §2.3, design §4).

use std::collections::HashSet;

use engine::block::BlockKind;
use engine::graph::{Identity, complete, prepare};
use engine::validate::for_save;
use model::{Graph, GraphId, GraphModel, Node, NodeId, NodeModel, Timestamp, UserId};
use uuid::Uuid;

use crate::{ListedGraph, SubmitError, Submitter, graph_hash};

/// The contract's cap on a user's list of graphs.
const LISTED_GRAPHS: i64 = 250;
/// Agents that a graph brings with it, at most.
const BUNDLED_AGENTS: usize = 100;

/// A graph with the agents that it runs.
pub(crate) struct Bundle {
    pub graph: GraphModel,
    /// Whether all of them could be read. Otherwise another time may find more: what follows from the bundle is not to be remembered.
    pub is_whole: bool,
}
/// Saves of the same graph that happen at once take the next number each.
const VERSION_RACES: u32 = 5;

impl Submitter {
    /// A new graph with fresh ids, in the user's library; as a read of it shows it.
    pub async fn create_graph(&self, user_id: UserId, graph: Graph) -> Result<GraphModel, SubmitError> {
        let mut graph = self.prepare_graph(graph, Identity::New, user_id)?;
        self.check_credentials(&graph).await?;
        self.give_webhooks(&mut graph).await?;
        self.store.insert_graph(&graph).await?;
        self.as_read(graph).await
    }

    /// A graph that was just stored, with the agents that its nodes name: the builder compares the answer to a save with what it reads later
    /// (rest.md trap 10).
    async fn as_read(&self, graph: GraphModel) -> Result<GraphModel, SubmitError> {
        if self.agents_of(&graph).is_empty() {
            return Ok(graph);
        }
        let read = self.load_bundle(graph.id, Some(graph.version)).await?;
        Ok(read.unwrap_or(graph))
    }

    /// The next version of a graph that the user owns, as a read shows it; none when there is no such graph.
    pub async fn update_graph(&self, user_id: UserId, graph_id: GraphId, graph: Graph) -> Result<Option<GraphModel>, SubmitError> {
        let mut races = 0;
        loop {
            let newest = self.store.list_graph_versions(user_id, graph_id, 1).await?;
            let Some(newest) = newest.first() else { return Ok(None) };
            let identity = Identity::Version {
                id: graph_id,
                version: newest.saturating_add(1),
            };
            let mut prepared = self.prepare_graph(graph.clone(), identity, user_id)?;
            if prepared.is_active {
                self.check_credentials(&prepared).await?;
            }
            self.give_webhooks(&mut prepared).await?;
            match self.store.insert_graph(&prepared).await {
                Ok(()) => return self.as_read(prepared).await.map(Some),
                Err(error) if is_race(&error) && races < VERSION_RACES => races += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Stores an inline graph once per platform, owner and content; the id follows from the three.
    pub async fn ensure_inline_graph(&self, platform_uid: &str, owner: UserId, graph: Graph) -> Result<(GraphId, i32), SubmitError> {
        let hash = graph_hash(&graph);
        let platform = platform_uid
            .parse()
            .unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_OID, platform_uid.as_bytes()));
        let mut name = owner.as_bytes().to_vec();
        name.extend_from_slice(&hash);
        let graph_id = Uuid::new_v5(&platform, &name);
        if self.store.get_graph_metadata(graph_id, Some(1)).await?.is_none() {
            let prepared = self.prepare_graph(graph, Identity::Given(graph_id), owner)?;
            self.store
                .insert_inline_graph(&prepared, hash)
                .await
                .map_err(|error| match error.constraint() {
                    Some("graphs_user_id_fkey") => SubmitError::Invalid(format!("{owner} is no user of this platform")),
                    _ => SubmitError::Store(error),
                })?;
        }
        Ok((graph_id, 1))
    }

    /// A version that the user may see, the highest one when none is given; complete with schemas and the agents that it runs.
    /// The secrets of another owner are left out.
    pub async fn get_graph(&self, user_id: UserId, graph_id: GraphId, version: Option<i32>) -> Result<Option<GraphModel>, SubmitError> {
        let Some(found) = self.store.get_graph_metadata(graph_id, version).await? else {
            return Ok(None);
        };
        if !self.store.graph_access(user_id, graph_id, found.version).await?.readable {
            return Ok(None);
        }
        if found.user_id == user_id {
            self.load_bundle(graph_id, Some(found.version)).await
        } else {
            self.load_for_strangers(graph_id, found.version).await
        }
    }

    /// As everybody may see a graph: without secrets, webhooks and what else is the owner's. Whether he offers it is the caller's to know.
    pub async fn load_for_strangers(&self, graph_id: GraphId, version: i32) -> Result<Option<GraphModel>, SubmitError> {
        let mut graph = self.load_bundle(graph_id, Some(version)).await?;
        if let Some(graph) = &mut graph {
            engine::secrets::strip(graph, self.catalog.as_ref());
        }
        Ok(graph)
    }

    /// Whoever owns it: for internal callers only.
    pub async fn load_graph(&self, graph_id: GraphId, version: Option<i32>) -> Result<Option<GraphModel>, SubmitError> {
        let graph = self.store.get_graph(graph_id, version).await?;
        Ok(graph.map(|mut graph| {
            complete(&mut graph, self.catalog.as_ref());
            self.show_addresses(&mut graph);
            graph
        }))
    }

    /// With the agents that its nodes run, and those that these run, as flat `sub_graphs` (internals §2.2 step 1).
    pub async fn load_bundle(&self, graph_id: GraphId, version: Option<i32>) -> Result<Option<GraphModel>, SubmitError> {
        Ok(self.bundle(graph_id, version).await?.map(|bundle| bundle.graph))
    }

    pub(crate) async fn bundle(&self, graph_id: GraphId, version: Option<i32>) -> Result<Option<Bundle>, SubmitError> {
        let Some(mut graph) = self.store.get_graph(graph_id, version).await? else {
            return Ok(None);
        };
        let is_whole = self.add_agents(&mut graph).await?;
        complete(&mut graph, self.catalog.as_ref());
        self.show_addresses(&mut graph);
        Ok(Some(Bundle { graph, is_whole }))
    }

    /// Agents that are gone, or that the graph's owner may not see, are left out: the node that runs one says so. Whether there are none.
    async fn add_agents(&self, graph: &mut GraphModel) -> Result<bool, SubmitError> {
        let mut is_whole = true;
        let mut seen = HashSet::from([(graph.id, graph.version)]);
        let mut pending = self.agents_of(graph);
        while let Some((id, version)) = pending.pop() {
            if !seen.insert((id, version)) || graph.sub_graphs.len() >= BUNDLED_AGENTS {
                continue;
            }
            let is_readable = self.store.graph_access(graph.user_id, id, version).await?.readable;
            let agent = if is_readable {
                self.store.get_graph(id, Some(version)).await?
            } else {
                None
            };
            if let Some(agent) = agent {
                pending.extend(self.agents_of(&agent));
                graph.sub_graphs.push(agent);
            } else {
                is_whole = false;
            }
        }
        Ok(is_whole)
    }

    /// The agents that the nodes of one graph name.
    fn agents_of(&self, graph: &GraphModel) -> Vec<(GraphId, i32)> {
        let is_agent = |node: &&NodeModel| self.catalog.block(node.block_id).is_some_and(|block| block.kind == BlockKind::Agent);
        let named = graph.nodes.iter().filter(is_agent).filter_map(|node| {
            let id = node.input_default.get("graph_id")?.as_str()?.parse().ok()?;
            let version = node.input_default.get("graph_version")?.as_i64()?.try_into().ok()?;
            Some((id, version))
        });
        named.collect()
    }

    /// One node with its links, whoever owns it.
    pub async fn load_node(&self, node_id: NodeId) -> Result<Option<NodeModel>, SubmitError> {
        let graph = self.store.get_graph_of_node(node_id).await?;
        Ok(graph.and_then(|mut graph| {
            complete(&mut graph, self.catalog.as_ref());
            graph.nodes.into_iter().find(|node| node.id == node_id)
        }))
    }

    /// The active version of each of the user's graphs, newest first.
    pub async fn list_graphs(&self, user_id: UserId) -> Result<Vec<ListedGraph>, SubmitError> {
        let graphs = self.store.list_graphs(user_id, LISTED_GRAPHS).await?;
        self.listed(graphs).await
    }

    /// Makes a version of the user's graph the active one; false when he owns no such version.
    pub async fn activate(&self, user_id: UserId, graph_id: GraphId, version: i32) -> Result<bool, SubmitError> {
        let found = self.store.get_graph_metadata(graph_id, Some(version)).await?;
        let owned = found.filter(|graph| graph.user_id == user_id);
        let Some(ListedGraph { mut graph, interface }) = self.listed(Vec::from_iter(owned)).await?.pop() else {
            return Ok(false);
        };
        interface.apply(&mut graph);
        Ok(self.store.set_active_version(&graph).await?)
    }

    /// A copy of a graph that the user may read, as his own: with fresh ids, without the secrets of another owner, and with copies of the
    /// agents that it runs and he does not own. None when there is no such graph.
    pub async fn fork_graph(&self, user_id: UserId, graph_id: GraphId, version: i32) -> Result<Option<GraphModel>, SubmitError> {
        let Some(original) = self.get_graph(user_id, graph_id, Some(version)).await? else {
            return Ok(None);
        };
        let mut copy = posted(&original);
        copy.forked_from_id = Some(graph_id.to_string());
        copy.forked_from_version = Some(version);
        copy.is_active = true;
        let foreign = original.sub_graphs.iter().filter(|agent| agent.user_id != user_id);
        copy.sub_graphs = foreign.map(posted).collect();
        self.create_graph(user_id, copy).await.map(Some)
    }

    /// Versions that the user owns, newest first.
    pub async fn list_graph_versions(&self, user_id: UserId, graph_id: GraphId, limit: i64) -> Result<Vec<GraphModel>, SubmitError> {
        let mut graphs = Vec::new();
        for version in self.store.list_graph_versions(user_id, graph_id, limit).await? {
            graphs.extend(self.load_graph(graph_id, Some(version)).await?);
        }
        Ok(graphs)
    }

    fn prepare_graph(&self, graph: Graph, identity: Identity, user_id: UserId) -> Result<GraphModel, SubmitError> {
        let catalog = self.catalog.as_ref();
        let prepared = prepare(graph, identity, user_id, Timestamp::now(), catalog, &mut Uuid::now_v7)?;
        for_save(&prepared, catalog)?;
        Ok(prepared)
    }
}

/// A stored graph as it could have been posted; without the agents that it brings.
fn posted(graph: &GraphModel) -> Graph {
    Graph {
        id: graph.id.to_string(),
        version: graph.version,
        is_active: graph.is_active,
        name: graph.name.clone(),
        description: graph.description.clone(),
        instructions: graph.instructions.clone(),
        recommended_schedule_cron: graph.recommended_schedule_cron.clone(),
        nodes: graph
            .nodes
            .iter()
            .map(|node| Node {
                id: node.id.to_string(),
                block_id: node.block_id.to_string(),
                input_default: node.input_default.clone(),
                metadata: node.metadata.clone(),
            })
            .collect(),
        links: graph.links.clone(),
        forked_from_id: None,
        forked_from_version: None,
        sub_graphs: Vec::new(),
    }
}

/// Somebody else took the version number, or the place of the active version.
fn is_race(error: &store::Error) -> bool {
    matches!(error.constraint(), Some("graphs_pkey" | "graphs_one_active_version"))
}
