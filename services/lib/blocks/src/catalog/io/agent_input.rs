//! The inputs of a graph: one block for any value and one for each kind of value that the run form knows.
//!
//! All pass `value` on as `result`, and nothing when there is none, so that what depends on it never starts.

use std::sync::Arc;

use engine::block::BlockKind;
use engine::types::PinType;
use model::BlockId;
use serde_json::{Value, json};
use uuid::uuid;

use super::moments;
use crate::acting::{Acted, Acting};
use crate::block::{Block, BlockContext, Failure};
use crate::catalog::files;
use crate::checks::Declared;
use crate::describe::{Describe, PinSpec, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::{Body, Immediate, Inputs, Outputs};

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    let variants = [
        any(),
        short_text(),
        long_text(),
        number(),
        date(),
        time(),
        toggle(),
        dropdown(),
        table(),
        drive_file(),
    ];
    let mut blocks: Vec<Arc<dyn Block>> = variants
        .into_iter()
        .map(|variant| Arc::new(variant.into_block()) as Arc<dyn Block>)
        .collect();
    blocks.push(Arc::new(Acting::new(file().declared().0, take_file)));
    blocks
}

/// What distinguishes the blocks of the family.
struct Variant {
    id: BlockId,
    name: &'static str,
    about: &'static str,
    value: PinSpec,
    /// Pins that this block declares or re-declares besides `value`, by name.
    own: Vec<PinSpec>,
    /// The base of the family, whose pins are all its own.
    is_base: bool,
    result: PinSpec,
    body: Body,
}

impl Variant {
    fn new(id: BlockId, name: &'static str, about: &'static str, value: PinSpec, result: PinSpec) -> Self {
        let (own, is_base, body) = (Vec::new(), false, pass_on as Body);
        Self {
            id,
            name,
            about,
            value,
            own,
            is_base,
            result,
            body,
        }
    }

    fn into_block(self) -> Immediate {
        let (declared, body) = self.declared();
        Immediate::new(declared, body)
    }

    fn declared(self) -> (Declared, Body) {
        let text = || PinType::optional(PinType::Str);
        let flag = |name, about: &str| optional(name, PinType::Bool, json!(false)).about(about);
        let name = required("name", PinType::Str).about("The name of the input.");
        let common = [
            optional("title", text(), Value::Null).about("The title of the input."),
            optional("description", text(), Value::Null).about("What the input is."),
            optional("placeholder_values", PinType::list(PinType::Any), json!([]))
                .about("Values to offer.")
                .hidden(),
            flag("advanced", "Whether to fold the input away when it has a default."),
            flag("secret", "Whether to hide what is typed."),
        ];
        // Only what a class declares itself is converted (internals §2.5 step 5).
        let of_base = |pin: PinSpec| if self.is_base { pin } else { pin.inherited() };
        let mut own = self.own;
        let mut inputs = vec![of_base(name), self.value.basic()];
        for pin in common {
            let redeclared = own.iter().position(|own| own.name() == pin.name());
            inputs.push(redeclared.map_or_else(|| of_base(pin), |index| own.remove(index)));
        }
        let descriptor = Describe::new(self.id, self.name, self.about)
            .categories(&["BASIC", "INPUT"])
            .kind(BlockKind::Input)
            .static_output()
            .without_error()
            .inputs(inputs)
            .inputs(own)
            .output(self.result.about("The value."));
        (descriptor.build(), self.body)
    }
}

fn value(ty: PinType) -> PinSpec {
    optional("value", PinType::optional(ty), Value::Null).about("The value, or the default of the run form.")
}

fn result(ty: PinType) -> PinSpec {
    output("result", ty)
}

fn pass_on(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    if let Some(value) = input.optional("value") {
        out.emit("result", value);
    }
    Ok(())
}

fn any() -> Variant {
    let id = uuid!("c0a8e994-ebf1-4a9c-a4d8-89d09c86741b");
    let base = Variant::new(
        id,
        "AgentInputBlock",
        "An input of the agent, of any type.",
        value(PinType::Any),
        result(PinType::Any),
    );
    Variant { is_base: true, ..base }
}

fn short_text() -> Variant {
    let id = uuid!("7fcd3bcb-8e1b-4e69-903d-32d3d4a92158");
    Variant::new(
        id,
        "AgentShortTextInputBlock",
        "A short text input.",
        value(PinType::ShortText),
        result(PinType::Str),
    )
}

fn long_text() -> Variant {
    let id = uuid!("90a56ffb-7024-4b2b-ab50-e26c5e5ab8ba");
    Variant::new(
        id,
        "AgentLongTextInputBlock",
        "A text input of several lines.",
        value(PinType::LongText),
        result(PinType::Str),
    )
}

fn number() -> Variant {
    let id = uuid!("96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98");
    Variant::new(
        id,
        "AgentNumberInputBlock",
        "A whole number input.",
        value(PinType::Int),
        result(PinType::Int),
    )
}

/// A nullable text in a format of its own, never converted.
fn moment(format: &str) -> PinSpec {
    value(PinType::Opaque).schema(json!({ "anyOf": [{ "type": "string", "format": format }, { "type": "null" }] }))
}

fn date() -> Variant {
    let id = uuid!("7e198b09-4994-47db-8b4d-952d98241817");
    let result = result(PinType::Opaque).schema(json!({ "type": "string", "format": "date" }));
    let variant = Variant::new(id, "AgentDateInputBlock", "A date input.", moment("date"), result);
    Variant {
        body: |input, out| pass_moment(input, out, moments::date),
        ..variant
    }
}

fn time() -> Variant {
    let id = uuid!("2a1c757e-86cf-4c7e-aacf-060dc382e434");
    let result = result(PinType::Opaque).schema(json!({ "type": "string", "format": "time" }));
    let variant = Variant::new(id, "AgentTimeInputBlock", "A time of day input.", moment("time"), result);
    Variant {
        body: |input, out| pass_moment(input, out, moments::time),
        ..variant
    }
}

fn pass_moment(mut input: Inputs, out: &mut Outputs, read: fn(&str) -> Option<String>) -> Result<(), Failure> {
    if let Some(text) = input.optional_text("value") {
        out.emit(
            "result",
            read(&text).ok_or_else(|| Failure::raised(format!("Input should be a valid date or time: {text}")))?,
        );
    }
    Ok(())
}

fn toggle() -> Variant {
    let id = uuid!("cbf36ab5-df4a-43b6-8a7f-f7ed8652116e");
    let value = optional("value", PinType::Bool, json!(false)).about("The value, or the default of the run form.");
    Variant::new(id, "AgentToggleInputBlock", "A yes-or-no input.", value, result(PinType::Bool))
}

fn dropdown() -> Variant {
    let id = uuid!("655d6fdf-a334-421c-b733-520549c07cd1");
    let choices = optional("placeholder_values", PinType::list(PinType::Any), json!([]))
        .basic()
        .about("The choices.");
    let variant = Variant::new(
        id,
        "AgentDropdownInputBlock",
        "A choice from a list.",
        value(PinType::Str),
        result(PinType::Str),
    );
    Variant {
        own: vec![choices],
        ..variant
    }
}

fn table() -> Variant {
    let id = uuid!("5603b273-f41e-4020-af7d-fbc9c6a8d928");
    let rows = || PinType::list(PinType::object());
    let headers = optional("column_headers", PinType::list(PinType::Str), json!([]))
        .basic()
        .about("The headers of the columns.");
    let variant = Variant::new(
        id,
        "AgentTableInputBlock",
        "A table input.",
        value(rows()).extra("format", "table"),
        result(rows()),
    );
    Variant {
        own: vec![headers],
        body: pass_rows,
        ..variant
    }
}

fn pass_rows(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    out.emit("result", input.list("value"));
    Ok(())
}

fn file() -> Variant {
    let id = uuid!("95ead23f-8283-4654-aef3-10c053b74a31");
    let content = optional("base_64", PinType::Bool, json!(false)).about("Whether to pass the content on, as a data URI, instead of the name.");
    let variant = Variant::new(id, "AgentFileInputBlock", "A file input.", value(PinType::File), result(PinType::Str));
    Variant {
        own: vec![content],
        ..variant
    }
}

fn take_file<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let Some(source) = input.optional_text("value").filter(|source| !source.is_empty()) else {
            return Ok(());
        };
        let file = files::take_in(context, &source).await?;
        out.emit("result", files::passed_on(file, input.flag("base_64"))).await
    })
}

/// The keys of a picked file; all but `id` may be null.
const FILE_KEYS: [&str; 7] = ["id", "name", "mimeType", "url", "iconUrl", "isFolder", "_credentials_id"];

fn drive_file() -> Variant {
    let id = uuid!("d3b32f15-6fd7-40e3-be52-e083f51b19a2");
    let views = PinType::list(PinType::literal([
        "DOCS",
        "DOCUMENTS",
        "SPREADSHEETS",
        "PRESENTATIONS",
        "DOCS_IMAGES",
        "FOLDERS",
    ]));
    let picked = value(PinType::Opaque)
        .schema(json!({ "anyOf": [file_schema(), { "type": "null" }] }))
        .extra("format", "google-drive-picker");
    let own = vec![
        optional("allowed_views", views, json!([])).basic().about("What the picker shows."),
        optional("allow_folder_selection", PinType::Bool, json!(false)).about("Whether folders may be picked."),
    ];
    let result = result(PinType::Opaque).schema(file_schema());
    let variant = Variant::new(id, "AgentGoogleDriveFileInputBlock", "A file picked from Google Drive.", picked, result);
    Variant {
        own,
        body: pass_file,
        ..variant
    }
}

fn file_schema() -> Value {
    let text = || json!({ "anyOf": [{ "type": "string" }, { "type": "null" }], "default": null });
    let mut properties: model::Map = FILE_KEYS.iter().map(|key| ((*key).to_owned(), text())).collect();
    properties.insert("id".to_owned(), json!({ "type": "string" }));
    properties.insert(
        "isFolder".to_owned(),
        json!({ "anyOf": [{ "type": "boolean" }, { "type": "null" }], "default": null }),
    );
    json!({ "type": "object", "properties": properties, "required": ["id"] })
}

fn pass_file(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let Some(Value::Object(mut file)) = input.optional("value") else {
        return Ok(());
    };
    let complete: model::Map = FILE_KEYS
        .iter()
        .map(|key| ((*key).to_owned(), file.swap_remove(*key).unwrap_or_default()))
        .collect();
    out.emit("result", complete);
    Ok(())
}
