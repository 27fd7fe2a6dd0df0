//! What becomes of due times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::common::DURATION;

/// What happens to a due time while an earlier run of the schedule is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OverlapPolicy {
    /// It fires; runs may overlap.
    #[default]
    Allow,
    /// It is skipped.
    Skip,
    /// It waits until nothing runs; the next ones are skipped.
    BufferOne,
    /// It waits until nothing runs, in order; those beyond bufferLimit are skipped.
    BufferAll,
    /// What runs is cancelled, and it fires when that has ended. A later due time takes the place of the one that waits.
    CancelOther,
    /// What runs is cancelled, and it fires at once.
    Replace,
}

/// What is made up for of the due times that passed while nothing could fire. What is at most 30 s late is on time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.limit) || self.policy == 'All'").message("catchUp.limit belongs to policy All: remove it, or set the policy"))]
#[x_kube(validation = Rule::new("!has(self.window) || duration(self.window) <= duration('87600h')").message("catchUp.window must be at most 87600h, for example 15m or 24h"))]
pub struct CatchUp {
    /// The newest (Latest), none (None), or the newest so many, oldest first (All).
    #[serde(default)]
    pub policy: CatchUpPolicy,
    /// What is later than this is not made up for, such as 15m or 24h; without it, however late.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = DURATION))]
    pub window: Option<String>,
    /// How many are made up for under policy All; 10 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<i32>,
}

/// Which of the due times that passed while nothing could fire are made up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CatchUpPolicy {
    #[default]
    Latest,
    None,
    All,
}

/// A span of time in which nothing is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.from < self.to").message("an exclusion must end later than it begins"))]
pub struct Exclusion {
    /// Its beginning; a due time at it is excluded.
    pub from: Time,
    /// Its end; a due time at it is not.
    pub to: Time,
}

/// A range of past due times to run (again).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backfill {
    /// Its name. Each due time is run once for a name, so a repetition needs another one.
    pub name: String,
    /// The first instant of the range.
    pub from: Time,
    /// The last one. Due times that are in the future when the backfill is first seen are left to the schedule.
    pub to: Time,
    /// What happens to a due time of the range while a run of the schedule is not over.
    #[serde(default)]
    pub overlap_policy: BackfillOverlap,
}

/// What happens to a due time of a backfill while a run of the schedule is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BackfillOverlap {
    /// It fires, up to 20 runs at a time.
    Allow,
    /// It is skipped.
    Skip,
    /// It waits: one after the other.
    #[default]
    BufferAll,
}

/// The list of backfills: a map by name, so that rules compare an entry with itself as it was.
pub fn backfills(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 10,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "description": "A range of past due times to run (again).",
            "type": "object",
            "required": ["name", "from", "to"],
            "properties": {
                "name": {
                    "description": "Its name. Each due time is run once for a name, so a repetition needs another one.",
                    "type": "string", "minLength": 1, "maxLength": 40, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
                },
                "from": {"description": "The first instant of the range.", "type": "string", "format": "date-time"},
                "to": {
                    "description": "The last one. Due times that are in the future when the backfill is first seen are left to the schedule.",
                    "type": "string", "format": "date-time",
                },
                "overlapPolicy": {
                    "description": "What happens to a due time of the range while a run of the schedule is not over: it fires, up to 20 runs at a time (Allow), it is skipped (Skip), or it waits (BufferAll).",
                    "type": "string", "enum": ["Allow", "Skip", "BufferAll"], "default": "BufferAll",
                },
            },
            "x-kubernetes-validations": [
                {"rule": "self.from <= self.to", "message": "a backfill must not end before it begins"},
                {"rule": "self.from == oldSelf.from && self.to == oldSelf.to", "message": "a backfill cannot change: add another one under another name"},
            ],
        },
    })
}
