//! The root process: what joins the script, the scheduler, the workers and the journal.

mod order;
pub mod port;
mod recipe;
mod settle;

pub use settle::{Unmet, settle};
