//! How much may come of a few bytes: what a block would multiply is measured before it is made, because memory that is not there ends the
//! process and every run in it.

use crate::block::Failure;

/// Bytes of a text that a block or a template makes.
pub(crate) const LONGEST_TEXT: usize = 64 << 20;
/// Values of a list that a block makes of a text, and cells of a table.
pub(crate) const MOST_VALUES: usize = 2_000_000;

/// The length of `text` with every `old` replaced by `new`, saturating.
pub(crate) fn replaced(text: &str, old: &str, new: &str) -> usize {
    if new.len() <= old.len() {
        return text.len();
    }
    let growth = (new.len() - old.len()).saturating_mul(text.matches(old).count());
    text.len().saturating_add(growth)
}

/// The length of `parts` texts of `together` bytes with `delimiter` between them, saturating.
pub(crate) fn joined(together: usize, parts: usize, delimiter: &str) -> usize {
    delimiter.len().saturating_mul(parts.saturating_sub(1)).saturating_add(together)
}

/// Refuses a text that would be too long.
pub(crate) fn check_text(length: usize) -> Result<(), Failure> {
    if length <= LONGEST_TEXT {
        return Ok(());
    }
    Err(Failure::reported(format!(
        "The text would be longer than {} MiB: give less",
        LONGEST_TEXT >> 20
    )))
}

#[cfg(test)]
mod tests {
    use super::{joined, replaced};

    #[test]
    fn lengths_are_told_without_making_the_text() {
        for (text, old, new) in [
            ("banana", "a", "xyz"),
            ("banana", "an", ""),
            ("abc", "", "-"),
            ("", "", "x"),
            ("ää", "ä", "aaa"),
        ] {
            let real = text.replace(old, new).len();
            assert!(replaced(text, old, new) >= real, "{text} {old} {new}");
            assert!(new.len() <= old.len() || replaced(text, old, new) == real, "{text} {old} {new}");
        }
        assert_eq!(joined(3, 3, ", "), "a, b, c".len());
        assert_eq!((joined(0, 0, "x"), joined(1, usize::MAX, "xx")), (0, usize::MAX));
    }
}
