//! Python's `csv.reader`, without strictness: rows of delimited text, with quotes and an escape character.

/// The characters with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub delimiter: char,
    pub quote: char,
    pub escape: char,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    StartRow,
    StartField,
    Field,
    Quoted,
    /// Behind a quote inside a quoted field: its end, or half of a doubled quote.
    QuoteInQuoted,
    Escaped,
    EscapedInQuoted,
    /// Behind a carriage return: only the end of the line may follow.
    LineEnd,
}

/// Reads rows one by one.
pub(super) struct Rows<'a> {
    dialect: Dialect,
    lines: std::str::SplitInclusive<'a, char>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self {
            dialect,
            lines: text.split_inclusive('\n'),
        }
    }
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("new-line character seen in unquoted field - do you need to open the file in universal-newline mode?")]
pub(super) struct BareReturn;

impl Iterator for Rows<'_> {
    type Item = Result<Vec<String>, BareReturn>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = Row::default();
        loop {
            let Some(line) = self.lines.next() else {
                // A text that ends inside a quoted field is taken as it is.
                let unfinished = matches!(row.state, State::Quoted | State::EscapedInQuoted) || !row.field.is_empty();
                return unfinished.then(|| Ok(row.finish()));
            };
            for letter in line.chars() {
                if let Err(error) = row.take(letter, self.dialect) {
                    return Some(Err(error));
                }
            }
            if row.end_of_line() {
                return Some(Ok(row.fields));
            }
        }
    }
}

struct Row {
    state: State,
    fields: Vec<String>,
    field: String,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            state: State::StartRow,
            fields: Vec::new(),
            field: String::new(),
        }
    }
}

impl Row {
    fn save(&mut self) {
        self.fields.push(std::mem::take(&mut self.field));
    }

    fn finish(mut self) -> Vec<String> {
        self.save();
        self.fields
    }

    fn take(&mut self, letter: char, dialect: Dialect) -> Result<(), BareReturn> {
        let is_line_end = matches!(letter, '\n' | '\r');
        self.state = match self.state {
            State::StartRow if is_line_end => State::LineEnd,
            State::StartRow | State::StartField => self.start_field(letter, dialect),
            State::Field if is_line_end => {
                self.save();
                State::LineEnd
            }
            State::Field if letter == dialect.escape => State::Escaped,
            State::Field if letter == dialect.delimiter => {
                self.save();
                State::StartField
            }
            State::Escaped | State::Field => {
                self.field.push(letter);
                State::Field
            }
            State::Quoted if letter == dialect.escape => State::EscapedInQuoted,
            State::Quoted if letter == dialect.quote => State::QuoteInQuoted,
            State::EscapedInQuoted | State::Quoted => {
                self.field.push(letter);
                State::Quoted
            }
            State::QuoteInQuoted if letter == dialect.quote => {
                self.field.push(letter);
                State::Quoted
            }
            State::QuoteInQuoted if letter == dialect.delimiter => {
                self.save();
                State::StartField
            }
            State::QuoteInQuoted if is_line_end => {
                self.save();
                State::LineEnd
            }
            State::QuoteInQuoted => {
                self.field.push(letter);
                State::Field
            }
            State::LineEnd if is_line_end => State::LineEnd,
            State::LineEnd => return Err(BareReturn),
        };
        Ok(())
    }

    fn start_field(&mut self, letter: char, dialect: Dialect) -> State {
        if matches!(letter, '\n' | '\r') {
            self.save();
            State::LineEnd
        } else if letter == dialect.quote {
            State::Quoted
        } else if letter == dialect.escape {
            State::Escaped
        } else if letter == dialect.delimiter {
            self.save();
            State::StartField
        } else {
            self.field.push(letter);
            State::Field
        }
    }

    /// What the end of the line does. True when the row is complete.
    fn end_of_line(&mut self) -> bool {
        match self.state {
            State::LineEnd | State::StartRow => true,
            State::StartField | State::Field | State::QuoteInQuoted => {
                self.save();
                true
            }
            // The escaped line end was taken already; the row goes on in the next line.
            State::Escaped | State::Quoted | State::EscapedInQuoted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BareReturn, Dialect, Rows};

    const USUAL: Dialect = Dialect {
        delimiter: ',',
        quote: '"',
        escape: '\\',
    };

    fn rows(text: &str) -> Vec<Vec<String>> {
        Rows::new(text, USUAL).map(Result::unwrap).collect()
    }

    #[test]
    fn rows_are_those_of_python() {
        assert_eq!(rows("a,b\r\n1,2\n"), [["a", "b"], ["1", "2"]]);
        assert_eq!(rows("a,\n,"), [["a", ""], ["", ""]]);
        assert_eq!(rows("\"a,\"\"b\nc\"x,d"), [["a,\"b\ncx", "d"]]);
        assert_eq!(rows("a\\,b,\"c\\\"d\""), [["a,b", "c\"d"]]);
        assert_eq!(rows("\"open\nend"), [["open\nend"]]);
        assert_eq!(rows("a\n\nb"), [vec!["a"], vec![], vec!["b"]]);
        assert!(rows("").is_empty());
    }

    #[test]
    fn a_lone_return_inside_a_row_is_an_error() {
        assert_eq!(Rows::new("a\rb", USUAL).next(), Some(Err(BareReturn)));
    }
}
