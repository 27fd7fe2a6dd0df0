//! Runs that nodes of other runs start (internals §2.14, design §6.7).

use model::{AgentOutcome, AgentRequest, AgentRun, ExecutionContext, GraphExecutionMeta};
use rpc::RpcError;
use store::{IoBlocks, Store};
use submit::{Origin, SubmitCommand, Submitter};

use crate::errors::{from_store, from_submit};

/// Accepts the run unless its node execution has one already, and tells what it has come to. Its end raises the news of the run that asks.
pub async fn run(store: &Store, submitter: &Submitter, blocks: &IoBlocks, request: AgentRequest) -> Result<AgentRun, RpcError> {
    let asking = store.run_context(request.graph_exec_id).await.map_err(from_store)?;
    let (user_id, context) = asking.ok_or_else(|| RpcError::not_found(format!("Graph execution #{} not found", request.graph_exec_id)))?;
    let command = SubmitCommand {
        user_id,
        graph_id: request.graph_id,
        graph_version: Some(request.graph_version),
        inputs: request.inputs,
        masks: request.nodes_input_masks,
        // The root stays the same (internals §2.2 step 7).
        context: Some(ExecutionContext {
            parent_execution_id: Some(request.graph_exec_id),
            ..context
        }),
        idempotency_key: Some(format!("node/{}", request.node_exec_id)),
        origin: Origin::Agent {
            parent: request.graph_exec_id,
            epoch: request.epoch,
        },
        ..SubmitCommand::default()
    };
    let answer = match submitter.submit(command).await {
        Ok(execution) if execution.status.is_terminal() => outcome(store, blocks, execution).await.map(AgentRun::Ended),
        Ok(execution) => return Ok(AgentRun::Going { graph_exec_id: execution.id }),
        Err(error) => Err(from_submit(error)),
    };
    // A cancellation ends the child with the run that asks, and refuses further ones: neither must look like an answer.
    if store.is_cancel_requested(request.graph_exec_id).await.map_err(from_store)? {
        return Ok(AgentRun::Cancelled);
    }
    answer
}

async fn outcome(store: &Store, blocks: &IoBlocks, execution: GraphExecutionMeta) -> Result<AgentOutcome, RpcError> {
    let stats = execution.stats.unwrap_or_default();
    Ok(AgentOutcome {
        outputs: store.formatted_outputs(execution.id, blocks).await.map_err(from_store)?,
        cost: stats.cost,
        node_count: stats.node_exec_count,
    })
}
