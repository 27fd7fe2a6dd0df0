//! Text.

mod code_extraction;
mod combine_texts;
mod extract_text_information;
mod fill_text_template;
mod match_text_pattern;
mod text_decoder;
mod text_replace;
mod text_split;
mod word_character_count;
mod xml_parser;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(match_text_pattern::MatchTextPattern::new()),
        Arc::new(extract_text_information::ExtractTextInformation::new()),
        Arc::new(fill_text_template::block()),
        Arc::new(combine_texts::block()),
        Arc::new(text_split::block()),
        Arc::new(text_replace::block()),
        Arc::new(text_decoder::block()),
        Arc::new(word_character_count::block()),
        Arc::new(code_extraction::block()),
        Arc::new(xml_parser::block()),
    ]
}
