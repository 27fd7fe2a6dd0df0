//! What Python says of a text that is no regular expression: handlers of an `error` output see it.

/// The complaint with its place, for the mistakes that people make. `None` when none of them is found.
pub(crate) fn complaint(pattern: &str) -> Option<String> {
    let mut scan = Scan {
        letters: pattern.chars().collect(),
        at: 0,
        open: Vec::new(),
        numbered: 0,
    };
    let (message, position) = scan.run().err()?;
    let before: String = scan.letters.iter().take(position).collect();
    let place = if pattern.contains('\n') {
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!(" (line {line}, column {column})")
    } else {
        String::new()
    };
    Some(format!("{message} at position {position}{place}"))
}

type Mistake = (String, usize);

/// What a quantifier would repeat.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// The beginning of an alternative, or an assertion.
    Nothing,
    Item,
    Repeat,
}

struct Scan {
    letters: Vec<char>,
    at: usize,
    /// Where the open groups begin, and their numbers.
    open: Vec<(usize, Option<usize>)>,
    /// How many numbered groups have begun.
    numbered: usize,
}

impl Scan {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn run(&mut self) -> Result<(), Mistake> {
        let mut before = Before::Nothing;
        while let Some(letter) = self.peek(0) {
            let start = self.at;
            self.at += 1;
            before = match letter {
                '\\' => self.escape(start)?,
                '[' => self.class(start)?,
                '(' => self.group(start)?,
                ')' => {
                    self.open.pop().ok_or_else(|| ("unbalanced parenthesis".to_owned(), start))?;
                    Before::Item
                }
                '|' | '^' | '$' => Before::Nothing,
                '*' | '+' | '?' => self.quantifier(start, before)?,
                '{' => match self.bounds() {
                    Some(length) => {
                        self.check_bounds(start, length)?;
                        self.at += length;
                        self.quantifier(start, before)?
                    }
                    None => Before::Item,
                },
                _ => Before::Item,
            };
        }
        match self.open.pop() {
            Some((start, _)) => Err(("missing ), unterminated subpattern".to_owned(), start)),
            None => Ok(()),
        }
    }

    fn quantifier(&mut self, start: usize, before: Before) -> Result<Before, Mistake> {
        match before {
            Before::Nothing => return Err(("nothing to repeat".to_owned(), start)),
            Before::Repeat => return Err(("multiple repeat".to_owned(), start)),
            Before::Item => {}
        }
        // A lazy or possessive mark belongs to the quantifier.
        if matches!(self.peek(0), Some('?' | '+')) {
            self.at += 1;
        }
        Ok(Before::Repeat)
    }

    /// The length of `2}`, `2,}`, `,3}`, `,}` or `2,3}`.
    fn bounds(&self) -> Option<usize> {
        let rest = self.letters.get(self.at..)?;
        let end = rest.iter().position(|letter| *letter == '}')?;
        let inside = rest.get(..end)?;
        let commas = inside.iter().filter(|letter| **letter == ',').count();
        let digits = inside.iter().filter(|letter| letter.is_ascii_digit()).count();
        (!inside.is_empty() && commas <= 1 && digits + commas == inside.len()).then_some(end + 1)
    }

    fn check_bounds(&self, start: usize, length: usize) -> Result<(), Mistake> {
        let inside: String = self.letters.iter().skip(self.at).take(length - 1).collect();
        let bounds = inside
            .split_once(',')
            .and_then(|(low, high)| Some((low.parse::<u64>().ok()?, high.parse::<u64>().ok()?)));
        match bounds {
            Some((low, high)) if high < low => Err(("min repeat greater than max repeat".to_owned(), start + 1)),
            _ => Ok(()),
        }
    }

    /// The head of a group. Comments are no groups; flags alone end at once.
    fn group(&mut self, start: usize) -> Result<Before, Mistake> {
        if self.peek(0) != Some('?') {
            self.numbered += 1;
            self.open.push((start, Some(self.numbered)));
            return Ok(Before::Nothing);
        }
        if self.peek(1) == Some('#') {
            while self.peek(0).is_some_and(|letter| letter != ')') {
                self.at += 1;
            }
            self.at += 1;
            return Ok(Before::Item);
        }
        self.at += 1;
        let head = self.at;
        while self.peek(0).is_some_and(|letter| !matches!(letter, ':' | '=' | '!' | '>' | ')' | '(')) {
            self.at += 1;
        }
        let head: String = self.letters.iter().take(self.at).skip(head).collect();
        if self.peek(0) == Some(')') && !head.is_empty() && head.chars().all(|flag| "aiLmsux".contains(flag)) {
            self.at += 1;
            return if start == 0 {
                Ok(Before::Nothing)
            } else {
                Err(("global flags not at the start of the expression".to_owned(), start))
            };
        }
        let is_named = head.starts_with("P<");
        self.numbered += usize::from(is_named);
        self.open.push((start, is_named.then_some(self.numbered)));
        if matches!(self.peek(0), Some(':' | '=' | '!' | '>')) {
            self.at += 1;
        }
        Ok(Before::Nothing)
    }

    /// `\1` to `\99`; three octal digits are a character.
    fn reference(&mut self, start: usize) -> Result<Before, Mistake> {
        let digits: String = self
            .letters
            .iter()
            .skip(start + 1)
            .take(3)
            .take_while(|letter| letter.is_ascii_digit())
            .collect();
        let is_octal = digits.len() == 3 && digits.chars().all(|digit| digit < '8');
        let length = if is_octal { 3 } else { digits.len().min(2) };
        self.at = start + 1 + length;
        let group: usize = digits.get(..length).and_then(|digits| digits.parse().ok()).unwrap_or_default();
        if !is_octal && group > self.numbered {
            return Err((format!("invalid group reference {group}"), start + 1));
        }
        if !is_octal && self.open.iter().any(|(_, number)| *number == Some(group)) {
            return Err(("cannot refer to an open group".to_owned(), start));
        }
        Ok(Before::Item)
    }

    fn escape(&mut self, start: usize) -> Result<Before, Mistake> {
        let Some(letter) = self.peek(0) else {
            return Err(("bad escape (end of pattern)".to_owned(), start));
        };
        self.at += 1;
        match letter {
            '1'..='9' => self.reference(start),
            'A' | 'b' | 'B' | 'Z' => Ok(Before::Nothing),
            _ if letter.is_ascii_alphabetic() && !"adDfnNrsStuUvwWx".contains(letter) => Err((format!("bad escape \\{letter}"), start)),
            _ => Ok(Before::Item),
        }
    }

    fn class(&mut self, start: usize) -> Result<Before, Mistake> {
        if self.peek(0) == Some('^') {
            self.at += 1;
        }
        let mut is_first = true;
        let mut previous: Option<(char, usize)> = None;
        loop {
            let Some(letter) = self.peek(0) else {
                return Err(("unterminated character set".to_owned(), start));
            };
            let place = self.at;
            self.at += 1;
            match letter {
                ']' if !is_first => return Ok(Before::Item),
                '\\' => {
                    if let Some(escaped) = self
                        .peek(0)
                        .filter(|escaped| escaped.is_ascii_alphabetic() && !"abdDfnNrsStuUvwWx".contains(*escaped))
                    {
                        return Err((format!("bad escape \\{escaped}"), place));
                    }
                    self.at += 1;
                    previous = None;
                }
                '-' => {
                    let low = previous.take();
                    if let (Some((low, low_place)), Some(high)) = (low, self.peek(0))
                        && !matches!(high, ']' | '\\')
                    {
                        self.at += 1;
                        if high < low {
                            return Err((format!("bad character range {low}-{high}"), low_place));
                        }
                    }
                }
                _ => previous = Some((letter, place)),
            }
            is_first = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn mistakes_are_named_as_python_names_them() {
        let cases = [
            ("(", "missing ), unterminated subpattern at position 0"),
            ("é(", "missing ), unterminated subpattern at position 1"),
            ("((a)", "missing ), unterminated subpattern at position 0"),
            ("(?:", "missing ), unterminated subpattern at position 0"),
            ("a)", "unbalanced parenthesis at position 1"),
            ("*a", "nothing to repeat at position 0"),
            ("a|*", "nothing to repeat at position 2"),
            ("(*)", "nothing to repeat at position 1"),
            ("\\b*", "nothing to repeat at position 2"),
            ("a**", "multiple repeat at position 2"),
            ("a*??", "multiple repeat at position 3"),
            ("a{2}{3}", "multiple repeat at position 4"),
            ("[a", "unterminated character set at position 0"),
            ("[]", "unterminated character set at position 0"),
            ("\\", "bad escape (end of pattern) at position 0"),
            ("\\h", "bad escape \\h at position 0"),
            ("[\\h]", "bad escape \\h at position 1"),
            ("[b-a]", "bad character range b-a at position 1"),
            ("a\\1(b)", "invalid group reference 1 at position 2"),
            ("(\\1)", "cannot refer to an open group at position 1"),
            ("a(?i)b", "global flags not at the start of the expression at position 1"),
            ("a{3,2}", "min repeat greater than max repeat at position 2"),
            ("a\n(", "missing ), unterminated subpattern at position 2 (line 2, column 1)"),
        ];
        for (pattern, message) in cases {
            assert_eq!(complaint(pattern).as_deref(), Some(message), "{pattern}");
        }
    }

    #[test]
    fn patterns_without_a_mistake_pass() {
        for pattern in [
            "",
            "a*+",
            "a*?",
            "(?=a)*",
            "a{,}",
            "a{",
            "a{x}",
            "[]a]",
            "[^]]",
            "[a-]",
            "(?i)a",
            "(?P<n>a)(?P=n)",
            "(?<=a)b",
            "(?#()x",
            "(a)\\1",
            "\\101",
            "(?is)a",
            "(?i:a)",
            "(a)(?(1)b|c)",
        ] {
            assert_eq!(complaint(pattern), None, "{pattern}");
        }
    }
}
