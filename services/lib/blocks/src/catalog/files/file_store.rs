//! Takes a file into the folder of the run.

use engine::types::PinType;
use serde_json::json;
use uuid::uuid;

use super::{passed_on, take_in};
use crate::acting::{Acted, Acting};
use crate::block::BlockContext;
use crate::describe::{Describe, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

pub(crate) fn block() -> Acting {
    let descriptor = Describe::new(
        uuid!("cbb50872-625b-42f0-8203-a2ae78242d8a"),
        "FileStoreBlock",
        "Stores a file in the folder of the run.",
    )
    .categories(&["BASIC", "MULTIMEDIA"])
    .static_output()
    .input(required("file_in", PinType::File).about("The file: a URL, a data URI or a file of this run."))
    .input(optional("base_64", PinType::Bool, json!(false)).about("Whether to pass the content on, as a data URI, instead of the name."))
    .output(output("file_out", PinType::File).about("The stored file."));
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let file = take_in(context, &input.text("file_in")).await?;
        out.emit("file_out", passed_on(file, input.flag("base_64"))).await
    })
}
