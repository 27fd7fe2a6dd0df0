//! Reads rows of a table from text or a file.

use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};
use uuid::uuid;

use super::csv::{Dialect, Rows};
use super::{take_in, text_of, workbook};
use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::bounds::MOST_VALUES;
use crate::describe::{Describe, PinSpec, optional, output};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::python;

pub(crate) fn block() -> Acting {
    let text = |name, default: &str, about: &str| optional(name, PinType::Str, json!(default)).about(about);
    let flag = |name, default: bool, about: &str| optional(name, PinType::Bool, json!(default)).about(about);
    let source = |name, ty, about: &str| -> PinSpec { optional(name, PinType::optional(ty), Value::Null).basic().about(about) };
    let row = || PinType::dict(PinType::Str, PinType::Str);
    let descriptor = Describe::new(
        uuid!("acf7625e-d2cb-4941-bfeb-2819fc6fc015"),
        "ReadSpreadsheetBlock",
        "Reads the rows of a CSV or Excel table.",
    )
    .categories(&["DATA", "TEXT"])
    .input(source("contents", PinType::Str, "The table as text.").placeholder("a, b, c\n1,2,3\n4,5,6"))
    .input(source("file_input", PinType::File, "The table as a file; it wins over the text."))
    .input(text("delimiter", ",", "What separates the cells of a row."))
    .input(text("quotechar", "\"", "What encloses a cell that holds a delimiter."))
    .input(text("escapechar", "\\", "What takes the meaning from the character behind it."))
    .input(flag("has_header", true, "Whether the first row names the columns."))
    .input(optional("skip_rows", PinType::Int, json!(0)).about("How many rows to leave out behind the header."))
    .input(flag("strip", true, "Whether to drop white space around each cell."))
    .input(optional("skip_columns", PinType::list(PinType::Str), json!([])).about("Columns to leave out."))
    .input(flag(
        "produce_singular_result",
        false,
        "Whether to give each row by itself instead of all at once.",
    ))
    .output(output("row", row()).about("One row, by the names of its columns."))
    .output(output("rows", PinType::list(row())).about("All rows."));
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let text = source(&mut input, context).await?;
        let dialect = Dialect {
            delimiter: letter(&mut input, "delimiter")?,
            quote: letter(&mut input, "quotechar")?,
            escape: letter(&mut input, "escapechar")?,
        };
        let (has_header, strip, single) = (input.flag("has_header"), input.flag("strip"), input.flag("produce_singular_result"));
        let clean = |cell: &str| if strip { python::strip(cell).to_owned() } else { cell.to_owned() };
        let mut rows = Rows::new(&text, dialect);
        let mut next = || rows.next().transpose().map_err(|error| Failure::raised(error.to_string()));
        let past_end = || Failure::raised("generator raised StopIteration: the table has fewer rows than are to be skipped");
        let header: Option<Vec<String>> = match has_header {
            true => Some(next()?.ok_or_else(past_end)?.iter().map(|name| clean(name)).collect()),
            false => None,
        };
        for _ in 0..input.integer("skip_rows") {
            next()?.ok_or_else(past_end)?;
        }
        let mut table = Vec::new();
        let mut cells_taken = 0_usize;
        while let Some(cells) = next()? {
            let mut row = Map::new();
            for (index, cell) in cells.iter().enumerate() {
                let name = match &header {
                    Some(names) => names.get(index).cloned().ok_or_else(|| Failure::raised("list index out of range"))?,
                    None => index.to_string(),
                };
                row.insert(name, Value::from(clean(cell)));
            }
            cells_taken = cells_taken.saturating_add(cells.len().max(1));
            if single {
                out.emit("row", row).await?;
            } else if cells_taken > MOST_VALUES {
                let text = format!("The table has more than {MOST_VALUES} cells: let the block give each row by itself (produce_singular_result)");
                return Err(Failure::reported(text));
            } else {
                table.push(Value::Object(row));
            }
        }
        if single { Ok(()) } else { out.emit("rows", table).await }
    })
}

async fn source(input: &mut Inputs, context: &BlockContext) -> Result<String, Failure> {
    if let Some(source) = input.optional_text("file_input").filter(|source| !source.is_empty()) {
        let file = take_in(context, &source).await?;
        return if workbook::is_workbook(&file.name) {
            let read = tokio::task::spawn_blocking(move || workbook::to_csv(file.content)).await;
            read.unwrap_or_else(|_| Err("the workbook cannot be read".to_owned()))
                .map_err(Failure::Raised)
        } else {
            Ok(text_of(file.content))
        };
    }
    input
        .optional_text("contents")
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Failure::raised("Either the contents or a file is needed"))
}

/// An option that is one character.
fn letter(input: &mut Inputs, name: &str) -> Result<char, Failure> {
    let text = input.text(name);
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok(letter),
        _ => Err(Failure::raised(format!("\"{name}\" must be a 1-character string"))),
    }
}
