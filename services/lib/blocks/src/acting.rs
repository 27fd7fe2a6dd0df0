//! Blocks that do more than compute: a descriptor and an asynchronous function that may use what is around the run.

use std::borrow::Cow;

use async_trait::async_trait;
use engine::block::{BlockDescriptor, Effects};
use futures::future::BoxFuture;
use model::Map;

use crate::block::{Block, BlockContext, Failure};
use crate::checks::{Declared, PinChecks};
use crate::emit::Emitter;
use crate::immediate::Inputs;

/// What an acting block does.
pub(crate) type Act = for<'a, 'e> fn(Inputs, &'a BlockContext, &'a mut Emitter<'e>) -> BoxFuture<'a, Result<(), Failure>>;

/// How an execution ends.
pub(crate) type Acted<'a> = BoxFuture<'a, Result<(), Failure>>;

pub(crate) struct Acting {
    declared: Declared,
    act: Act,
    effects: Option<fn(&Map) -> Effects>,
}

impl Acting {
    pub(crate) fn new(declared: Declared, act: Act) -> Self {
        Self {
            declared,
            act,
            effects: None,
        }
    }

    /// The effects depend on the input.
    pub(crate) fn with_effects(self, effects: fn(&Map) -> Effects) -> Self {
        Self {
            effects: Some(effects),
            ..self
        }
    }
}

#[async_trait]
impl Block for Acting {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.declared.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.declared.checks)
    }

    fn effects(&self, input: &Map) -> Effects {
        self.effects.map_or(self.declared.descriptor.effects, |of| of(input))
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        (self.act)(Inputs(input), context, out).await
    }
}
