//! The wire format of the contract: how bodies and parameters are read, and what errors look like (rest.md §2.9, §2.10).

pub mod body;
pub mod error;
pub mod headers;
pub mod json;
pub mod page;
pub mod params;
pub mod prepared;
pub mod shape;
pub mod slash;

pub use body::JsonBody;
pub use error::{ApiError, ApiResult};
pub use page::Page;
pub use params::{PageQuery, Parameters, id};
pub use prepared::Prepared;
