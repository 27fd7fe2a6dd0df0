//! Lists in pages (rest.md §2.8).

use serde::{Deserialize, Serialize};

/// Where a page stands in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pagination {
    pub total_items: i64,
    pub total_pages: i64,
    /// From 1.
    pub current_page: i64,
    pub page_size: i64,
}

impl Pagination {
    /// `page_size` is 1 or more.
    pub fn of(current_page: i64, page_size: i64, total_items: i64) -> Self {
        Self {
            total_items,
            total_pages: (total_items + page_size - 1) / page_size.max(1),
            current_page,
            page_size,
        }
    }
}
