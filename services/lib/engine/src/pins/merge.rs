//! Writing: flattened inputs put together again.

use std::collections::HashSet;

use indexmap::IndexMap;
use model::Map;
use serde_json::Value;

use super::{Access, MAX_LIST, MAX_PADDING, PinError, Step, base_name, split};
use crate::text::{Index, parse_index};
use crate::value::MAX_DEPTH;

/// Rebuilds what flattened names describe. Flattened keys stay, merged bases stand beside them; a plain key that comes
/// after a flattened one of the same base wins (finding 8).
pub fn merge_inputs(mut data: Map) -> Result<Map, PinError> {
    let bases: HashSet<&str> = data.keys().filter_map(|name| split(name)).map(|(base, _)| base).collect();
    if bases.is_empty() {
        return Ok(data);
    }
    let mut merge = Merge::default();
    let mut merged: IndexMap<String, Slot> = IndexMap::new();
    for (name, value) in &data {
        match split(name) {
            Some((base, path)) => {
                let slot = merged.entry(base.to_owned()).or_insert_with(Slot::null);
                merge.write(slot, &path, Flattened { name, value })?;
            }
            None if bases.contains(name.as_str()) => {
                let plain = Slot::Given(value.clone(), None);
                if let Some(replaced) = merged.insert(name.clone(), plain) {
                    merge.remember(&replaced);
                }
            }
            None => {}
        }
    }
    for slot in merged.values() {
        merge.remember(slot);
    }
    for (name, value) in merge.grown {
        data.insert(name, value);
    }
    for (base, slot) in merged {
        data.insert(base, slot.into_value());
    }
    Ok(data)
}

/// A container under construction. Objects made of attributes are told apart from maps: keys and indices do not fit them (finding 7).
///
/// A container that a flattened input brought is shared with that input: what is written into it later shows there too. The second
/// field names that input.
#[derive(Debug)]
enum Slot {
    Given(Value, Option<String>),
    List(Vec<Slot>, Option<String>),
    Dict(IndexMap<String, Slot>, Option<String>),
    Object(IndexMap<String, Slot>),
}

impl Slot {
    fn null() -> Self {
        Self::Given(Value::Null, None)
    }

    fn given(value: Value) -> Self {
        Self::Given(value, None)
    }

    fn into_value(self) -> Value {
        match self {
            Self::Given(value, _) => value,
            Self::List(items, _) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Dict(entries, _) | Self::Object(entries) => {
                Value::Object(entries.into_iter().map(|(key, slot)| (key, slot.into_value())).collect())
            }
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Given(value, _) => value.clone(),
            Self::List(items, _) => Value::Array(items.iter().map(Self::to_value).collect()),
            Self::Dict(entries, _) | Self::Object(entries) => {
                Value::Object(entries.iter().map(|(key, slot)| (key.clone(), slot.to_value())).collect())
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Flattened<'a> {
    name: &'a str,
    value: &'a Value,
}

#[derive(Default)]
struct Merge {
    /// Flattened inputs whose own container was written into, with what it became.
    grown: Vec<(String, Value)>,
    padding: usize,
}

impl Merge {
    fn write(&mut self, slot: &mut Slot, path: &[Step<'_>], input: Flattened<'_>) -> Result<(), PinError> {
        if path.len() > MAX_DEPTH {
            return Err(PinError::TooDeep(base_name(input.name).to_owned()));
        }
        let mut target = slot;
        for (access, identifier) in path {
            target = match access {
                Access::List => self.list_element(target, identifier, input.name)?,
                Access::Dict => self.dict_entry(target, identifier, input.name)?,
                Access::Object => self.object_attribute(target, identifier),
            };
        }
        let replaced = std::mem::replace(target, Slot::Given(input.value.clone(), Some(input.name.to_owned())));
        self.remember(&replaced);
        Ok(())
    }

    /// Keeps what shared containers of a slot have become; called before the slot goes.
    fn remember(&mut self, slot: &Slot) {
        if let Slot::List(_, Some(name)) | Slot::Dict(_, Some(name)) = slot {
            self.grown.push((name.clone(), slot.to_value()));
        }
        match slot {
            Slot::Given(..) => {}
            Slot::List(items, _) => items.iter().for_each(|item| self.remember(item)),
            Slot::Dict(entries, _) | Slot::Object(entries) => entries.values().for_each(|entry| self.remember(entry)),
        }
    }

    fn list_element<'s>(&mut self, slot: &'s mut Slot, identifier: &str, name: &str) -> Result<&'s mut Slot, PinError> {
        let index = parse_index(identifier).ok_or_else(|| PinError::NotAnInteger(identifier.to_owned()))?;
        let items = self.as_list(slot, name)?;
        let out_of_range = || PinError::OutOfRange(identifier.to_owned());
        let position = match index {
            Index::FromStart(position) if position >= MAX_LIST.max(items.len()) => return Err(PinError::TooLong(identifier.to_owned())),
            Index::FromStart(position) => position,
            Index::FromEnd(distance) => items.len().checked_sub(distance).ok_or_else(out_of_range)?,
        };
        if items.len() <= position {
            self.padding += position - items.len();
            if self.padding > MAX_PADDING {
                return Err(PinError::TooMuchPadding);
            }
            items.resize_with(position + 1, Slot::null);
        }
        items.get_mut(position).ok_or_else(out_of_range)
    }

    /// The slot as a list: a map gives its keys, text its characters, anything else begins anew.
    fn as_list<'s>(&mut self, slot: &'s mut Slot, name: &str) -> Result<&'s mut Vec<Slot>, PinError> {
        let text = |content: String| Slot::given(Value::String(content));
        let replaced = std::mem::replace(slot, Slot::null());
        if !matches!(replaced, Slot::List(..)) {
            self.remember(&replaced);
        }
        *slot = match replaced {
            Slot::List(items, origin) => Slot::List(items, origin),
            Slot::Given(Value::Array(items), origin) => Slot::List(items.into_iter().map(Slot::given).collect(), origin),
            Slot::Dict(entries, _) => Slot::List(entries.into_keys().map(text).collect(), None),
            Slot::Given(Value::Object(entries), _) => Slot::List(entries.into_iter().map(|(key, _)| text(key)).collect(), None),
            Slot::Given(Value::String(content), _) => Slot::List(content.chars().map(|c| text(c.to_string())).collect(), None),
            Slot::Given(..) => Slot::List(Vec::new(), None),
            Slot::Object(_) => return Err(PinError::Mixed(name.to_owned())),
        };
        match slot {
            Slot::List(items, _) => Ok(items),
            _ => Err(PinError::Mixed(name.to_owned())),
        }
    }

    fn dict_entry<'s>(&mut self, slot: &'s mut Slot, identifier: &str, name: &str) -> Result<&'s mut Slot, PinError> {
        let replaced = std::mem::replace(slot, Slot::null());
        if !matches!(replaced, Slot::Dict(..)) {
            self.remember(&replaced);
        }
        *slot = match replaced {
            Slot::Dict(entries, origin) => Slot::Dict(entries, origin),
            Slot::Given(Value::Object(entries), origin) => {
                Slot::Dict(entries.into_iter().map(|(key, value)| (key, Slot::given(value))).collect(), origin)
            }
            Slot::Object(_) => return Err(PinError::Mixed(name.to_owned())),
            _ => Slot::Dict(IndexMap::new(), None),
        };
        match slot {
            Slot::Dict(entries, _) => Ok(entries.entry(identifier.to_owned()).or_insert_with(Slot::null)),
            _ => Err(PinError::Mixed(name.to_owned())),
        }
    }

    fn object_attribute<'s>(&mut self, slot: &'s mut Slot, identifier: &str) -> &'s mut Slot {
        if !matches!(slot, Slot::Object(_)) {
            let replaced = std::mem::replace(slot, Slot::Object(IndexMap::new()));
            self.remember(&replaced);
        }
        match slot {
            Slot::Object(entries) => entries.entry(identifier.to_owned()).or_insert_with(Slot::null),
            other => other,
        }
    }
}
