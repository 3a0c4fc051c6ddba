//! The `harness` executable.

fn main() {}
