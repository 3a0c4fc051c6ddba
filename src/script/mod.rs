//! Lua: the only room that names mlua.

pub mod raw;
