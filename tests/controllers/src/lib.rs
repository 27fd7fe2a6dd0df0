//! A real kube-apiserver with etcd for the tests of the controllers, and what a kubelet and controllers of its own would
//! do there. Test code: it panics instead of returning errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod cluster;
pub mod eventually;
pub mod kubelet;
pub mod process;
pub mod proxy;
pub mod reveal;
pub mod services;
pub mod steady;
pub mod world;

pub use cluster::Cluster;
pub use eventually::eventually;
pub use proxy::Proxy;
pub use services::Services;
pub use world::{Operator, World};
