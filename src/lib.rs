//! An embedded Lua runtime for benchmark campaigns on clusters.

pub mod allocation;
pub mod model;
pub mod transport;
pub mod wire;
