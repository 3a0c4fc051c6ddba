//! Lua: the only room that names mlua.

pub mod raw;
pub mod results;
pub mod task;
