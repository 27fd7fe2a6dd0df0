//! An object at rest: its text, packed, and beside it the few facts that are asked of all objects again and again.
//!
//! A parsed object takes about 4 KB, and nearly all of ten thousand wait for a due time or are over. Objects of one kind are much alike, so a
//! text is written down as what differs from another one of its kind. Whoever looks at an object [opens](Kept::open) it.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use kube::api::ObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use lz4_flex::block::{DecompressError, compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

/// A kind that is kept so.
pub trait Keep:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static
{
    /// What is asked of all objects.
    type Facts: Clone + Default + Debug + Send + Sync + 'static;

    /// Leaves out what nobody here reads.
    fn slim(&mut self);

    /// What can be known without opening it, of the whole object.
    fn facts(&self) -> Self::Facts;
}

/// An object at rest. Only its name and namespace are in its metadata.
#[derive(Clone)]
pub struct Kept<K: Keep> {
    names: ObjectMeta,
    pub facts: K::Facts,
    packed: Packed,
}

#[derive(Clone, Default)]
struct Packed {
    text: Arc<[u8]>,
    /// The text that it is told by.
    model: Arc<[u8]>,
}

/// Why an object cannot be opened, which never happens to one that was packed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("its text cannot be unpacked: {0}")]
    Packed(#[from] DecompressError),
    #[error("its text cannot be read: {0}")]
    Text(#[from] serde_json::Error),
}

impl<K: Keep> Kept<K> {
    /// The whole object, as far as it is kept.
    pub fn open(&self) -> Result<K, OpenError> {
        let text = decompress_size_prepended_with_dict(&self.packed.text, &self.packed.model)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// The key under which an object is kept.
pub fn kept<K: Keep>(key: ObjectRef<K>) -> ObjectRef<Kept<K>> {
    let kept = ObjectRef::new(&key.name);
    match &key.namespace {
        Some(namespace) => kept.within(namespace),
        None => kept,
    }
}

/// Packs objects of one kind.
#[derive(Default)]
pub struct Packer {
    /// The text that the others are told by.
    model: Arc<[u8]>,
    /// How many were packed by it.
    uses: usize,
}

/// The beginning of a text serves as the model of others.
const LONGEST_MODEL: usize = 16 * 1024;
/// A model that serves badly is replaced, but only after so many: it lives as long as any that was packed by it.
const LEAST_USES: usize = 256;

impl Packer {
    /// Slims and packs an object.
    pub fn pack<K: Keep>(&mut self, mut object: K) -> Result<Kept<K>, serde_json::Error> {
        let facts = object.facts();
        object.slim();
        let text = serde_json::to_vec(&object)?;
        if self.model.is_empty() {
            self.adopt(&text);
        }
        let packed = compress_prepend_size_with_dict(&text, &self.model);
        let kept = Kept {
            names: names(&object),
            facts,
            packed: Packed {
                text: packed.into(),
                model: self.model.clone(),
            },
        };
        self.uses = self.uses.saturating_add(1);
        if kept.packed.text.len() > text.len() / 2 && self.uses >= LEAST_USES {
            self.adopt(&text);
        }
        Ok(kept)
    }

    fn adopt(&mut self, text: &[u8]) {
        self.model = text.get(..LONGEST_MODEL).unwrap_or(text).into();
        self.uses = 0;
    }
}

fn names<K: Keep>(object: &K) -> ObjectMeta {
    ObjectMeta {
        name: Some(object.name_any()),
        namespace: object.namespace(),
        ..ObjectMeta::default()
    }
}

impl<K: Keep> Resource for Kept<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.names
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.names
    }
}

impl<K: Keep> Debug for Kept<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { names, facts, packed } = self;
        write!(formatter, "{:?} {facts:?} and {} bytes", names.name, packed.text.len())
    }
}

/// What `Controller` asks of a kind, although it reads none itself.
impl<'de, K: Keep> Deserialize<'de> for Kept<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Packer::default().pack(K::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crds::GraphExecution;
    use serde_json::json;

    fn execution(number: usize) -> GraphExecution {
        serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution",
            "metadata": {"name": format!("e-{number}"), "namespace": "n", "uid": format!("u-{number}"), "labels": {"l": "v"}},
            "spec": {"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "inputs": {"ratio": 0.1, "b": number, "a": null}},
            "status": {"phase": "COMPLETED", "completionTime": "2026-01-01T00:00:00Z", "conditions": [
                {"type": "Succeeded", "status": "True", "reason": "Completed", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_packed_opens_as_it_was_and_takes_little_room() {
        let mut packer = Packer::default();
        for number in 0..3 * LEAST_USES {
            let object = execution(number);
            let kept = packer.pack(object.clone()).unwrap();
            assert_eq!(
                serde_json::to_value(kept.open().unwrap()).unwrap(),
                serde_json::to_value(&object).unwrap()
            );
            assert_eq!((kept.name_any(), kept.namespace()), (object.name_any(), object.namespace()));
            assert!(kept.packed.text.len() < 120, "{kept:?}");
        }
        assert_eq!(packer.uses, 3 * LEAST_USES, "one model serves all");
    }

    #[test]
    fn a_model_that_does_not_fit_is_replaced() {
        let mut packer = Packer::default();
        let mut bare = execution(0);
        bare.status = None;
        packer.pack(bare).unwrap();
        // Nothing in it repeats.
        let mut random = 1_u32;
        let text: String = std::iter::repeat_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + u8::try_from(random >> 24).unwrap() % 26)
        })
        .take(1000)
        .collect();
        let long = |number: usize| {
            let mut object = execution(number);
            object.spec.inputs = Some([("text".to_owned(), json!(text))].into_iter().collect());
            object
        };
        let sizes: Vec<usize> = (0..LEAST_USES + 1)
            .map(|number| packer.pack(long(number)).unwrap().packed.text.len())
            .collect();
        assert!(sizes[0] > 2 * sizes[LEAST_USES], "{} and {}", sizes[0], sizes[LEAST_USES]);
    }

    #[test]
    fn keys_are_the_same_whether_open_or_kept() {
        let object = execution(1);
        let row = Packer::default().pack(object.clone()).unwrap();
        assert_eq!(kept(ObjectRef::from_obj(&object)), ObjectRef::from_obj(&row));
    }
}
