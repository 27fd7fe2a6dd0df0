//! Waits, and then passes a message on.

use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use engine::block::BlockDescriptor;
use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::{Block, BlockContext, Failure};
use crate::checks::{Declared, PinChecks};
use crate::describe::{Describe, PinSpec, optional, output};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::python;

pub(crate) struct CountdownTimer(Declared);

impl CountdownTimer {
    pub(crate) fn new() -> Self {
        let descriptor = Describe::new(
            uuid!("d67a9c52-5e4e-11e2-bcfd-0800200c9a71"),
            "CountdownTimerBlock",
            "Waits for a time and then gives a message, once or repeatedly.",
        )
        .categories(&["TEXT"])
        .input(optional("input_message", PinType::Any, json!("timer finished")).about("The message."))
        .input(part("seconds"))
        .input(part("minutes"))
        .input(part("hours"))
        .input(part("days"))
        .input(optional("repeat", PinType::Int, json!(1)).about("How often to wait and give the message."))
        .output(output("output_message", PinType::Any).about("The message."));
        Self(descriptor.build())
    }
}

fn part(name: &'static str) -> PinSpec {
    let ty = PinType::union([PinType::Int, PinType::Str]);
    optional(name, ty, json!(0)).basic().about(&format!("How many {name} to wait."))
}

#[async_trait]
impl Block for CountdownTimer {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.0.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.0.checks)
    }

    async fn run(&self, input: Map, _context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let mut input = Inputs(input);
        let mut seconds = 0_i64;
        for (name, length) in [("seconds", 1), ("minutes", 60), ("hours", 3600), ("days", 86_400)] {
            seconds = seconds.saturating_add(whole(&input.value(name))?.saturating_mul(length));
        }
        // A time in the past is over.
        let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let message = input.value("input_message");
        for _ in 0..input.integer("repeat") {
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            out.emit("output_message", message.clone()).await?;
        }
        Ok(())
    }
}

/// A whole number, as a number or as text.
fn whole(part: &Value) -> Result<i64, Failure> {
    match part {
        Value::String(text) => {
            let digits = python::strip(text);
            digits
                .parse()
                .map_err(|_| Failure::raised(format!("invalid literal for int() with base 10: {}", python::repr(part))))
        }
        number => Ok(python::integer(number).unwrap_or_default()),
    }
}
