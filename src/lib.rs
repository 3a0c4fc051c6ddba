//! An embedded Lua runtime for benchmark campaigns on clusters.

pub mod artefact;
pub mod machine;
pub mod model;
pub mod process;
pub mod wire;
