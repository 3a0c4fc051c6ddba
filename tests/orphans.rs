//! What a killed child leaves behind falls to the nearest child subreaper, which can end it all: this is
//! what a worker does when its keeper was killed. Alone in its file, because it kills every descendant.
#![allow(clippy::unwrap_used)]

use std::os::fd::AsFd;
use std::time::Duration;

use harness::process::{self, Environment, Launch, Pid, children_of, kill_descendants, own};

#[test]
fn a_subreaper_ends_what_a_killed_child_left_and_spares_what_it_should() {
    own::adopt_orphans().unwrap();
    let null = own::null_device().unwrap();
    let environment = Environment::scrubbed(std::env::vars_os());
    let start = |line: std::ffi::CString| {
        let launch = Launch {
            program: None,
            argv: &[c"sh".to_owned(), c"-c".to_owned(), line],
            environment: &environment,
            cwd: None,
            stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
            fds: &[],
        };
        process::spawn(&launch).unwrap()
    };
    let spared = start(c"exec sleep 600".to_owned());
    let nested = c"trap '' TERM; (setsid sh -c 'sleep 600 & sleep 600 & wait' &) ; sleep 600 & kill -KILL $$";
    let killed = start(nested.to_owned());
    assert_eq!(process::wait(killed.pid).unwrap().0, process::Exit::Signal(9));
    let myself = Pid::from_raw(std::process::id() as i32).unwrap();
    assert!(children_of(myself).len() > 1, "nothing was left behind to begin with");
    assert_eq!(kill_descendants(&[spared.pid], Duration::from_secs(30)), 0);
    assert_eq!(children_of(myself), [spared.pid]);
    assert_eq!(kill_descendants(&[], Duration::from_secs(30)), 0);
    assert_eq!(children_of(myself), []);
}
