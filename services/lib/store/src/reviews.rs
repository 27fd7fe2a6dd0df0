//! What people have to decide before runs go on: asking, deciding, and going on in the transaction of the decision (internals §2.14).
//!
//! Lock order: the run's row, then its reviews. A run ends, parks and is decided about under its row lock, so that no question is asked of a
//! run that is over, and no decision falls between the moment in which a node looked and the moment in which its run parked.

use std::collections::HashMap;
use std::time::Duration;

use model::review::{HumanReview, RepeatAnswer, ReviewAction, ReviewResult, ReviewStatus};
use model::{ExecutionStatus, GraphExecId, Map, NodeExecId, UserId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use crate::execution_rows::{instant, json, status, time};
use crate::{Error, Result, Store, control, storable};

/// A node's question to a person.
#[derive(Debug, Clone)]
pub struct ReviewQuestion {
    /// The owner of the run.
    pub user_id: UserId,
    pub graph_exec_id: GraphExecId,
    pub node_exec_id: NodeExecId,
    pub payload: Value,
    pub instructions: Option<String>,
    /// Whether the person may change the payload.
    pub editable: bool,
}

/// What holds for questions whose node says nothing else.
#[derive(Debug, Clone, Copy)]
pub struct ReviewTerms {
    /// How long a question waits for a person; `None` for ever.
    pub deadline: Option<Duration>,
    /// What is decided then.
    pub default_action: ReviewAction,
}

/// What a person decided.
#[derive(Debug, Clone)]
pub struct ReviewDecision {
    pub node_exec_id: NodeExecId,
    pub approved: bool,
    pub message: Option<String>,
    /// The payload as the person wants it; `None` leaves it as it is.
    pub reviewed_data: Option<Value>,
}

/// What became of a set of decisions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    pub approved: usize,
    pub rejected: usize,
    /// Decisions that were not taken, each with the reason.
    pub refused: Vec<(NodeExecId, String)>,
    /// Runs that were in REVIEW and wait for an executor now.
    pub resumed: Vec<GraphExecId>,
}

/// Keys of a node's metadata that replace the platform's terms for it.
const DEADLINE_KEY: &str = "review_deadline_seconds";
const ACTION_KEY: &str = "review_default_action";

/// A node's own words replace the platform's; what is no number of seconds or no action counts as not said.
fn terms_of_node(metadata: &Map, terms: ReviewTerms) -> ReviewTerms {
    let seconds = metadata.get(DEADLINE_KEY).and_then(Value::as_u64);
    let action = metadata.get(ACTION_KEY).cloned();
    ReviewTerms {
        deadline: match seconds {
            Some(0) => None,
            // Beyond a century there is no difference to none, but one to what a timestamp holds.
            Some(seconds) => Some(Duration::from_secs(seconds.min(100 * 366 * 86_400))),
            None => terms.deadline,
        },
        default_action: action
            .and_then(|action| serde_json::from_value(action).ok())
            .unwrap_or(terms.default_action),
    }
}

impl Store {
    /// Asks for a review unless the node has asked already: an existing row stays as it is. `None` while nobody has decided, and when
    /// a caller of [`Store::set_review_processed`] said that the decision was followed.
    pub async fn ask_review(&self, question: ReviewQuestion, terms: ReviewTerms) -> Result<Option<ReviewResult>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let asker = lock_asker(&mut tx, &question).await?;
        let found = sqlx::query(
            "SELECT r.status, coalesce(r.reviewed_payload, r.payload) AS data, r.review_message, r.processed FROM pending_human_reviews r
             WHERE r.node_exec_id = $1",
        )
        .bind(question.node_exec_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = found else {
            let terms = terms_of_node(&asker.metadata, terms);
            insert(&mut tx, "block", &question, terms).await?;
            tx.commit().await?;
            return Ok(None);
        };
        let status = review_status(&row)?;
        let processed = row.try_get("processed")?;
        if status == ReviewStatus::Waiting || processed {
            return Ok(None);
        }
        let approved = status == ReviewStatus::Approved;
        Ok(Some(ReviewResult {
            data: if approved { json(&row, "data")? } else { None },
            status,
            message: row.try_get::<Option<String>, _>("review_message")?.unwrap_or_default(),
            processed,
            node_exec_id: question.node_exec_id,
        }))
    }

    /// Whether the claim `epoch` may run a node again that had been started before and must not take effect twice. An approval is good
    /// for one claim: when that one is cut short as well, the question is asked anew. A claim that holds the run no longer only waits.
    pub async fn ask_to_repeat(&self, question: ReviewQuestion, epoch: i64, terms: ReviewTerms) -> Result<RepeatAnswer> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let asker = lock_asker(&mut tx, &question).await?;
        if asker.epoch != epoch {
            return Ok(RepeatAnswer::Waiting);
        }
        let found = sqlx::query("SELECT status, review_message, granted_epoch FROM pending_human_reviews WHERE node_exec_id = $1 FOR UPDATE")
            .bind(question.node_exec_id)
            .fetch_optional(&mut *tx)
            .await?;
        // Silence is no consent to an effect that may happen twice.
        let terms = ReviewTerms {
            default_action: ReviewAction::Reject,
            ..terms_of_node(&asker.metadata, terms)
        };
        let answer = match found {
            None => {
                insert(&mut tx, "once", &question, terms).await?;
                RepeatAnswer::Waiting
            }
            Some(row) => match (review_status(&row)?, row.try_get::<Option<i64>, _>("granted_epoch")?) {
                (ReviewStatus::Waiting, _) => RepeatAnswer::Waiting,
                (ReviewStatus::Rejected, _) => RepeatAnswer::Refused {
                    message: row.try_get::<Option<String>, _>("review_message")?.unwrap_or_default(),
                },
                (ReviewStatus::Approved, None) => {
                    sqlx::query("UPDATE pending_human_reviews SET granted_epoch = $2, processed = true, updated_at = now() WHERE node_exec_id = $1")
                        .bind(question.node_exec_id)
                        .bind(epoch)
                        .execute(&mut *tx)
                        .await?;
                    RepeatAnswer::Granted
                }
                (ReviewStatus::Approved, Some(granted)) if granted == epoch => RepeatAnswer::Granted,
                (ReviewStatus::Approved, Some(_)) => {
                    sqlx::query("DELETE FROM pending_human_reviews WHERE node_exec_id = $1")
                        .bind(question.node_exec_id)
                        .execute(&mut *tx)
                        .await?;
                    insert(&mut tx, "once", &question, terms).await?;
                    RepeatAnswer::Waiting
                }
            },
        };
        tx.commit().await?;
        Ok(answer)
    }

    /// Whether anything of the run waits for a person.
    pub async fn has_waiting_reviews(&self, graph_exec_id: GraphExecId) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT FROM pending_human_reviews WHERE graph_exec_id = $1 AND status = 'WAITING')";
        let waiting = sqlx::query_scalar(query).bind(graph_exec_id).fetch_one(&self.pool).await;
        waiting.map_err(|error| self.explain(error))
    }

    /// Notes that a decision was followed, or takes that back.
    pub async fn set_review_processed(&self, node_exec_id: NodeExecId, processed: bool) -> Result<()> {
        sqlx::query("UPDATE pending_human_reviews SET processed = $2, updated_at = now() WHERE node_exec_id = $1")
            .bind(node_exec_id)
            .bind(processed)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(())
    }

    /// What the user has to decide, newest first. `page` counts from 1.
    pub async fn list_waiting_reviews(&self, user_id: UserId, page: i64, page_size: i64) -> Result<Vec<HumanReview>> {
        let query = format!(
            "{SHOWN} WHERE r.user_id = $1 AND r.status = 'WAITING' AND NOT g.is_deleted ORDER BY r.created_at DESC, r.node_exec_id LIMIT $2 OFFSET $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(page_size)
            .bind((page - 1).max(0).saturating_mul(page_size))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(shown).collect()
    }

    /// What the user has to decide in one run, oldest first.
    pub async fn list_waiting_reviews_of_run(&self, user_id: UserId, graph_exec_id: GraphExecId) -> Result<Vec<HumanReview>> {
        let query = format!("{SHOWN} WHERE r.user_id = $1 AND r.graph_exec_id = $2 AND r.status = 'WAITING' ORDER BY r.created_at, r.node_exec_id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(graph_exec_id)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(shown).collect()
    }

    /// Takes the decisions that can be taken and lets every run go on of which nothing waits any more, in one transaction. The caller
    /// wakes the relay afterwards.
    pub async fn decide_reviews(&self, user_id: UserId, decisions: Vec<ReviewDecision>) -> Result<Decided> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let decided = decide(&mut tx, Some(user_id), decisions).await?;
        tx.commit().await?;
        Ok(decided)
    }

    /// Decides up to `limit` questions whose deadline has passed, as their terms say. To be called again while it decides as many.
    pub async fn decide_overdue_reviews(&self, limit: i64) -> Result<Decided> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let rows = sqlx::query(
            "SELECT node_exec_id, default_action FROM pending_human_reviews WHERE status = 'WAITING' AND deadline_at <= clock_timestamp()
             ORDER BY deadline_at LIMIT $1",
        )
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        let mut decisions = Vec::with_capacity(rows.len());
        for row in &rows {
            let approved = row.try_get::<&str, _>("default_action")? == ReviewAction::Approve.as_str();
            let word = if approved { "approved" } else { "rejected" };
            decisions.push(ReviewDecision {
                node_exec_id: row.try_get("node_exec_id")?,
                approved,
                message: Some(format!("Nobody decided before the deadline: {word} by default")),
                reviewed_data: None,
            });
        }
        let decided = decide(&mut tx, None, decisions).await?;
        tx.commit().await?;
        Ok(decided)
    }
}

/// The run of a question and its node.
struct Asker {
    epoch: i64,
    metadata: Map,
}

/// Holds the run as it is until the question is asked. An error when it is over, or has no such node.
async fn lock_asker(connection: &mut PgConnection, question: &ReviewQuestion) -> Result<Asker> {
    let row = sqlx::query(
        "SELECT g.status, g.lease_epoch, n.metadata FROM graph_executions g
         JOIN node_executions ne ON ne.graph_exec_id = g.id LEFT JOIN nodes n ON n.id = ne.node_id
         WHERE g.id = $1 AND ne.id = $2 AND g.user_id = $3 FOR SHARE OF g",
    )
    .bind(question.graph_exec_id)
    .bind(question.node_exec_id)
    .bind(question.user_id)
    .fetch_optional(connection)
    .await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("Node execution #{} not found", question.node_exec_id)))?;
    let status = status(&row)?;
    if status.is_terminal() {
        return Err(Error::Illegal(format!("the run is {status}: nothing of it is reviewed any more")));
    }
    Ok(Asker {
        epoch: row.try_get("lease_epoch")?,
        metadata: json(&row, "metadata")?.unwrap_or_default(),
    })
}

async fn insert(connection: &mut PgConnection, kind: &str, question: &ReviewQuestion, terms: ReviewTerms) -> Result<()> {
    let mut payload = question.payload.clone();
    storable::make_storable(&mut payload);
    let mut instructions = question.instructions.clone();
    instructions.iter_mut().for_each(storable::strip);
    sqlx::query(
        "INSERT INTO pending_human_reviews (node_exec_id, graph_exec_id, user_id, graph_id, graph_version, kind, payload, instructions, editable,
             deadline_at, default_action)
         SELECT $1, g.id, g.user_id, g.graph_id, g.graph_version, $3, $4, $5, $6, clock_timestamp() + make_interval(secs => $7), $8
         FROM graph_executions g WHERE g.id = $2 ON CONFLICT (node_exec_id) DO NOTHING",
    )
    .bind(question.node_exec_id)
    .bind(question.graph_exec_id)
    .bind(kind)
    .bind(Json(payload))
    .bind(instructions)
    .bind(question.editable)
    .bind(terms.deadline.map(|deadline| deadline.as_secs_f64()))
    .bind(terms.default_action.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

/// A review that somebody wants to decide.
struct Judged {
    status: ReviewStatus,
    editable: bool,
    payload: Value,
    run_over: bool,
}

/// Without a user anybody's reviews are decided.
async fn decide(connection: &mut PgConnection, user_id: Option<UserId>, decisions: Vec<ReviewDecision>) -> Result<Decided> {
    let mut decided = Decided::default();
    if decisions.is_empty() {
        return Ok(decided);
    }
    let ids: Vec<NodeExecId> = decisions.iter().map(|decision| decision.node_exec_id).collect();
    let runs = lock_runs(connection, &ids, user_id).await?;
    let reviews = lock_reviews(connection, &ids, &runs).await?;
    let mut taken: Vec<Taken> = Vec::with_capacity(decisions.len());
    for decision in decisions {
        let id = decision.node_exec_id;
        match judge(reviews.get(&id), decision) {
            Ok(_) if taken.iter().any(|taken| taken.node_exec_id == id) => {
                decided.refused.push((id, format!("Review {id} is decided twice in one request")));
            }
            Ok(one) => taken.push(one),
            Err(reason) => decided.refused.push((id, reason)),
        }
    }
    decided.approved = taken.iter().filter(|one| one.status == ReviewStatus::Approved).count();
    decided.rejected = taken.len() - decided.approved;
    write(connection, &taken).await?;
    let touched: Vec<GraphExecId> = runs.keys().copied().collect();
    if !taken.is_empty() {
        control::tell_news(connection, &touched).await?;
    }
    decided.resumed = go_on(connection, &touched).await?;
    Ok(decided)
}

/// Locks the runs of these reviews in id order, as everything that locks several runs does. Of a user only runs that he sees.
async fn lock_runs(connection: &mut PgConnection, ids: &[NodeExecId], user_id: Option<UserId>) -> Result<HashMap<GraphExecId, ExecutionStatus>> {
    let rows = sqlx::query(
        "SELECT g.id, g.status FROM graph_executions g
         WHERE g.id IN (SELECT r.graph_exec_id FROM pending_human_reviews r WHERE r.node_exec_id = ANY($1))
           AND ($2::uuid IS NULL OR (g.user_id = $2 AND NOT g.is_deleted))
         ORDER BY g.id FOR NO KEY UPDATE",
    )
    .bind(ids)
    .bind(user_id)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, status(row)?))).collect()
}

async fn lock_reviews(
    connection: &mut PgConnection,
    ids: &[NodeExecId],
    runs: &HashMap<GraphExecId, ExecutionStatus>,
) -> Result<HashMap<NodeExecId, Judged>> {
    let rows = sqlx::query(
        "SELECT node_exec_id, graph_exec_id, status, editable, payload FROM pending_human_reviews
         WHERE node_exec_id = ANY($1) AND graph_exec_id = ANY($2) ORDER BY node_exec_id FOR UPDATE",
    )
    .bind(ids)
    .bind(runs.keys().copied().collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let run: GraphExecId = row.try_get("graph_exec_id")?;
            let judged = Judged {
                status: review_status(row)?,
                editable: row.try_get("editable")?,
                payload: json(row, "payload")?.unwrap_or_default(),
                run_over: runs.get(&run).is_none_or(|status| status.is_terminal()),
            };
            Ok((row.try_get("node_exec_id")?, judged))
        })
        .collect()
}

/// A decision that is written.
struct Taken {
    node_exec_id: NodeExecId,
    status: ReviewStatus,
    message: Option<String>,
    /// Only when it differs from what was asked about.
    edited: Option<Value>,
}

fn judge(review: Option<&Judged>, decision: ReviewDecision) -> Result<Taken, String> {
    let id = decision.node_exec_id;
    let Some(review) = review else {
        return Err(format!("Review {id} not found"));
    };
    if review.run_over {
        return Err(format!("Review {id}: its run is over"));
    }
    if review.status != ReviewStatus::Waiting {
        return Err(format!("Review {id} is already {}", review.status.as_str()));
    }
    let mut reviewed = decision.reviewed_data;
    reviewed.iter_mut().for_each(storable::make_storable);
    // What comes with a rejection goes nowhere.
    let edited = reviewed.filter(|data| decision.approved && *data != review.payload);
    if edited.is_some() && !review.editable {
        return Err(format!("Review {id} is not editable: send it without reviewed_data"));
    }
    let mut message = decision.message;
    message.iter_mut().for_each(storable::strip);
    Ok(Taken {
        node_exec_id: id,
        status: if decision.approved {
            ReviewStatus::Approved
        } else {
            ReviewStatus::Rejected
        },
        message,
        edited,
    })
}

async fn write(connection: &mut PgConnection, taken: &[Taken]) -> Result<()> {
    if taken.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE pending_human_reviews r SET status = d.status, review_message = d.message, reviewed_payload = d.edited,
             was_edited = d.edited IS NOT NULL, reviewed_at = now(), updated_at = now()
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[]) AS d(node_exec_id, status, message, edited)
         WHERE r.node_exec_id = d.node_exec_id",
    )
    .bind(taken.iter().map(|one| one.node_exec_id).collect::<Vec<_>>())
    .bind(taken.iter().map(|one| one.status.as_str()).collect::<Vec<_>>())
    .bind(taken.iter().map(|one| one.message.as_deref()).collect::<Vec<_>>())
    .bind(taken.iter().map(|one| one.edited.as_ref().map(Json)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets parked runs go on of which nothing waits for a person any more, and returns them. A run that is held hears the news instead.
async fn go_on(connection: &mut PgConnection, runs: &[GraphExecId]) -> Result<Vec<GraphExecId>> {
    let resumed = sqlx::query_scalar(
        "WITH resumed AS (
             UPDATE graph_executions g SET status = 'QUEUED', updated_at = now(), progress_xid = pg_current_xact_id()
             WHERE g.id = ANY($1) AND g.status = 'REVIEW'
               AND NOT EXISTS (SELECT FROM pending_human_reviews r WHERE r.graph_exec_id = g.id AND r.status = 'WAITING')
             RETURNING g.id)
         INSERT INTO outbox (graph_exec_id) SELECT id FROM resumed RETURNING graph_exec_id",
    );
    Ok(resumed.bind(runs).fetch_all(connection).await?)
}

/// Runs that are over wait for nobody: their open questions are closed in the transaction that ends them.
pub(crate) async fn close(connection: &mut PgConnection, ended: &[GraphExecId]) -> Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE pending_human_reviews SET status = 'REJECTED', review_message = 'The run ended before anybody decided', processed = true,
             reviewed_at = now(), updated_at = now()
         WHERE graph_exec_id = ANY($1) AND status = 'WAITING'",
    )
    .bind(ended)
    .execute(connection)
    .await?;
    Ok(())
}

/// Everything that [`shown`] reads.
const SHOWN: &str = "SELECT r.node_exec_id, r.user_id, r.graph_exec_id, r.graph_id, r.graph_version, coalesce(r.reviewed_payload, r.payload) AS payload, \
    r.instructions, r.editable, r.status, r.review_message, r.was_edited, \
    r.processed OR (r.status <> 'WAITING' AND ne.status IN ('COMPLETED', 'FAILED', 'TERMINATED')) AS processed, \
    r.created_at, r.updated_at, r.reviewed_at \
    FROM pending_human_reviews r JOIN node_executions ne ON ne.id = r.node_exec_id JOIN graph_executions g ON g.id = r.graph_exec_id";

fn shown(row: &PgRow) -> Result<HumanReview> {
    Ok(HumanReview {
        node_exec_id: row.try_get("node_exec_id")?,
        user_id: row.try_get("user_id")?,
        graph_exec_id: row.try_get("graph_exec_id")?,
        graph_id: row.try_get("graph_id")?,
        graph_version: row.try_get("graph_version")?,
        payload: json(row, "payload")?.unwrap_or_default(),
        instructions: row.try_get("instructions")?,
        editable: row.try_get("editable")?,
        status: review_status(row)?,
        review_message: row.try_get("review_message")?,
        was_edited: row.try_get("was_edited")?,
        processed: row.try_get("processed")?,
        created_at: instant(row, "created_at")?,
        updated_at: time(row, "updated_at")?,
        reviewed_at: time(row, "reviewed_at")?,
    })
}

fn review_status(row: &PgRow) -> Result<ReviewStatus> {
    let word: &str = row.try_get("status")?;
    word.parse()
        .map_err(|error: model::review::UnknownReviewStatus| Error::Decode(error.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn terms(metadata: Value) -> (Option<u64>, ReviewAction) {
        let platform = ReviewTerms {
            deadline: Some(Duration::from_secs(60)),
            default_action: ReviewAction::Reject,
        };
        let terms = terms_of_node(metadata.as_object().unwrap(), platform);
        (terms.deadline.map(|deadline| deadline.as_secs()), terms.default_action)
    }

    #[test]
    fn a_node_may_have_terms_of_its_own() {
        assert_eq!(terms(json!({})), (Some(60), ReviewAction::Reject));
        let own = json!({ "review_deadline_seconds": 5, "review_default_action": "approve" });
        assert_eq!(terms(own), (Some(5), ReviewAction::Approve));
        assert_eq!(terms(json!({ "review_deadline_seconds": 0 })), (None, ReviewAction::Reject));
        let nonsense = json!({ "review_deadline_seconds": -5, "review_default_action": {"x": 1} });
        assert_eq!(terms(nonsense), (Some(60), ReviewAction::Reject));
        assert!(terms(json!({ "review_deadline_seconds": u64::MAX })).0 < Some(u64::MAX / 2));
    }

    #[test]
    fn what_may_not_be_edited_may_be_sent_back_unchanged() {
        let review = Judged {
            status: ReviewStatus::Waiting,
            editable: false,
            payload: json!({ "a": 1 }),
            run_over: false,
        };
        let decision = |approved, data: Value| ReviewDecision {
            node_exec_id: Uuid::nil(),
            approved,
            message: None,
            reviewed_data: Some(data),
        };
        assert!(judge(Some(&review), decision(true, json!({ "a": 1 }))).is_ok_and(|taken| taken.edited.is_none()));
        assert!(judge(Some(&review), decision(true, json!({ "a": 2 }))).is_err());
        assert!(judge(Some(&review), decision(false, json!({ "a": 2 }))).is_ok_and(|taken| taken.edited.is_none()));
    }
}
