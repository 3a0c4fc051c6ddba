//! What people read after a campaign. Pure but for [`Campaign::read`]: outcomes and records in, text out.

mod blocks;
mod campaign;
mod gate;
mod history;
mod page;
mod summary;

pub use campaign::Campaign;
pub use gate::{Conclusion, Gate, Suspect, Terms};
pub use history::History;
pub use page::{MARKER, Told};
pub use summary::summary;
