//! What people read after a campaign. Pure but for [`Campaign::read`]: outcomes and records in, text out.

mod blocks;
mod campaign;
mod summary;

pub use campaign::Campaign;
pub use summary::summary;
