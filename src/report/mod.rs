//! What people read after a campaign. Pure but for [`Campaign::read`]: outcomes and records in, text out.

mod baselines;
mod blocks;
mod campaign;
mod chart;
mod columns;
mod date;
pub mod flags;
mod gate;
mod history;
pub mod junit;
mod natural;
mod one;
mod page;
mod runs;
mod sheet;
mod summary;
mod table;
mod versions;

pub use campaign::Campaign;
pub use gate::{Conclusion, Gate, Suspect, Terms};
pub use history::History;
pub use one::whole;
pub use page::{MARKER, Told};
pub use runs::{Numbers, Runs};
pub use summary::summary;
pub use table::{Choice, Glob, Listing, Sort};
pub use versions::Outdated;

/// Why nothing may be recorded of a campaign that ran well.
pub const ONLY_WITH_KEY: &str = "(of `exec` and calls only those with a `key` are)";
