//! `limits.processes`, which binds no root: as another user, where root runs the tests.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::Duration;

use regex::Regex;

use crate::support::{Folder, Ran};

const GONE: Duration = Duration::from_secs(10);
/// No user of any machine, hopefully.
const SOMEBODY: u32 = 61_237;

/// Forks all the time, as do all it forked, each in a session of its own and deaf to SIGTERM. Whatever becomes of the
/// limit, it stops by itself after 400 and after 20 s.
const BOMB: &str = "
#include <signal.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
int main(void) {
  int *started = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  const struct timespec a_while = { 0, 10000000 };
  time_t until = time(0) + 20;
  signal(SIGTERM, SIG_IGN);
  while (time(0) < until && __atomic_load_n(started, __ATOMIC_SEQ_CST) < 400) {
    pid_t child = fork();
    if (child == 0) { setsid(); __atomic_add_fetch(started, 1, __ATOMIC_SEQ_CST); }
    if (child < 0) nanosleep(&a_while, 0);
  }
  return 0;
}
";

/// Runs `c.lua` by somebody who is not root, with a harness that he may run wherever the tests were built.
fn run_as_somebody(folder: &Folder) -> Ran {
    fs::copy(env!("CARGO_BIN_EXE_harness"), folder.path("harness")).unwrap();
    fs::set_permissions(folder.path("harness"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = if rustix::process::getuid().is_root() {
        for name in ["", "c.lua", "bomb.c"] {
            chown(folder.path(name), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &SOMEBODY.to_string(), "--regid", &SOMEBODY.to_string(), "--clear-groups"]);
        command.arg(folder.path("harness"));
        command
    } else {
        Command::new(folder.path("harness"))
    };
    folder.at_home(command.args(["-q", "c.lua"]));
    folder.finish(command)
}

#[test]
fn a_fork_bomb_stops_at_its_limit_and_ends_whole_at_its_timeout() {
    let folder = Folder::with(
        "spawn { workers = 1, slots = 1 }\nlocal bomb = submit(compile { sources = { 'bomb.c' } })\nlocal r = \
         await(submit(exec { cmd = { bomb }, limits = { processes = 40 }, timeout = 2 }))\nprint(r.status, \
         r.reason)\nprint(await(submit(exec { shell = 'echo more' })).stdout)\n",
    );
    folder.write("bomb.c", BOMB);
    let ran = run_as_somebody(&folder);
    let told = Regex::new(
        r"^timeout\tran into its timeout of 2 s; it and (\d+) processes it started were killed\nmore\n",
    );
    let Some(told) = told.unwrap().captures(&ran.stdout) else { panic!("{ran:#?}") };
    // Where one was killed another may have come at once; had nothing stopped them, all had ended by themselves after 400.
    let killed: usize = told[1].parse().unwrap();
    assert!((5..400).contains(&killed), "{killed} were killed: {ran:#?}");
    folder.assert_nothing_left(GONE);
}

#[test]
fn a_program_that_may_not_start_another_says_which_limit_that_is() {
    let folder = Folder::with(
        "spawn { workers = 1, slots = 1 }\nlocal MANY = 'for i in $(seq 50); do sleep 0.5 & done; wait'\nlocal r = \
         await(submit(exec { shell = MANY, env = { LC_ALL = 'C' }, \
         limits = { processes = 9 } }))\nprint(r.status, r.reason:match '^[^;]*')\nprint(await(submit(exec { shell = MANY, \
         limits = { processes = 300 } })).status)\n",
    );
    folder.write("bomb.c", "");
    let ran = run_as_somebody(&folder);
    let told = "nonzero_exit\texit code 2: it seems to have met its limit of processes, 9: raise limits.processes\nok\n";
    assert_eq!(ran.stdout, told, "{ran:#?}");
    folder.assert_nothing_left(GONE);
}

/// Moved to another address at its start, each process would have the tables of its addresses for itself.
#[test]
fn the_executable_lies_at_one_address() {
    const AT_ONE_ADDRESS: u16 = 2; // ET_EXEC, in elf(5)
    let header = std::fs::read(env!("CARGO_BIN_EXE_harness")).unwrap();
    assert_eq!(u16::from_le_bytes([header[16], header[17]]), AT_ONE_ADDRESS);
}
