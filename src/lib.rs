//! An embedded Lua runtime for benchmark campaigns on clusters.

pub mod model;
pub mod process;
pub mod root;
pub mod script;
pub mod slot;
pub mod wire;
