//! Lists that are asked for in pages, by text.

use sqlx::postgres::PgRow;
use sqlx::{Postgres, QueryBuilder};

use crate::{Result, Store};

/// Which entries of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub limit: i64,
    pub offset: i64,
}

impl Window {
    /// `page` from 1, `page_size` from 1 to 1000; what is outside counts as the nearest.
    pub fn of_page(page: i64, page_size: i64) -> Self {
        let limit = page_size.clamp(1, 1000);
        Self {
            limit,
            offset: (page.max(1) - 1).saturating_mul(limit),
        }
    }
}

impl Store {
    /// The rows of one page, and how many there are altogether. `restrict` ends both queries with what they have in common, and `order` ends
    /// the one for the rows.
    pub(crate) async fn page(
        &self,
        mut count: QueryBuilder<Postgres>,
        mut rows: QueryBuilder<Postgres>,
        restrict: impl Fn(&mut QueryBuilder<Postgres>),
        order: &'static str,
        window: Window,
    ) -> Result<(Vec<PgRow>, i64)> {
        restrict(&mut count);
        let total = count
            .build_query_scalar()
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        restrict(&mut rows);
        rows.push(order);
        rows.push(" LIMIT ").push_bind(window.limit).push(" OFFSET ").push_bind(window.offset);
        Ok((rows.build().fetch_all(&self.pool).await?, total))
    }
}

/// A pattern for ILIKE that finds the text anywhere, and takes none of its characters for more than they are.
pub(crate) fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
