//! `harness selftest`: how small a difference can be seen on these nodes, here and now.
//!
//! On each node one program is compared with itself by the comparison that scripts use, again and again, until the time
//! is over (`selftest.lua`). What the figures say is found in `report`.

mod report;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::report::{Figures, Report};
use super::own::{self, Own};
use super::print::{printed, text};
use super::run::{self, Begun, Joined};
use super::usage::duration;
use crate::model::exit;
use crate::process::Signals;
use crate::root::port::PoolSpec;
use crate::root::progress::Verbosity;
use crate::root::{self, Started};
use crate::say::say;

#[derive(Args)]
pub(super) struct SelftestArgs {
    /// How long, on all nodes at the same time.
    #[arg(long, value_name = "DURATION", default_value = "30 s", value_parser = duration)]
    time: f64,
    /// The nodes, in a file such as MPI's launchers read (default: those of the batch system).
    #[arg(long, value_name = "FILE")]
    hostfile: Option<PathBuf>,
    /// One object of JSON on stdout.
    #[arg(long)]
    json: bool,
}

/// Does it; the exit code.
pub(super) fn selftest(arguments: &SelftestArgs) -> ExitCode {
    match examine(arguments) {
        Ok(code) => code,
        Err((code, text)) => {
            say(format_args!("harness selftest: {text}"));
            ExitCode::from(code)
        }
    }
}

fn examine(arguments: &SelftestArgs) -> Result<ExitCode, (u8, String)> {
    let Begun { limits, signals, started } =
        match run::begin(None, arguments.hostfile.as_deref(), Verbosity::Normal, false)? {
            Joined::Root(begun) => begun,
            Joined::Served(code) => return Ok(code),
        };
    let mpi = matches!(started.mpi, root::Mpi::Ready(_));
    let mut lost_rank = false;
    let report = look(arguments, started, signals, limits, &mut lost_rank);
    let code = match &report {
        Ok(report) => printed("selftest", &text(report, arguments.json), exit::OK),
        Err((code, _)) => *code,
    };
    run::leave_mpi(mpi && !lost_rank, code, limits.finalize);
    report.map(|_| ExitCode::from(code))
}

fn look(
    arguments: &SelftestArgs,
    started: Started,
    signals: Signals,
    limits: crate::model::Limits,
    lost_rank: &mut bool,
) -> Result<Report, (u8, String)> {
    let folder = own::folder("selftest").map_err(|text| (exit::JOURNAL, text))?;
    let found = folder.path().join("found");
    let campaign = Own {
        name: "selftest.lua",
        text: include_str!("selftest.lua"),
        folder: None,
        args: vec![found.display().to_string(), arguments.time.to_string()],
        pool: PoolSpec::default(),
        host_file: arguments.hostfile.clone(),
        journal: None,
        listener: None,
    };
    let ended = campaign.play(folder.path(), started, signals, limits);
    *lost_rank = ended.lost_rank;
    let text = fs::read(&found).unwrap_or_default();
    match (ended.message, serde_json::from_slice::<Figures>(&text)) {
        (None, Ok(found)) => Ok(Report::of(found, arguments.time)),
        (message, _) => {
            let text = message.unwrap_or_else(|| "it ended before it had found anything".into());
            Err((if ended.code == exit::OK { exit::INTERNAL } else { ended.code }, text))
        }
    }
}
