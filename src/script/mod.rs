//! Lua: the only room that names mlua. [`ScriptState`] runs a campaign at the root, [`task`] calls on a slot.

mod blocks;
mod bridge;
pub mod check;
mod data;
mod files;
mod host;
mod json;
mod library;
pub mod modules;
mod options;
pub mod pattern;
pub mod raw;
pub mod repl;
pub mod results;
pub mod session;
mod sources;
mod state;
pub mod task;
pub mod testing;
mod tree;

pub use state::{AddInput, Content, Dry, Ended, ScriptError, ScriptState, Seen};
