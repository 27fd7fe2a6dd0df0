//! Spreadsheets of office programs as delimited text.

use std::io::Cursor;

use calamine::{Data, Reader, open_workbook_auto_from_rs};

/// Whether the name is that of a workbook.
pub(super) fn is_workbook(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".xlsx") || name.ends_with(".xls")
}

/// The first sheet as text with commas and quotes.
pub(super) fn to_csv(content: Vec<u8>) -> Result<String, String> {
    let mut book = open_workbook_auto_from_rs(Cursor::new(content)).map_err(|error| format!("the workbook cannot be read: {error}"))?;
    let sheet = book
        .worksheet_range_at(0)
        .ok_or("the workbook has no sheet")?
        .map_err(|error| format!("the first sheet cannot be read: {error}"))?;
    let mut text = String::new();
    for row in sheet.rows() {
        let cells: Vec<String> = row.iter().map(cell).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    Ok(text)
}

fn cell(data: &Data) -> String {
    let text = match data {
        Data::Float(number) if number.fract() == 0.0 && number.abs() < 1e15 => format!("{number:.0}"),
        other => other.to_string(),
    };
    if text.contains(['"', ',', '\n', '\r', '\\']) {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
    } else {
        text
    }
}
