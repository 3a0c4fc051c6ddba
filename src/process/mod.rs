//! Processes of ours and what they share.

mod gate;

pub use gate::Gate;
