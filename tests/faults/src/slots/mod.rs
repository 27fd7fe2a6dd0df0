//! Schedules on a real kube-apiserver under faults: the operators and what disturbs them ([`scene`]), what people do meanwhile ([`people`]),
//! and what became of everything that was due ([`account`]).

pub mod account;
pub mod people;
pub mod scene;
