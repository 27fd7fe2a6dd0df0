//! Driving a run again that was given up: a new run with the same inputs. The old one stays FAILED, as that is final.

use model::GraphExecId;
use store::Grave;

use crate::{Origin, SubmitCommand, SubmitError, Submitter};

/// What came of a redrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redriven {
    pub graph_exec_id: GraphExecId,
    /// False when a former redrive of the same run is not over yet: that one is meant.
    pub created: bool,
}

impl Submitter {
    /// Submits the dead run's graph version with its inputs, for its user. While the run of a former redrive is not over, that one is
    /// answered, so that asking twice does not run it twice.
    pub async fn redrive(&self, graph_exec_id: GraphExecId) -> Result<Redriven, SubmitError> {
        let grave = self.store.grave(graph_exec_id).await?;
        if let (Some(former), Some(status)) = (grave.dead.redriven_as, grave.redriven_status)
            && !status.is_terminal()
        {
            return Ok(Redriven {
                graph_exec_id: former,
                created: false,
            });
        }
        let number = grave.dead.redrives.saturating_add(1);
        let accepted = self.accept(command(grave, number)).await?;
        self.store.mark_redriven(graph_exec_id, number, accepted.execution.id).await?;
        Ok(Redriven {
            graph_exec_id: accepted.execution.id,
            created: accepted.created,
        })
    }
}

/// The key names the run and how often it was driven again: a repetition whose answer was lost finds the same run.
fn command(grave: Grave, number: i32) -> SubmitCommand {
    SubmitCommand {
        user_id: grave.user_id,
        graph_id: grave.graph_id,
        graph_version: Some(grave.graph_version),
        inputs: grave.inputs,
        credentials: grave.credential_inputs,
        masks: grave.nodes_input_masks,
        preset_id: grave.preset_id.map(|id| id.to_string()),
        idempotency_key: Some(format!("redrive:{}:{number}", grave.dead.graph_exec_id)),
        origin: Origin::Redrive,
        ..SubmitCommand::default()
    }
}
