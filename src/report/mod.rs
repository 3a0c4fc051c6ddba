//! What people read after a campaign. Pure: outcomes in, text out; it neither prints nor opens files.

mod summary;

pub use summary::{Row, summary};
