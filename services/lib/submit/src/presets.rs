//! Presets that deliveries from outside start: a graph's trigger with a configuration, and an address of its own (rest.md §1 area 7).

use engine::block::BlockDescriptor;
use engine::check::Check;
use engine::schema::is_credentials;
use engine::webhook::{PAYLOAD, provider};
use model::library::{LibraryAgentPreset, NewPreset, PresetUpdate};
use model::webhook::Webhook;
use model::{GraphModel, Map, NodeModel, UserId};
use serde_json::Value;

use crate::webhooks::{Delivery, new_webhook};
use crate::{ReadyGraph, SubmitCommand, SubmitError, Submitter};

impl Submitter {
    /// Keeps a preset with a webhook of its own; its inputs are the configuration of the graph's trigger.
    ///
    /// # Errors
    /// When a delivery could not start the graph with it: no trigger, a configuration that does not fit, credentials that are not the user's.
    pub async fn set_up_trigger(&self, user_id: UserId, new: NewPreset) -> Result<LibraryAgentPreset, SubmitError> {
        let provider = self.check_trigger(user_id, &new).await?;
        let webhook = new_webhook(user_id, provider);
        let mut preset = self.store.create_triggered_preset(user_id, &new, &webhook).await?;
        self.show_address_of(&mut preset);
        Ok(preset)
    }

    /// The preset as it is after the change; none when the user has no such preset. What deliveries start must be able to start afterwards.
    pub async fn change_preset(&self, preset: LibraryAgentPreset, update: &PresetUpdate) -> Result<Option<LibraryAgentPreset>, SubmitError> {
        let (user_id, id) = (preset.user_id, preset.id);
        if preset.webhook_id.is_some() && (update.inputs.is_some() || update.credentials.is_some()) {
            let changed = NewPreset {
                graph_id: preset.graph_id,
                graph_version: preset.graph_version,
                inputs: update.inputs.clone().unwrap_or(preset.inputs),
                credentials: update.credentials.clone().unwrap_or(preset.credentials),
                name: preset.name,
                description: preset.description,
                is_active: preset.is_active,
            };
            self.check_trigger(user_id, &changed).await?;
        }
        let mut updated = self.store.update_preset(user_id, id, update).await?;
        updated.iter_mut().for_each(|preset| self.show_address_of(preset));
        Ok(updated)
    }

    /// Puts the address of its webhook in, as the contract shows it.
    pub fn show_address_of(&self, preset: &mut LibraryAgentPreset) {
        preset.webhook.iter_mut().for_each(|webhook| self.show_address(webhook));
    }

    /// A run of what the preset holds.
    pub async fn command_of(&self, preset: &LibraryAgentPreset) -> Result<SubmitCommand, SubmitError> {
        let mut command = SubmitCommand {
            user_id: preset.user_id,
            graph_id: preset.graph_id,
            graph_version: Some(preset.graph_version),
            inputs: preset.inputs.clone(),
            credentials: preset.credentials.clone(),
            preset_id: Some(preset.id.to_string()),
            ..SubmitCommand::default()
        };
        if preset.webhook_id.is_some() {
            let ready = self.ready_graph(preset.graph_id, preset.graph_version).await?;
            self.configure(&ready, &mut command);
        }
        Ok(command)
    }

    /// A run of what the preset holds, with what was delivered on its triggers.
    pub(crate) async fn delivered_to(
        &self,
        preset: &LibraryAgentPreset,
        webhook: &Webhook,
        delivery: &Delivery,
    ) -> Result<SubmitCommand, SubmitError> {
        let ready = self.ready_graph(preset.graph_id, preset.graph_version).await?;
        let mut command = self.command_of(preset).await?;
        for node in triggers(&ready.graph, Some(&webhook.provider)) {
            let mask = command.masks.entry(node.id).or_default();
            mask.insert(PAYLOAD.to_owned(), Value::Object(delivery.payload.clone()));
        }
        let key = |name: &String| format!("webhook:{}:preset {}:{name}", webhook.id, preset.id);
        command.idempotency_key = delivery.id.as_ref().map(key);
        Ok(command)
    }

    /// Moves the configuration of the triggers from the inputs of a run to their pins.
    fn configure(&self, ready: &ReadyGraph, command: &mut SubmitCommand) {
        let mut taken = Vec::new();
        for node in triggers(&ready.graph, None) {
            let Some(block) = self.catalog.block(node.block_id) else { continue };
            let given = command.inputs.iter().filter(|(name, _)| is_configured(block, name));
            let mask: Map = given.map(|(name, value)| (name.clone(), value.clone())).collect();
            taken.extend(mask.keys().cloned());
            command.masks.entry(node.id).or_default().extend(mask);
        }
        for name in taken {
            command.inputs.shift_remove(&name);
        }
    }

    /// The provider of the graph's trigger, when a delivery could start a run of the preset.
    async fn check_trigger(&self, user_id: UserId, new: &NewPreset) -> Result<&'static str, SubmitError> {
        let mut command = SubmitCommand {
            user_id,
            graph_id: new.graph_id,
            graph_version: Some(new.graph_version),
            inputs: new.inputs.clone(),
            credentials: new.credentials.clone(),
            ..SubmitCommand::default()
        };
        self.check_access(user_id, new.graph_id, new.graph_version, command.origin).await?;
        let ready = self.ready_graph(new.graph_id, new.graph_version).await?;
        let trigger = triggers(&ready.graph, None).next();
        let described = trigger.and_then(|node| Some((provider(node.block_id)?, self.catalog.block(node.block_id)?)));
        let Some((provider, block)) = described else {
            return Err(SubmitError::Invalid(format!(
                "Graph #{} v{} has no trigger: a preset that events start needs a graph with a webhook block",
                new.graph_id, new.graph_version
            )));
        };
        check_configuration(block, &new.inputs)?;
        self.configure(&ready, &mut command);
        for node in triggers(&ready.graph, None) {
            let mask = command.masks.entry(node.id).or_default();
            mask.insert(PAYLOAD.to_owned(), Value::Object(Map::new()));
        }
        self.judge(&command).await?;
        Ok(provider)
    }
}

/// The nodes that deliveries start, of one provider or of any.
fn triggers<'a>(graph: &'a GraphModel, of: Option<&'a str>) -> impl Iterator<Item = &'a NodeModel> {
    let listens = move |node: &&NodeModel| provider(node.block_id).is_some_and(|provider| of.is_none_or(|of| of == provider));
    graph.nodes.iter().filter(listens)
}

/// Whether an input of a preset is for this pin of its trigger. The payload is the delivery's.
fn is_configured(block: &BlockDescriptor, name: &str) -> bool {
    name != PAYLOAD && !is_credentials(name) && block.input(name).is_some()
}

fn check_configuration(block: &BlockDescriptor, config: &Map) -> Result<(), SubmitError> {
    for pin in block.inputs.iter().filter(|pin| is_configured(block, pin.name)) {
        if let Some(value) = config.get(pin.name) {
            let tested = Check::compile(&pin.schema).test(value);
            tested.map_err(|misfit| SubmitError::Invalid(format!("trigger_config does not fit {}: {}", block.name, misfit.below(pin.name))))?;
        }
    }
    match config.keys().find(|name| !is_configured(block, name) && *name != PAYLOAD) {
        None => Ok(()),
        Some(unknown) => Err(SubmitError::Invalid(format!(
            "trigger_config does not fit {}: it has no setting '{unknown}'",
            block.name
        ))),
    }
}
