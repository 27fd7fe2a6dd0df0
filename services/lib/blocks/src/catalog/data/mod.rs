//! Dictionaries and lists.

mod add_to_dictionary;
mod add_to_list;
mod create_dictionary;
mod create_list;
mod emptiness;
mod find_in_dictionary;
mod find_in_list;
mod get_list_item;
mod github_comment_object;
mod keyword_extractor;
mod persistence;
mod remove_from_dictionary;
mod remove_from_list;
mod replace_dictionary_value;
mod replace_list_item;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(create_dictionary::block()),
        Arc::new(add_to_dictionary::block()),
        Arc::new(find_in_dictionary::block()),
        Arc::new(remove_from_dictionary::block()),
        Arc::new(replace_dictionary_value::block()),
        Arc::new(emptiness::dictionary_is_empty()),
        Arc::new(create_list::block()),
        Arc::new(add_to_list::block()),
        Arc::new(find_in_list::block()),
        Arc::new(get_list_item::block()),
        Arc::new(remove_from_list::block()),
        Arc::new(replace_list_item::block()),
        Arc::new(emptiness::list_is_empty()),
        Arc::new(github_comment_object::block()),
        Arc::new(keyword_extractor::suggestion()),
        Arc::new(keyword_extractor::related_keyword()),
        Arc::new(persistence::persist()),
        Arc::new(persistence::retrieve()),
    ]
}
