//! Whatever ends a campaign, nothing of it is left on the node 10 s later: no process, no temporary file, no shared memory, no
//! socket.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use rustix::process::Signal;

use super::GONE;
use super::support::scan::Scan;
use super::support::{Folder, LIMIT, Role, Running, await_that, signal};

/// Somebody in every place that there is, each with a file for a while: the script, a call, and a program in a folder of
/// its own with a child that has gone away.
fn campaign(folder: &Folder) {
    let at = folder.path("").display().to_string();
    folder.write(
        "c.lua",
        format!(
            "local fs = require('harness').fs
local pool <close> = spawn {{ workers = 1, slots = 2 }}
assert(fs.write(assert(fs.tempdir()) .. '/file', 'x'))
local called = submit(function()
  local fs = require('harness').fs
  assert(fs.write(assert(fs.tempdir()) .. '/file', 'x'))
  assert(fs.write('{at}called', 'x'))
  repeat until fs.exists '{at}go'
end)
local ran = submit(exec {{ cwd = 'scratch', retries = 0, shell = [[echo x > file; setsid sleep 1000 & echo > {at}ran
  until [ -e {at}go ]; do sleep 0.02; done]] }})
pcall(await, called)
pcall(await, ran)
"
        ),
    );
}

/// Starts it, has `end` end it once everybody is at work, and looks at what is left.
fn nothing_is_left_after(end: impl Fn(&Folder, &Running)) {
    let folder = Folder::new();
    campaign(&folder);
    let mut scan = Scan::new(&folder);
    let running = scan.start(&["-q", "c.lua"]);
    await_that("all are at work", || folder.path("called").exists() && folder.path("ran").exists());
    scan.look();
    let files = scan.temporary().iter().filter(|path| path.ends_with("/file")).count();
    assert_eq!(files, 3, "{:#?}", scan.temporary());
    end(&folder, &running);
    scan.assert_nothing_left(GONE);
    running.end(LIMIT);
}

fn kill(role: Role) -> impl Fn(&Folder, &Running) {
    move |folder, _| {
        let found = folder.of(role);
        assert!(!found.is_empty(), "{role:?}");
        found.iter().for_each(|process| signal(process, Signal::KILL));
    }
}

#[test]
fn nothing_is_left_after_the_end_of_the_script() {
    nothing_is_left_after(|folder, _| folder.write("go", ""));
}

#[test]
fn nothing_is_left_after_ctrl_c() {
    nothing_is_left_after(|_, running| running.signal(Signal::INT));
}

#[test]
fn nothing_is_left_after_sigkill_of_the_root() {
    nothing_is_left_after(kill(Role::Root));
}

#[test]
fn nothing_is_left_after_sigkill_of_the_worker() {
    nothing_is_left_after(kill(Role::Worker));
}

#[test]
fn nothing_is_left_after_sigkill_of_the_keeper() {
    nothing_is_left_after(kill(Role::Keeper));
}

#[test]
fn nothing_is_left_after_sigkill_of_a_slot_and_the_end_of_the_script() {
    nothing_is_left_after(|folder, running| {
        kill(Role::Slot)(folder, running);
        folder.write("go", "");
    });
}

/// The scan can find what it says is not there.
#[test]
fn what_is_left_is_found() {
    let folder = Folder::new();
    let mut scan = Scan::new(&folder);
    folder.write("tmp/a/file", "x");
    let shared = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    let listener = UnixListener::bind(folder.path("socket")).unwrap();
    let line = format!("exec 3<{}; echo up; exec sleep 1000", shared.path().display());
    let mut command = folder.shell(&line);
    command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    let mut running = Running::start(command);
    running.await_line("up");
    assert_eq!(scan.left().iter().filter(|left| left.contains("Program")).count(), 1, "{:#?}", scan.left());
    scan.look();
    running.signal(Signal::KILL);
    running.end(LIMIT);
    let left = scan.left();
    for what in ["tmp/a", "tmp/a/file", "/dev/shm/", "/socket"] {
        assert!(left.iter().any(|left| left.contains(what)), "{what} in {left:#?}");
    }
    assert_eq!(left.len(), 4, "{left:#?}");
    drop((listener, shared));
    std::fs::remove_dir_all(folder.path("tmp/a")).unwrap();
    assert_eq!(scan.left(), Vec::<String>::new());
}
