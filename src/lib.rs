//! An embedded Lua runtime for benchmark campaigns on clusters.

/// What tests inside of the crate share with those outside of it names the crate.
#[cfg(test)]
extern crate self as harness;

#[global_allocator]
static MEMORY: process::LargePages = process::LargePages;

pub mod allocation;
pub mod artefact;
pub mod cli;
pub mod core;
pub mod journal;
pub mod keeper;
pub mod launch;
pub mod machine;
pub mod model;
pub mod process;
pub mod query;
pub mod report;
pub mod root;
pub mod say;
pub mod script;
pub mod slot;
pub mod stats;
pub mod transport;
pub mod wire;
pub mod worker;
