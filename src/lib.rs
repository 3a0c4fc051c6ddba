//! An embedded Lua runtime for benchmark campaigns on clusters.

pub mod artefact;
pub mod keeper;
pub mod machine;
pub mod model;
pub mod process;
pub mod stats;
pub mod wire;
