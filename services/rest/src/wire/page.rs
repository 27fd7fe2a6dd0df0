//! Lists in pages (rest.md §2.8).

use model::Pagination;

use super::error::ApiResult;
use super::params::Parameters;

/// Entries of a page, at most: a longer one is asked for in vain, and `pagination` says what was given.
const LONGEST_PAGE: i64 = 1000;

/// Which page of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// From 1.
    pub number: i64,
    pub size: i64,
}

impl Page {
    /// `page` and `page_size` of a query.
    pub fn of(parameters: &Parameters, default_size: i64) -> ApiResult<Self> {
        let size = parameters.integer_in("page_size", 1..=i64::MAX, default_size)?;
        Ok(Self {
            number: parameters.integer_in("page", 1..=i64::MAX, 1)?,
            size: size.min(LONGEST_PAGE),
        })
    }

    /// Entries before it.
    pub fn offset(self) -> i64 {
        (self.number - 1).saturating_mul(self.size)
    }

    pub fn of_total(self, total_items: i64) -> Pagination {
        Pagination::of(self.number, self.size, total_items)
    }
}
