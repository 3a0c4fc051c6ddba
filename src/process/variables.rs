#![allow(unsafe_code)]
//! Variables of this process itself, for a while: what a call in a slot and the programs it starts are to find; and what is for
//! this process alone.
//!
//! Knows nothing of what they mean.

use std::ffi::OsString;

/// Puts back what was there when it is dropped.
#[derive(Debug)]
pub struct Variables {
    before: Vec<(String, Option<OsString>)>,
}

impl Variables {
    /// Sets those with a value and takes the others away. For the thread that runs what reads them: others of this
    /// process must not look at the environment at that moment.
    pub fn put(changes: Vec<(String, Option<String>)>) -> Self {
        let mut before = Vec::with_capacity(changes.len());
        for (name, value) in changes {
            before.push((name.clone(), std::env::var_os(&name)));
            change(&name, value.map(OsString::from));
        }
        Self { before }
    }
}

impl Drop for Variables {
    fn drop(&mut self) {
        // The last change first: a name may be there twice.
        for (name, value) in self.before.drain(..).rev() {
            change(&name, value);
        }
    }
}

/// A variable that nobody is to find whom this process starts. To be called before there is a second thread.
pub fn take_variable(name: &str) -> Option<OsString> {
    let value = std::env::var_os(name)?;
    change(name, None);
    Some(value)
}

#[allow(
    clippy::disallowed_methods,
    reason = "what is started would get an environment; a call reads that of its own process"
)]
fn change(name: &str, value: Option<OsString>) {
    // SAFETY: either there is no other thread yet, or a slot's, which sends messages and reads no variables; threads of a
    // library that a call has loaded are the author's, as they would be with setenv in C.
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
    fn what_was_there_is_there_again() {
        let (one, two) = ("HARNESS_TEST_ONE", "HARNESS_TEST_TWO");
        let outer = Variables::put(vec![(one.into(), Some("1".into()))]);
        let change = |value: Option<&str>| value.map(str::to_owned);
        let inner = Variables::put(vec![
            (one.into(), change(None)),
            (two.into(), change(Some("2"))),
            (two.into(), change(Some("3"))),
        ]);
        assert_eq!((std::env::var(one).ok(), std::env::var(two).ok()), (None, change(Some("3"))));
        drop(inner);
        assert_eq!((std::env::var(one).ok(), std::env::var(two).ok()), (change(Some("1")), None));
        drop(outer);
        assert_eq!(std::env::var(one).ok(), None);
    }

    #[test]
    fn what_is_taken_is_there_no_more() {
        let name = "HARNESS_TEST_TAKEN";
        let _there = Variables::put(vec![(name.into(), Some("1".into()))]);
        assert_eq!((take_variable(name), take_variable(name)), (Some("1".into()), None));
    }
}
