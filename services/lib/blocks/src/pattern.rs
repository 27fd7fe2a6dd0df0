//! Regular expressions in Python's dialect, on a backtracking engine with a bound on its work.

use engine::text::json_text;
use engine::value::Converted;
use fancy_regex::{Captures, Regex, RegexBuilder};
use serde_json::Value;

use crate::complaint::complaint;

/// Steps after which a search gives up: a few seconds at most.
const BACKTRACK_LIMIT: usize = 10_000_000;

/// A compiled pattern.
pub(crate) struct Pattern(Regex);

/// Why there is no answer: the pattern is no pattern, or the search took too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct PatternError(String);

impl From<fancy_regex::Error> for PatternError {
    fn from(error: fancy_regex::Error) -> Self {
        Self(error.to_string())
    }
}

impl Pattern {
    pub(crate) fn new(pattern: &str, case_sensitive: bool, dot_all: bool) -> Result<Self, PatternError> {
        if let Some(complaint) = complaint(pattern) {
            return Err(PatternError(complaint));
        }
        let regex = RegexBuilder::new(&translate(pattern))
            .case_insensitive(!case_sensitive)
            .dot_matches_new_line(dot_all)
            .backtrack_limit(BACKTRACK_LIMIT)
            .build()?;
        Ok(Self(regex))
    }

    pub(crate) fn is_match(&self, text: &str) -> Result<bool, PatternError> {
        Ok(self.0.is_match(text)?)
    }

    /// The number of groups without the whole match.
    pub(crate) fn groups(&self) -> usize {
        self.0.captures_len().saturating_sub(1)
    }

    /// Group `group` of each match, at most `limit` of them; a group that took no part is `None`.
    pub(crate) fn find_all(&self, text: &str, group: usize, limit: usize) -> Result<Vec<Option<String>>, PatternError> {
        let mut found = Vec::new();
        let mut position = 0;
        // Python also matches the empty text right behind a match, which the engine's own iterator skips.
        while found.len() < limit && position <= text.len() {
            let Some(captures) = self.0.captures_from_pos(text, position)? else {
                break;
            };
            let Some(whole) = captures.get(0) else { break };
            let (start, end) = (whole.start(), whole.end());
            found.push(group_text(&captures, group));
            position = if start == end { next_boundary(text, end) } else { end };
        }
        Ok(found)
    }
}

/// The text to search in a value: JSON text of what is no text.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => json_text(&Converted::Value(other.clone())),
    }
}

/// Runs a search on a thread of its own, since it may take seconds.
pub(crate) async fn offload<T: Send + 'static>(search: impl FnOnce() -> Result<T, PatternError> + Send + 'static) -> Result<T, PatternError> {
    match tokio::task::spawn_blocking(search).await {
        Ok(found) => found,
        Err(_) => Err(PatternError("the search was interrupted".to_owned())),
    }
}

fn group_text(captures: &Captures<'_, str>, group: usize) -> Option<String> {
    captures.get(group).map(|matched| matched.as_str().to_owned())
}

fn next_boundary(text: &str, position: usize) -> usize {
    let letter = text.get(position..).and_then(|rest| rest.chars().next());
    position + letter.map_or(1, char::len_utf8)
}

/// Rewrites what Python spells differently: `$` and `\Z`, brackets and set operators inside a class, braces that are no quantifier, comments.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let letters: Vec<char> = pattern.chars().collect();
    let multi_line = has_multi_line_flag(pattern);
    let mut index = 0;
    let mut class: Option<usize> = None;
    while let Some(&letter) = letters.get(index) {
        let next = letters.get(index + 1).copied();
        index += 1;
        match (letter, class) {
            ('\\', _) => {
                match next {
                    Some('Z') if class.is_none() => out.push_str("\\z"),
                    Some(escaped) => out.extend(['\\', escaped]),
                    None => out.push('\\'),
                }
                index += 1;
            }
            ('[', None) => {
                out.push('[');
                if next == Some('^') {
                    out.push('^');
                    index += 1;
                }
                // A closing bracket right at the start is a member.
                if letters.get(index) == Some(&']') {
                    out.push_str("\\]");
                    index += 1;
                }
                class = Some(index);
            }
            (']', Some(_)) => {
                out.push(']');
                class = None;
            }
            ('[', Some(_)) => out.push_str("\\["),
            ('&' | '~', Some(_)) => out.extend(['\\', letter]),
            ('-', Some(_)) if next == Some('-') => out.push_str("\\-"),
            (_, Some(_)) => out.push(letter),
            ('$', None) if !multi_line => out.push_str("(?=\\n?\\z)"),
            ('{', None) if quantifier_length(letters.get(index..).unwrap_or_default()).is_none() => out.push_str("\\{"),
            ('{', None) => {
                // `{,3}` starts at zero.
                out.push('{');
                if next == Some(',') {
                    out.push('0');
                }
                let length = quantifier_length(letters.get(index..).unwrap_or_default()).unwrap_or_default();
                out.extend(letters.get(index..index + length).into_iter().flatten());
                index += length;
            }
            ('}', None) => out.push_str("\\}"),
            ('(', None) if next == Some('?') && letters.get(index + 1) == Some(&'#') => {
                let rest = letters.get(index..).unwrap_or_default();
                index += rest.iter().position(|letter| *letter == ')').map_or(rest.len(), |end| end + 1);
            }
            (_, None) => out.push(letter),
        }
    }
    out
}

/// Whether the pattern opens with global flags that contain `m`.
fn has_multi_line_flag(pattern: &str) -> bool {
    let flags = pattern.strip_prefix("(?").and_then(|rest| rest.split_once(')')).map(|(flags, _)| flags);
    flags.is_some_and(|flags| flags.contains('m') && flags.chars().all(|flag| flag.is_ascii_lowercase()))
}

/// The length of `2}`, `2,}`, `,3}` or `2,3}` behind an opening brace.
fn quantifier_length(rest: &[char]) -> Option<usize> {
    let end = rest.iter().position(|letter| *letter == '}')?;
    let bounds = rest.get(..end)?;
    let commas = bounds.iter().filter(|letter| **letter == ',').count();
    let digits = bounds.iter().filter(|letter| letter.is_ascii_digit()).count();
    (digits > 0 && commas <= 1 && digits + commas == bounds.len()).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern, true, true).unwrap().is_match(text).unwrap()
    }

    fn all(pattern: &str, text: &str) -> Vec<String> {
        let found = Pattern::new(pattern, true, true).unwrap().find_all(text, 0, 1000).unwrap();
        found.into_iter().map(Option::unwrap).collect()
    }

    #[test]
    fn the_end_of_the_text_may_have_a_line_feed() {
        assert!(matches("a$", "a\n") && matches("a$", "a") && !matches("a$", "a\nb"));
        assert!(matches("(?m)a$", "a\nb") && !matches("a\\Z", "a\n"));
    }

    #[test]
    fn brackets_and_braces_stand_for_themselves_where_python_lets_them() {
        assert!(matches("[[]", "[") && matches("[]a]", "]") && matches("[a&&b]", "&") && matches("^[^]]$", "x"));
        assert!(matches("^a{$", "a{") && matches("^a{x}$", "a{x}") && matches("^a{,2}$", "aa") && !matches("^a{,2}$", "aaa"));
        assert!(matches("^\\{\\}$", "{}") && matches("a(?#why)b", "ab"));
    }

    #[test]
    fn look_around_and_back_references_work() {
        assert!(matches(r"(\w)\1", "aa") && matches("(?<=a)b", "ab") && matches("(?P<x>a)(?P=x)", "aa"));
    }

    #[test]
    fn empty_matches_count() {
        assert_eq!(all("x*", "axb"), ["", "x", "", ""]);
        assert_eq!(all("", "é"), ["", ""]);
        assert_eq!(all("a|", "ab"), ["a", "", ""]);
    }

    #[test]
    fn a_runaway_search_ends_with_an_error() {
        let pattern = Pattern::new(r"^(a|aa)+(?!x)\1$b", true, true).unwrap();
        assert!(pattern.is_match(&"a".repeat(60)).is_err());
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert!(Pattern::new("(", true, true).is_err());
        assert!(Pattern::new("*a", true, true).is_err());
    }
}
