#![allow(unsafe_code)]
//! Variables of this very process, for as long as a call runs in it.
//!
//! C libraries look devices up there (`CUDA_VISIBLE_DEVICES`) when they are used first. Every other program of ours gets
//! its environment when it is started; only a slot has to change its own.

use std::ffi::OsString;

/// Variables that are set until this is dropped; then they are what they were.
#[derive(Debug)]
pub struct Variables {
    before: Vec<(String, Option<OsString>)>,
}

impl Variables {
    /// Sets them. To be called by a slot's thread of calls alone, while no call runs.
    pub fn set(variables: impl IntoIterator<Item = (impl Into<String>, String)>) -> Self {
        let before = variables.into_iter().map(|(name, value)| {
            let name = name.into();
            let old = std::env::var_os(&name);
            change(&name, Some(value.into()));
            (name, old)
        });
        Self { before: before.collect() }
    }
}

impl Drop for Variables {
    fn drop(&mut self) {
        for (name, old) in self.before.drain(..).rev() {
            change(&name, old);
        }
    }
}

fn change(name: &str, value: Option<OsString>) {
    // SAFETY: the other thread of a slot (its sender) reads no environment, and between two calls no code of the user
    // runs on this one. Threads that a task's C library left running might read it: what they may read is what
    // `setenv` of a task would do to them as well.
    unsafe {
        match value {
            Some(value) => std::env::set_var(name, value),
            None => std::env::remove_var(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_comes_back() {
        let names = ["HARNESS_TEST_THERE", "HARNESS_TEST_NEW"];
        let look = || names.map(|name| std::env::var(name).ok());
        let there = Variables::set([(names[0], "old".into())]);
        {
            let _inner = Variables::set(names.map(|name| (name, "new".into())));
            assert_eq!(look(), [Some("new".into()), Some("new".into())]);
        }
        assert_eq!(look(), [Some("old".into()), None]);
        drop(there);
        assert_eq!(look(), [None, None]);
    }
}
