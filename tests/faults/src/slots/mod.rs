//! Schedules on a real kube-apiserver under faults: the operators and what disturbs them ([`scene`]), and what became of every slot
//! ([`account`]).

pub mod account;
pub mod scene;
