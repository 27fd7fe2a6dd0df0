//! Small blocks that every agent uses.

mod note;
mod print_to_console;
mod reverse_list_order;
mod store_value;
mod universal_type_converter;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(store_value::block()),
        Arc::new(print_to_console::block()),
        Arc::new(note::block()),
        Arc::new(universal_type_converter::block()),
        Arc::new(reverse_list_order::block()),
    ]
}
