//! The slot process: runs the calls its worker sends, one at a time.
//!
//! A loop over one socket. Results are gathered while more calls wait, so that a burst of small calls costs
//! few system calls; a second thread sees to it that none waits longer than about a millisecond while a long
//! call runs. Before the first call the script's `init` runs, if there is one; before each the gate is asked
//! whether the worker has taken it back, and when a signal comes whether what runs is to stop. When the socket
//! closes the slot ends. One that the keeper started for itself looks at a run instead. Knows nothing of nodes, the scheduler or clocks: when to stop is the worker's to say.

pub mod adaptors;
mod gang;
mod helper;
mod inspect;
mod line;

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit};

use crate::model::{FromSlot, Gpus, Outcome, SlotInit, Status, ToSlot};
use crate::process::{Gate, Variables, end_by_faults, listen_for_stop, with_advice};
use crate::say::say;
use crate::script::raw::{MESSAGE_LIMIT, look_whether_to_stop};
use crate::script::task::{Outside, Require, TaskState};
use crate::wire::WireError;
use gang::Launchers;
use helper::Helper;
use line::Line;

/// After a call that took longer (s) sending at once costs little.
const WORTH_SENDING_S: f64 = 100e-6;

/// Why a slot cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The connection to the worker failed.
    #[error("connection to the worker: {0}")]
    Wire(#[from] WireError),
    /// The system refused something it needs.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Lua could not be started.
    #[error("cannot start Lua: {0}")]
    Lua(String),
    /// The worker does not follow the protocol.
    #[error("the worker's first message is not Init")]
    NoInit,
}

/// The whole life of a slot process: its socket, and the [`Gate`] it shares with its worker. Signals are
/// as the keeper left them, unblocked and with their default effect.
pub fn main(socket: OwnedFd, gate: OwnedFd) -> ExitCode {
    match become_slot().map_err(SlotError::from).and_then(|()| serve(socket, gate)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("harness slot: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What concerns the process as a whole.
fn become_slot() -> io::Result<()> {
    // The keeper kills us first; this is for the case that it cannot.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // Standard output belongs to the script on the root, whatever a task or a C library writes.
    rustix::stdio::dup2_stdout(io::stderr())?;
    listen_for_stop(look_whether_to_stop)
}

/// Runs calls until the worker closes the socket.
pub fn serve(socket: OwnedFd, gate: OwnedFd) -> Result<(), SlotError> {
    end_by_faults();
    let gate = Arc::new(Gate::open(gate)?);
    let line = Arc::new(Line::new(socket, gate.clone())?);
    let sender = std::thread::Builder::new().name("sender".into()).spawn({
        let line = line.clone();
        move || line.send_in_time()
    });
    let sender = sender.map_err(with_advice)?;
    let result = run_calls(&line, &gate);
    line.close();
    let _ = sender.join();
    match result {
        Err(SlotError::Wire(WireError::Closed)) => Ok(()),
        result => result,
    }
}

fn run_calls(line: &Arc<Line>, gate: &Arc<Gate>) -> Result<(), SlotError> {
    let ToSlot::Init(init) = line.receive(|| false)? else { return Err(SlotError::NoInit) };
    if let Err(why) = enter_folder(&init) {
        line.send(FromSlot::InitFailed(Box::new(Outcome::failed(Status::SetupFailed, why))))?;
        return Ok(line.flush()?);
    }
    limit_memory(&init)?;
    // The position of the call under way; none before the first.
    let current = Rc::new(Cell::new(None));
    let outside = outside(line, gate, current.clone(), &init);
    let mut state = TaskState::new(&init, outside).map_err(|error| SlotError::Lua(error.to_string()))?;
    if let Some(call) = &init.setup.init
        && let Err(outcome) = state.init(call, &init)
    {
        line.send(FromSlot::InitFailed(outcome))?;
        return Ok(line.flush()?);
    }
    line.send(FromSlot::Ready)?;
    let mut position = 0u32;
    let mut launchers = Launchers::default();
    loop {
        match line.receive(|| gate.is_awake())? {
            ToSlot::Call(call) => {
                let mine = gate.begin(position);
                current.set(Some(position));
                position = position.wrapping_add(1);
                if mine {
                    let outcome = {
                        let _seen = call.gpus.as_ref().map(show);
                        match call.gang.as_ref().map(|gang| launchers.tell(&call, gang)).transpose() {
                            Ok(_told) => state.run(&call),
                            Err(outcome) => *outcome,
                        }
                    };
                    let took = outcome.elapsed_s;
                    line.send(FromSlot::Done(call.task, call.attempt, Arc::new(outcome)))?;
                    let full = state.is_full();
                    if took > WORTH_SENDING_S || full {
                        line.flush()?;
                    }
                    if full {
                        state.collect();
                    }
                }
            }
            ToSlot::Code(hash, bytes) => {
                // A call that needs it will fail and say which bytecode is missing; this says why.
                if let Err(error) = state.learn(hash, bytes) {
                    say(format_args!("harness slot: {error}"));
                }
            }
            ToSlot::Forget(share) => state.forget(share),
            ToSlot::Inspect(inspection) => {
                inspect::inspect(line, gate, &current, &mut state, &inspection)?;
            }
            // Nobody waits for a module here, and a second Init would change nothing.
            ToSlot::Module(..) | ToSlot::Init(_) => {}
        }
    }
}

/// What its Lua state needs of the process; `current` is the position of the call under way.
fn outside(line: &Arc<Line>, gate: &Arc<Gate>, current: Rc<Cell<Option<u32>>>, init: &SlotInit) -> Outside {
    let (stop, cache) = (gate.clone(), PathBuf::from(&init.store_dir));
    let to_stop = Rc::new(move || stop.to_stop(current.get()));
    Outside {
        require: modules_from(line.clone()),
        to_stop: Box::new({
            let to_stop = to_stop.clone();
            move || to_stop()
        }),
        start_session: Box::new(move |spec| Ok(Box::new(Helper::start(spec, &cache, to_stop.clone())?))),
        note: Box::new({
            let gate = gate.clone();
            move |foreign| gate.set_note(foreign)
        }),
        set_place: Box::new({
            let gate = gate.clone();
            move |place| gate.set_place(place)
        }),
    }
}

/// As long as it is held, programs and libraries see these GPUs and no others.
fn show(gpus: &Gpus) -> Variables {
    let shown = gpus.variables().into_iter().map(|(name, value)| (name.to_string(), Some(value)));
    Variables::put(shown.collect())
}

/// Relative paths in tasks mean the campaign's folder, where there is one on this node, or the pool's, which
/// has to be there.
fn enter_folder(init: &SlotInit) -> Result<(), String> {
    let campaign = Path::new(&init.campaign_dir);
    if let Some(cwd) = &init.setup.cwd {
        let folder = campaign.join(cwd);
        let told = |why| {
            format!("spawn: cannot enter the folder 'cwd', {} on {}: {why}", folder.display(), init.host)
        };
        return std::env::set_current_dir(&folder).map_err(told);
    }
    if !init.campaign_dir.is_empty() {
        let _ = std::env::set_current_dir(campaign);
    }
    Ok(())
}

/// What C code may take beyond Lua's own limit (B).
const BESIDES_LUA: u64 = 256 << 20;

/// A bound for C code, and for programs that a task starts, each by itself: memory it writes to, whether or not
/// it has been touched. What Lua takes is counted by Lua, which can say so in an orderly way; what is called with or returned takes it
/// a second time, as the message it is on its way, and one that grows takes that twice.
fn limit_memory(init: &SlotInit) -> io::Result<()> {
    let Some(bytes) = init.setup.memory else { return Ok(()) };
    let old = rustix::process::getrlimit(Resource::Data);
    let messages = 2 * bytes.min(MESSAGE_LIMIT as u64);
    let wanted = bytes.saturating_add(BESIDES_LUA + messages);
    let current = Some(old.maximum.map_or(wanted, |maximum| wanted.min(maximum)));
    Ok(rustix::process::setrlimit(Resource::Data, Rlimit { current, ..old })?)
}

/// Asks the worker, which asks the root.
fn modules_from(line: Arc<Line>) -> Require {
    Box::new(move |name| {
        let gone = |error: WireError| format!("module '{name}' could not be asked for: {error}");
        line.send(FromSlot::NeedModule(name.to_owned())).map_err(gone)?;
        let answer = line.receive_where(|message| matches!(message, ToSlot::Module(of, _) if of == name));
        match answer.map_err(gone)? {
            ToSlot::Module(_, module) => Ok(module),
            _ => Err(format!("module '{name}' was answered with something else")),
        }
    })
}
