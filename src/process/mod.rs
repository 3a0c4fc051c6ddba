//! Starting processes and ending them, with everything they started.
//!
//! [`spawn()`] starts a program in a session of its own, [`spawn_limited()`] under limits, [`wait()`] says how it ended and what it used, and
//! [`Family`] finds and kills what it left behind: processes that forked away and changed their session
//! become children of the nearest child subreaper, which the keeper is. [`own`] holds what every process
//! of harness does when it starts.
//!
//! The room knows processes, signals and descriptors. It must never know tasks, messages or files of a
//! campaign, and never waits for "any child": libraries in the same process may have children too.

mod ask;
mod birth;
mod environment;
pub mod folders;
mod footprint;
mod gate;
mod limited;
mod memory;
pub mod own;
mod pin;
mod spawn;
mod stand_in;
mod stop;
mod tree;
mod variables;
mod vigil;
mod wait;
mod wake;

pub use ask::{NoAnswer, ask};
pub use birth::{hear_no_signals, settle_signals};
pub use environment::{DEFAULT_PATH, Environment};
pub use folders::{OwnFolder, folder_prefix, private, remove_tree, sweep, sweep_behind, temporary};
pub use footprint::{Footprint, give_code_back, keep_small};
pub use gate::{Gate, KEPT_BYTES};
pub use limited::{Allowance, own_limit};
pub use memory::{LargePages, end_if_memory_is_short, end_without_memory};
pub use own::{
    FIRST_FD, Signals, adopt_orphans, become_program, begin_signals, block_signals, end_by, end_by_faults,
    end_with_parent, exit_now, exit_within, own_pid, own_thread, parent_pid, set_input_aside,
    start_executable, start_self, stdout_to_stderr, take_affinity_of_parent, take_fd, take_input_back,
    take_stdio, this_executable, unblock_signals,
};
pub use pin::{run_on, take_memory_of};
pub use spawn::{
    Child, Launch, SpawnError, Unwatched, find_program, is_on_path, is_program, spawn, spawn_limited,
    with_advice,
};
pub use stand_in::{Side, StandIn, stand_in};
pub use stop::{listen_for_stop, tell_to_stop};
pub use tree::{Family, MARK_VARIABLE, children_of, ends, kill_descendants, kill_from_below, kill_marked};
pub use variables::{Variables, take_variable};
pub use vigil::Vigil;
pub use wait::{Exit, signal_name, try_wait, wait};
pub use wake::Wake;

pub use rustix::process::Pid;
