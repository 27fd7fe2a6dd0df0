//! Takes the fenced code blocks out of a text.

use std::sync::LazyLock;

use engine::types::PinType;
use regex::{Regex, RegexBuilder};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

/// Output pins with the names that fences give the language.
const LANGUAGES: [(&str, &[&str]); 16] = [
    ("html", &["html", "htm"]),
    ("css", &["css"]),
    ("javascript", &["javascript", "js"]),
    ("python", &["python", "py"]),
    ("sql", &["sql"]),
    ("java", &["java"]),
    ("cpp", &["cpp", "c++"]),
    ("csharp", &["csharp", "c#", "cs"]),
    ("json_code", &["json"]),
    ("bash", &["bash", "shell", "sh"]),
    ("php", &["php"]),
    ("ruby", &["ruby", "rb"]),
    ("yaml", &["yaml", "yml"]),
    ("markdown", &["markdown", "md"]),
    ("typescript", &["typescript", "ts"]),
    ("xml", &["xml"]),
];

pub(crate) fn block() -> Immediate {
    let described = Describe::new(
        uuid!("d3a7d896-3b78-4f44-8b4b-48fbf4f0bcd8"),
        "CodeExtractionBlock",
        "Extracts the code blocks of a text by language.",
    )
    .categories(&["TEXT"])
    .input(required("text", PinType::Str).about("The text with fenced code blocks."));
    let described = LANGUAGES.iter().fold(described, |described, (pin, _)| {
        described.output(output(pin, PinType::Str).about("Code of this language."))
    });
    let descriptor = described.output(output("remaining_text", PinType::Str).about("The text without the code blocks."));
    Immediate::new(descriptor.build(), run)
}

/// The expressions of one fence name. Extraction ignores letter case, removal from the remaining text does not (finding 26).
struct Fence {
    pin: &'static str,
    extracts: Regex,
    removes: Regex,
}

static FENCES: LazyLock<Vec<Fence>> = LazyLock::new(|| {
    LANGUAGES
        .iter()
        .flat_map(|(pin, aliases)| aliases.iter().filter_map(|alias| fence(pin, alias)))
        .collect()
});
static BLANK_LINES: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\n\s*\n").ok());

fn fence(pin: &'static str, alias: &str) -> Option<Fence> {
    let expression = format!(r"```{}\s+(.*?)```", regex::escape(alias));
    let compile = |ignores_case| {
        RegexBuilder::new(&expression)
            .dot_matches_new_line(true)
            .case_insensitive(ignores_case)
            .build()
            .ok()
    };
    Some(Fence {
        pin,
        extracts: compile(true)?,
        removes: compile(false)?,
    })
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let text = input.text("text");
    for (pin, _) in LANGUAGES {
        // Grouped by alias, not by place in the text (finding 26).
        let codes = FENCES
            .iter()
            .filter(|fence| fence.pin == pin)
            .flat_map(|fence| fence.extracts.captures_iter(&text));
        let codes: Vec<&str> = codes
            .filter_map(|captures| captures.get(1))
            .map(|code| python::strip(code.as_str()))
            .collect();
        let code = codes.join("\n\n");
        if !code.is_empty() {
            out.emit(pin, code);
        }
    }
    let remaining = FENCES
        .iter()
        .fold(text.clone(), |text, fence| fence.removes.replace_all(&text, "").into_owned());
    let collapsed = match &*BLANK_LINES {
        Some(blank_lines) => blank_lines.replace_all(&remaining, "\n").into_owned(),
        None => remaining,
    };
    let remaining = python::strip(&collapsed);
    if !remaining.is_empty() {
        out.emit("remaining_text", remaining);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::FENCES;

    #[test]
    fn every_fence_has_its_expressions() {
        assert_eq!(FENCES.len(), super::LANGUAGES.iter().map(|(_, aliases)| aliases.len()).sum::<usize>());
    }
}
