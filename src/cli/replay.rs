//! `harness replay`: a script once more, answered by the trace of an earlier run. Needs neither nodes nor programs, and writes
//! no journal.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::run::{readable, run_script};
use crate::model::{Hash, exit};
use crate::root::port::Campaign;
use crate::root::replay::{Reader, Replayed, run};
use crate::say::say;
use crate::script::ScriptState;
use crate::script::modules::Modules;

pub(super) const AFTER_HELP: &str = "\
Exit codes: 0, or what `os.exit` was given: it decided as in the trace · 1 it did not, or raised an error · 4 no trace, or a damaged
one · 75 the trace ends before the script does.";

#[derive(Args)]
pub(super) struct ReplayArgs {
    /// What `harness --trace FILE campaign.lua` wrote.
    #[arg(value_name = "TRACE")]
    trace: PathBuf,
    /// The script and its arguments (default: those of the trace).
    #[arg(value_name = "FILE.lua [ARGS]", trailing_var_arg = true, allow_hyphen_values = true)]
    script: Vec<OsString>,
}

/// Does it; the exit code.
pub(super) fn replay(arguments: ReplayArgs) -> ExitCode {
    let (code, text) = match play(arguments) {
        Ok(Replayed { code, message }) => (code, message),
        Err(failure) => failure,
    };
    say(format_args!("harness: {text}"));
    ExitCode::from(code)
}

fn play(arguments: ReplayArgs) -> Result<Replayed, (u8, String)> {
    let unusable = |error: crate::root::replay::ReplayError| (exit::JOURNAL, error.to_string());
    let trace = Reader::open(&arguments.trace).map_err(unusable)?;
    let header = trace.header();
    let words = arguments.script.split_first();
    let named = words.map_or_else(|| PathBuf::from(&header.script), |(script, _)| PathBuf::from(script));
    let args = words.map(|(_, args)| super::usage::script_args(args).0);
    let script = readable(&named).map_err(|text| (exit::USAGE, text))?;
    let unreadable = |error| (exit::USAGE, format!("cannot read the script {}: {error}", script.display()));
    if Hash::of(&std::fs::read(&script).map_err(unreadable)?) != header.script_hash {
        say(format_args!(
            "harness: replay: {} is not as it was when the trace was written; it may decide otherwise",
            script.display()
        ));
    }
    let path = script.canonicalize().map_err(unreadable)?;
    let campaign = Campaign {
        dir: path.parent().unwrap_or(Path::new("/")).to_path_buf(),
        script,
        args: args.unwrap_or_else(|| header.args.clone()),
        seed: header.seed,
        most_queued: header.most_queued,
        cores: header.cores,
        ..Campaign::default()
    };
    let modules = Arc::new(Modules::of_campaign(&campaign.dir, true));
    run(trace, campaign, Box::new(move |port| run_script(port, modules, ScriptState::run))).map_err(unusable)
}
