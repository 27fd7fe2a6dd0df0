//! Ids are UUIDs everywhere; the aliases say which one is meant. Those we mint are version 7.

use uuid::Uuid;

pub type UserId = Uuid;
pub type GraphId = Uuid;
pub type NodeId = Uuid;
pub type LinkId = Uuid;
pub type BlockId = Uuid;
pub type GraphExecId = Uuid;
pub type NodeExecId = Uuid;
