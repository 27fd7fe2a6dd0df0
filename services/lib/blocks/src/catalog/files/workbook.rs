//! Spreadsheets of office programs as delimited text.
//!
//! A workbook of a few kilobytes may say that it has milliards of cells, or unpack to milliards of bytes; what reads it believes that and
//! asks for the memory. So it is measured first.

use std::io::{self, Cursor, Read};

use calamine::{Cell, Data, DataRef, Range, Reader, Xls, Xlsx};
use zip::ZipArchive;

use crate::bounds::MOST_VALUES;

/// Bytes of all parts of a workbook when they are unpacked.
const MOST_UNPACKED: u64 = 100 << 20;
/// What a compound file, and so a workbook of the older kind, begins with.
const COMPOUND: [u8; 4] = [0xd0, 0xcf, 0x11, 0xe0];

/// Whether the name is that of a workbook.
pub(super) fn is_workbook(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.ends_with(".xlsx") || name.ends_with(".xls")
}

/// The first sheet as text with commas and quotes.
pub(super) fn to_csv(content: Vec<u8>) -> Result<String, String> {
    let sheet = if content.starts_with(&COMPOUND) {
        older(content)?
    } else {
        newer(content)?
    };
    let mut text = String::new();
    for row in sheet.rows() {
        let cells: Vec<String> = row.iter().map(cell).collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    Ok(text)
}

fn unreadable(error: impl std::fmt::Display) -> String {
    format!("the workbook cannot be read: {error}")
}

fn too_large() -> String {
    format!("the workbook has a sheet of more than {MOST_VALUES} cells, from the first one in use to the last: move its parts together")
}

/// The first sheet of an `.xlsx`.
fn newer(content: Vec<u8>) -> Result<Range<Data>, String> {
    check_unpacked(&content)?;
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(content)).map_err(unreadable)?;
    let first = book.sheet_names().first().cloned().ok_or("the workbook has no sheet")?;
    let unreadable = |error: calamine::XlsxError| format!("the first sheet cannot be read: {error}");
    let mut reader = book.worksheet_cells_reader(&first).map_err(unreadable)?;
    let (mut cells, mut area) = (Vec::new(), Area::default());
    while let Some(cell) = reader.next_cell().map_err(unreadable)? {
        let (row, column) = cell.get_position();
        if !matches!(cell.get_value(), DataRef::Empty) {
            area.take_in(row, column);
            if area.size() > MOST_VALUES as u64 {
                return Err(too_large());
            }
            cells.push(Cell::new((row, column), Data::from(cell.get_value().clone())));
        }
    }
    Ok(Range::from_sparse(cells))
}

/// Unpacks everything once: what an archive says about its sizes is not to be believed, nor what it says about the number of its texts.
fn check_unpacked(content: &[u8]) -> Result<(), String> {
    let mut archive = ZipArchive::new(Cursor::new(content)).map_err(unreadable)?;
    let mut left = MOST_UNPACKED;
    for index in 0..archive.len() {
        let part = archive.by_index(index).map_err(unreadable)?;
        let holds_texts = part.name().map_err(unreadable)?.to_ascii_lowercase().contains("sharedstrings");
        let (mut part, mut texts) = (part.take(left + 1), Vec::new());
        let size = if holds_texts {
            part.read_to_end(&mut texts).map(|size| size as u64)
        } else {
            io::copy(&mut part, &mut io::sink())
        };
        left = left
            .checked_sub(size.map_err(unreadable)?)
            .ok_or_else(|| format!("the workbook has more than {} MiB when it is unpacked", MOST_UNPACKED >> 20))?;
        if counts(&texts).any(|count| count > MOST_VALUES) {
            return Err(format!("the workbook says that it has more than {MOST_VALUES} texts"));
        }
    }
    Ok(())
}

/// Every number of texts that a part tells.
fn counts(texts: &[u8]) -> impl Iterator<Item = usize> {
    const NAME: &[u8] = b"uniqueCount";
    let places = texts.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    places.map(|(place, _)| {
        let behind = texts.get(place + NAME.len()..).unwrap_or_default().iter();
        let digits = behind.skip_while(|byte| !byte.is_ascii_digit()).take_while(|byte| byte.is_ascii_digit());
        digits.fold(0_usize, |count, digit| count.saturating_mul(10).saturating_add(usize::from(digit - b'0')))
    })
}

/// The first sheet of an `.xls`.
fn older(content: Vec<u8>) -> Result<Range<Data>, String> {
    check_records(&content)?;
    let mut book: Xls<_> = Xls::new(Cursor::new(content)).map_err(unreadable)?;
    let sheet = book.worksheet_range_at(0).ok_or("the workbook has no sheet")?;
    sheet.map_err(|error| format!("the first sheet cannot be read: {error}"))
}

/// Looks where the cells of all sheets are: all are read, whichever is wanted.
fn check_records(content: &[u8]) -> Result<(), String> {
    let mut file = cfb::CompoundFile::open(Cursor::new(content)).map_err(unreadable)?;
    let name = ["/Workbook", "/Book"].into_iter().find(|name| file.is_stream(name));
    let mut records = Vec::new();
    let mut stream = file
        .open_stream(name.ok_or("the workbook cannot be read: it is none")?)
        .map_err(unreadable)?;
    stream.read_to_end(&mut records).map_err(unreadable)?;
    let (mut area, mut left) = (Area::default(), MOST_VALUES as u64);
    let mut rest = records.as_slice();
    while let [kind_low, kind_high, length_low, length_high, after @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*length_low, *length_high]));
        let Some((data, next)) = after.split_at_checked(length) else { break };
        rest = next;
        let number = |at: usize| data.get(at..at + 2).map(|bytes| u32::from(u16::from_le_bytes([bytes[0], bytes[1]])));
        match u16::from_le_bytes([*kind_low, *kind_high]) {
            // The beginning of a sheet, or of something else: each has an area of its own.
            0x0809 => {
                left = left.checked_sub(area.size()).ok_or_else(too_large)?;
                area = Area::default();
            }
            // How large the sheet says that it is: first and last row, first and last column behind.
            0x0200 => {
                let wide = |at: usize| {
                    data.get(at..at + 4)
                        .map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
                };
                let corners = if length == 10 {
                    (number(0), number(2), number(4), number(6))
                } else {
                    (wide(0), wide(4), number(8), number(10))
                };
                if let (Some(top), Some(bottom), Some(before), Some(behind)) = corners {
                    area.take_in(top.min(bottom), before.min(behind));
                    area.take_in(top.max(bottom), before.max(behind));
                }
            }
            // Cells: formulas, texts, numbers, truth values, several numbers in a row.
            0x0006 | 0x00d6 | 0x00fd | 0x00bd | 0x0203 | 0x0204 | 0x0205 | 0x027e => {
                if let (Some(row), Some(column), Some(last)) = (number(0), number(2), length.checked_sub(2).and_then(number)) {
                    area.take_in(row, column);
                    area.take_in(row, if *kind_low == 0xbd { last } else { column });
                }
            }
            _ => {}
        }
        if area.size() > left {
            return Err(too_large());
        }
    }
    Ok(())
}

/// The rectangle around cells.
#[derive(Default)]
struct Area(Option<[(u32, u32); 2]>);

impl Area {
    fn take_in(&mut self, row: u32, column: u32) {
        let [(top, left), (bottom, right)] = self.0.unwrap_or([(row, column); 2]);
        self.0 = Some([(top.min(row), left.min(column)), (bottom.max(row), right.max(column))]);
    }

    fn size(&self) -> u64 {
        let side = |from: u32, to: u32| u64::from(to - from) + 1;
        self.0
            .map_or(0, |[(top, left), (bottom, right)]| side(top, bottom).saturating_mul(side(left, right)))
    }
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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::to_csv;

    /// A workbook of one sheet with these cells.
    fn xlsx(cells: &str) -> Vec<u8> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let office = "http://schemas.openxmlformats.org";
        let parts = [
            ("[Content_Types].xml", format!("<Types xmlns=\"{office}/package/2006/content-types\"/>")),
            (
                "_rels/.rels",
                format!(
                    "<Relationships xmlns=\"{office}/package/2006/relationships\"><Relationship Id=\"r1\" \
                     Type=\"{office}/officeDocument/2006/relationships/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/workbook.xml",
                format!(
                    "<workbook xmlns=\"{office}/spreadsheetml/2006/main\" xmlns:r=\"{office}/officeDocument/2006/relationships\">\
                     <sheets><sheet name=\"One\" sheetId=\"1\" r:id=\"r1\"/></sheets></workbook>"
                ),
            ),
            (
                "xl/_rels/workbook.xml.rels",
                format!(
                    "<Relationships xmlns=\"{office}/package/2006/relationships\"><Relationship Id=\"r1\" \
                     Type=\"{office}/officeDocument/2006/relationships/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
                ),
            ),
            (
                "xl/worksheets/sheet1.xml",
                format!("<worksheet xmlns=\"{office}/spreadsheetml/2006/main\"><sheetData>{cells}</sheetData></worksheet>"),
            ),
        ];
        for (name, text) in parts {
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    /// A workbook of the older kind with these records.
    fn xls(records: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
        let mut stream = file.create_stream("/Workbook").unwrap();
        for (kind, data) in records {
            stream.write_all(&kind.to_le_bytes()).unwrap();
            stream.write_all(&u16::try_from(data.len()).unwrap().to_le_bytes()).unwrap();
            stream.write_all(data).unwrap();
        }
        stream.flush().unwrap();
        drop(stream);
        file.into_inner().into_inner()
    }

    #[test]
    fn a_small_sheet_is_read() {
        let row = |number: u32, cells: &str| format!("<row r=\"{number}\">{cells}</row>");
        let cells = row(1, "<c r=\"A1\"><v>1</v></c><c r=\"C1\" t=\"str\"><v>a,b</v></c>") + &row(3, "<c r=\"B3\"><v>2.5</v></c>");
        assert_eq!(to_csv(xlsx(&cells)).unwrap(), "1,,\"a,b\"\n,,\n,2.5,\n");
        assert_eq!(to_csv(xlsx("")).unwrap(), "");
        assert!(to_csv(b"no workbook at all".to_vec()).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn cells_far_apart_are_too_large_a_sheet() {
        let corners = "<row r=\"1\"><c r=\"A1\"><v>1</v></c></row><row r=\"1048576\"><c r=\"XFD1048576\"><v>1</v></c></row>";
        assert!(to_csv(xlsx(corners)).unwrap_err().contains("more than 2000000 cells"));
        let number = |row: u16, column: u16| {
            let mut data = [row.to_le_bytes(), column.to_le_bytes(), [0, 0]].concat();
            data.extend(1.0_f64.to_le_bytes());
            (0x0203, data)
        };
        let begin = || (0x0809, vec![0, 6, 0x10, 0, 0, 0, 0, 0]);
        let end = || (0x000a, Vec::new());
        let refused = |records: &[(u16, Vec<u8>)]| to_csv(xls(records)).unwrap_err();
        assert!(refused(&[begin(), number(0, 0), number(65_535, 65_535), end()]).contains("more than 2000000 cells"));
        let says = [vec![0; 4], vec![0xff; 4], vec![0, 0, 0xff, 0, 0, 0]].concat();
        assert!(refused(&[begin(), (0x0200, says), end()]).contains("more than 2000000 cells"));
        let many: Vec<_> = (0..40).flat_map(|_| [begin(), number(0, 0), number(400, 254), end()]).collect();
        assert!(refused(&many).contains("more than 2000000 cells"), "all sheets together");
    }

    #[test]
    fn a_number_of_texts_is_not_believed() {
        let texts =
            |count: &str| format!("<sst xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" count=\"1\" uniqueCount={count}/>");
        assert_eq!(super::counts(texts("'12'").as_bytes()).collect::<Vec<_>>(), [12]);
        let mut archive = ZipWriter::new_append(Cursor::new(xlsx(""))).unwrap();
        archive.start_file("xl/sharedStrings.xml", SimpleFileOptions::default()).unwrap();
        archive.write_all(texts("\"999999999999\"").as_bytes()).unwrap();
        let packed = archive.finish().unwrap().into_inner();
        assert!(to_csv(packed).unwrap_err().contains("more than 2000000 texts"));
    }

    #[test]
    fn what_unpacks_to_too_much_is_not_unpacked() {
        let row = format!("<row r=\"1\"><c r=\"A1\" t=\"str\"><v>{}</v></c></row>", "x".repeat(101 << 20));
        let packed = xlsx(&row);
        assert!(packed.len() < 1 << 20, "{}", packed.len());
        assert!(to_csv(packed).unwrap_err().contains("100 MiB when it is unpacked"));
    }
}
