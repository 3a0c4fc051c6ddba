//! An embedded Lua runtime for benchmark campaigns on clusters.

pub mod core;
pub mod model;
pub mod wire;
