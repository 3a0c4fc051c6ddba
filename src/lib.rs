//! An embedded Lua runtime for benchmark campaigns on clusters.

pub mod journal;
pub mod model;
pub mod report;
pub mod stats;
pub mod wire;
