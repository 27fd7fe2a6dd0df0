//! One file a case. Each starts a fleet of its own, with the settings that it names.

mod cancel;
mod chain;
mod fan_out;
mod graph_schedule;
mod idle;
mod llm;
mod memory;
mod payload;
mod reads;
mod recovery;
mod schedules;
mod sockets;
mod start;
mod throughput;
mod two_node;

use std::future::Future;
use std::pin::Pin;

use crate::Outcome;
use crate::options::Options;
use crate::report::Rows;

type Run = for<'a> fn(&'a Options) -> Pin<Box<dyn Future<Output = Outcome<Rows>> + 'a>>;

pub struct Case {
    pub name: &'static str,
    pub run: Run,
}

pub const ALL: &[Case] = &[
    Case {
        name: "idle",
        run: |options| Box::pin(idle::run(options)),
    },
    Case {
        name: "start",
        run: |options| Box::pin(start::run(options)),
    },
    Case {
        name: "chain",
        run: |options| Box::pin(chain::run(options)),
    },
    Case {
        name: "fan-out",
        run: |options| Box::pin(fan_out::run(options)),
    },
    Case {
        name: "throughput",
        run: |options| Box::pin(throughput::run(options)),
    },
    Case {
        name: "two-node",
        run: |options| Box::pin(two_node::run(options)),
    },
    Case {
        name: "payload",
        run: |options| Box::pin(payload::run(options)),
    },
    Case {
        name: "llm",
        run: |options| Box::pin(llm::run(options)),
    },
    Case {
        name: "memory",
        run: |options| Box::pin(memory::run(options)),
    },
    Case {
        name: "cancel",
        run: |options| Box::pin(cancel::run(options)),
    },
    Case {
        name: "recovery",
        run: |options| Box::pin(recovery::run(options)),
    },
    Case {
        name: "reads",
        run: |options| Box::pin(reads::run(options)),
    },
    Case {
        name: "sockets",
        run: |options| Box::pin(sockets::run(options)),
    },
    Case {
        name: "graph-schedule",
        run: |options| Box::pin(graph_schedule::run(options)),
    },
    Case {
        name: "schedules",
        run: |options| Box::pin(schedules::run(options)),
    },
];
