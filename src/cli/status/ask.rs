//! Asks a campaign at work how far it is: `harness status` once, `harness top` again and again.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::journal::{self, holder};
use crate::machine;
use crate::model::Session;
use crate::root::status::{ASK, ASK_NOW, WAIT, address, is_own};

/// A campaign that runs answers at once, or says that it cannot for the moment.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why nothing can be heard of it.
#[derive(Clone, Debug, thiserror::Error)]
pub(in crate::cli) enum AskError {
    #[error(
        "{0} runs the campaign and does not answer: it may just be starting or ending, or be in a container; try again"
    )]
    Silent(String),
    #[error(
        "{0} runs the campaign and has said nothing for {seconds} s: is it stopped (`kill -CONT PID` lets it go on), or its node too busy?",
        seconds = PATIENCE.as_secs()
    )]
    Mute(String),
    #[error("{who} runs the campaign, and answers on its own host only: `{line}`")]
    Elsewhere { who: String, line: String },
    #[error("the campaign's answer cannot be read ({0}): it runs another version of harness")]
    Strange(String),
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct Asker {
    /// Its subcommand.
    pub(in crate::cli) command: &'static str,
    /// It needs a terminal, on another host too.
    pub(in crate::cli) terminal: bool,
    /// Beside a measurement too.
    pub(in crate::cli) now: bool,
}

impl Asker {
    /// The answer of the campaign that writes this journal, a line of JSON; none if no campaign runs. `waits` is called
    /// where the answer comes only when a measurement has ended.
    pub(in crate::cli) fn ask(
        self,
        journal: &Path,
        waits: &mut dyn FnMut(),
    ) -> Result<Option<String>, AskError> {
        if let Some(stream) = connect(journal) {
            let line = ask(&stream, self.now, waits).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => AskError::Mute(holder(journal)),
                _ => AskError::Strange(error.to_string()),
            })?;
            if line.is_some() {
                return Ok(line);
            }
            // It ended meanwhile: the journal has the last word.
        }
        // Whether somebody holds it cannot be told where files have no locks: then nobody does.
        match journal::is_held(journal).unwrap_or(false) {
            true => Err(self.out_of_reach(journal)),
            false => Ok(None),
        }
    }

    /// Somebody writes to the journal and cannot be asked from here: who, and where he can be.
    fn out_of_reach(self, journal: &Path) -> AskError {
        let who = holder(journal);
        let Some(Session { host, job, .. }) = journal::last_session(journal) else {
            return AskError::Silent(who);
        };
        if host == machine::hostname() {
            return AskError::Silent(who);
        }
        let path = journal.canonicalize().unwrap_or_else(|_| journal.to_path_buf());
        let there = format!("harness {} {}", self.command, path.display());
        let line = match job {
            Some(job) if job.scheduler == "Slurm" => {
                let terminal = if self.terminal { " --pty" } else { "" };
                format!("srun --overlap --jobid={} -N1 -n1 -w {host}{terminal} {there}", job.id)
            }
            _ => format!("ssh {}{host} {there}", if self.terminal { "-t " } else { "" }),
        };
        AskError::Elsewhere { who, line }
    }
}

/// The campaign that writes this journal, if it runs here and is this user's.
fn connect(journal: &Path) -> Option<UnixStream> {
    let stream = UnixStream::connect_addr(&address(journal).ok()?).ok()?;
    is_own(&stream).then_some(stream)
}

/// Its answer; none if it ends before it answers.
fn ask(stream: &UnixStream, now: bool, waits: &mut dyn FnMut()) -> io::Result<Option<String>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut writer = stream;
    if writer.write_all(if now { ASK_NOW } else { ASK }.as_bytes()).is_err() {
        return Ok(None);
    }
    for line in BufReader::new(stream).lines() {
        let line = match line {
            Ok(line) => line,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        };
        if line != WAIT {
            return Ok(Some(line));
        }
        stream.set_read_timeout(None)?; // as long as the measurement takes, which a signal cuts short
        waits();
    }
    Ok(None)
}
