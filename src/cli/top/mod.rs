//! `harness top`: a campaign at work, a picture a second.
//!
//! Asks as `harness status` does, at most one question at a time, and reads what comes to the journal. Threads of its own
//! wait for the answer, for keys and for signals; the main one waits for any of them, and draws. It knows how things are
//! heard, not how they look (`draw`) nor what they mean (`state`).

mod draw;
mod state;

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use rustix::event::{PollFd, PollFlags};

use self::state::{Key, State, Word};
use super::journals::{WhichJournal, journal_of};
use super::status::{AskError, Asker, how_it_ended};
use crate::journal::Tail;
use crate::model::{CampaignStatus, FailureStatus, Kind, KindStatus, Record, Row, Status, exit, failures};
use crate::process::Signals;
use crate::report::Campaign;
use crate::say::say;
use crate::transport::wait::wait;

/// Between two questions, and between two pictures where nothing happens.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct TopArgs {
    /// The campaign, by its script or its journal (default: the journal in this folder).
    #[arg(value_name = "FILE.lua|JOURNAL")]
    campaign: Option<PathBuf>,
}

/// Why there is nothing to watch.
#[derive(Debug, thiserror::Error)]
enum TopError {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("top: this is no terminal that could be drawn on: `harness status` says the same in lines")]
    NoTerminal,
    #[error(
        "top: nobody runs the campaign of {0}: `harness status` says what it recorded, `harness show` its measurements"
    )]
    NotRunning(String),
    #[error("top: {0}")]
    Ask(#[from] AskError),
    #[error("top: cannot {0}: {1}")]
    System(&'static str, io::Error),
}

/// What the threads hear.
enum News {
    Answer(Result<Option<Box<CampaignStatus>>, AskError>),
    /// The answer comes when a measurement has ended.
    Late,
    Terminal(Event),
    /// The terminal is gone.
    Deaf,
    Signal,
}

/// Watches; the exit code.
pub(super) fn top(arguments: &TopArgs) -> ExitCode {
    match watch(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(match error {
                TopError::Which(_) | TopError::NoTerminal => exit::USAGE,
                TopError::NotRunning(_) | TopError::Ask(_) => exit::SCRIPT,
                TopError::System(..) => exit::INTERNAL,
            })
        }
    }
}

fn watch(arguments: &TopArgs) -> Result<u8, TopError> {
    let journal = journal_of(arguments.campaign.as_deref(), "top", "harness top")?;
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if dumb || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        return Err(TopError::NoTerminal);
    }
    let signals = Signals::open().map_err(|error| TopError::System("receive signals", error))?;
    let (told, news) = channel();
    let questions =
        listen(&journal, signals, &told).map_err(|error| TopError::System("start a thread", error))?;
    let mut watched = Watched::of(&journal, questions);
    watched.ask();
    // What cannot be watched is better said than drawn.
    let first = news.recv().map_err(|_| TopError::NotRunning(journal.display().to_string()))?;
    match first {
        News::Answer(Ok(None)) => return Err(TopError::NotRunning(journal.display().to_string())),
        News::Answer(Err(error)) => return Err(error.into()),
        News::Signal => return Ok(exit::INTERRUPTED),
        first => watched.hear(first),
    };
    let mut screen = Screen::open().map_err(|error| TopError::System("draw on this terminal", error))?;
    let keys = move || {
        while let Ok(event) = event::read() {
            if told.send(News::Terminal(event)).is_err() {
                return;
            }
        }
        let _ = told.send(News::Deaf);
    };
    thread(keys).map_err(|error| TopError::System("start a thread", error))?;
    watched.show(&mut screen, &news).map_err(|error| TopError::System("draw on this terminal", error))
}

/// Starts who asks, and who waits for signals; what a question is put with.
fn listen(journal: &Path, mut signals: Signals, told: &Sender<News>) -> io::Result<Sender<()>> {
    let (questions, asked) = channel::<()>();
    let (journal, answers, rung) = (journal.to_path_buf(), told.clone(), told.clone());
    let asker = Asker { command: "top", terminal: true, now: false };
    thread(move || {
        for () in asked {
            let answer = asker.ask(&journal, &mut || drop(answers.send(News::Late)));
            let read = |line: String| {
                serde_json::from_str(&line).map_err(|error| AskError::Strange(error.to_string()))
            };
            let answer = answer.and_then(|line| line.map(read).transpose());
            if answers.send(News::Answer(answer)).is_err() {
                return;
            }
        }
    })?;
    thread(move || {
        while signals.take().is_none() {
            let mut fds = [PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN)];
            if wait(&mut fds, None).is_err() {
                return;
            }
        }
        let _ = rung.send(News::Signal);
    })?;
    Ok(questions)
}

/// None of them outlives the process, and nobody waits for their ends.
fn thread(run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("top".into()).spawn(run).map(drop)
}

/// A campaign, and what has been heard of it.
struct Watched {
    journal: PathBuf,
    state: State,
    tail: Option<Tail>,
    questions: Sender<()>,
    /// A question is not answered yet.
    asked: bool,
    /// When the next question is due.
    next: Instant,
    began: Instant,
    /// Why it is over, as an exit code.
    over: Option<u8>,
}

impl Watched {
    fn of(journal: &Path, questions: Sender<()>) -> Self {
        let (tail, now) = (Tail::of(journal).ok(), Instant::now());
        let (journal, state) = (journal.to_path_buf(), State::default());
        Self { journal, state, tail, questions, asked: false, next: now, began: now, over: None }
    }

    /// Draws and hears, until it is over; the exit code.
    fn show(mut self, screen: &mut Screen, news: &Receiver<News>) -> io::Result<u8> {
        loop {
            let (state, now) = (&mut self.state, self.began.elapsed().as_secs_f64());
            match screen.0.draw(|frame| state.scrollable = draw::draw(frame, state, now)) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EIO) => self.hear(News::Deaf),
                Err(error) => return Err(error),
            }
            if let Some(code) = self.over {
                return Ok(code);
            }
            let until = if self.asked || !self.state.asks() { Instant::now() + EVERY } else { self.next };
            match news.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(first) => {
                    self.hear(first);
                    news.try_iter().for_each(|next| self.hear(next));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(exit::INTERNAL),
            }
            if !self.asked && self.state.asks() && Instant::now() >= self.next {
                self.ask();
            }
        }
    }

    fn ask(&mut self) {
        self.next = Instant::now() + EVERY;
        self.asked = self.questions.send(()).is_ok();
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Answer(answer) => {
                self.asked = false;
                self.answered(answer);
            }
            News::Late => self.state.word = Word::Late,
            News::Terminal(Event::Key(event)) => {
                let quits = key(event).is_some_and(|key| !self.state.pressed(key));
                self.over = self.over.or(quits.then_some(exit::OK));
            }
            News::Terminal(_) => {} // another size: it is drawn anew anyway
            News::Deaf | News::Signal => self.over = Some(exit::INTERRUPTED),
        }
    }

    fn answered(&mut self, answer: Result<Option<Box<CampaignStatus>>, AskError>) {
        let records = self.tail.as_mut().and_then(|tail| tail.more().ok()).unwrap_or_default();
        self.state.recorded(records);
        match answer {
            Ok(Some(status)) => self.state.answered(self.began.elapsed().as_secs_f64(), *status),
            Ok(None) => {
                let (how, status) = recorded(&self.journal, self.state.status.take());
                self.state.status = Some(status);
                self.state.word = Word::Over(how);
            }
            Err(error) => self.state.word = Word::Unheard(error.to_string()),
        }
    }
}

/// How a campaign ended, and what of it is in the journal: that counts once it is over.
fn recorded(journal: &Path, last: Option<CampaignStatus>) -> (String, CampaignStatus) {
    let last = last.unwrap_or_default();
    let Ok(campaign) = Campaign::current(journal) else { return ("its journal cannot be read".into(), last) };
    let how = how_it_ended(campaign.ends.last().and_then(Option::as_ref));
    let tasks: Vec<_> = campaign.ended.into_iter().filter_map(Record::into_task).collect();
    let mut kinds: BTreeMap<Kind, KindStatus> = BTreeMap::new();
    let mut ended: BTreeMap<Status, usize> = BTreeMap::new();
    for (facts, outcome) in &tasks {
        let kind = kinds.entry(facts.kind).or_default();
        kind.submitted += 1;
        kind.done += 1;
        kind.failed += usize::from(!outcome.ok());
        *ended.entry(outcome.status).or_default() += 1;
    }
    let rows: Vec<Row<'_>> = tasks.iter().map(|(facts, outcome)| Row::of(facts, outcome)).collect();
    let failures = FailureStatus::of_lines(failures(&rows));
    (
        how,
        CampaignStatus { state: "ended".into(), stopping: None, kinds, ended, replayed: 0, failures, ..last },
    )
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    Some(match event.code {
        KeyCode::Char('c') if event.modifiers.contains(KeyModifiers::CONTROL) => Key::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Char('p') => Key::Pause,
        KeyCode::Char('?') => Key::Help,
        _ => return None,
    })
}

/// The terminal as we need it; as it was afterwards, also when a panic ends the process. It is never dropped: where the terminal is
/// gone it would say so there, and panic.
struct Screen(ManuallyDrop<DefaultTerminal>);

impl Screen {
    fn open() -> io::Result<Self> {
        let opened = ratatui::try_init();
        if opened.is_err() {
            // Half of it may be done.
            let _ = ratatui::try_restore();
        }
        opened.map(|terminal| Self(ManuallyDrop::new(terminal)))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing any more.
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use super::super::{panics, relay};
    use super::*;

    const VICTIM: &str = "HARNESS_TEST_PANICS_ON_A_SCREEN";

    /// Only when it is started by the test below.
    #[test]
    fn panics_on_a_screen() {
        if std::env::var_os(VICTIM).is_none() {
            return;
        }
        panics::end_the_process("harness");
        let _screen = Screen::open().unwrap();
        let _ = thread::spawn(|| panic!("boom")).join();
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "starts itself, to end by a panic")]
    fn a_panic_leaves_the_terminal_before_it_is_told() {
        let (ours, theirs) = relay::open_pair(io::stdin()).unwrap();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "cli::top::tests::panics_on_a_screen", "--nocapture"]).env(VICTIM, "1");
        command.stdin(theirs.try_clone().unwrap()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let mut child = command.spawn().unwrap();
        drop(command); // it holds the other end
        let mut shown = Vec::new();
        let _ = File::from(ours).read_to_end(&mut shown); // a terminal that is gone is an error, after all it showed
        assert_eq!(child.wait().unwrap().code(), Some(70));
        let shown = String::from_utf8_lossy(&shown);
        let at = |what: &str| shown.find(what).unwrap_or_else(|| panic!("no {what:?} in {shown:?}"));
        let (entered, left, told) = (at("\x1b[?1049h"), at("\x1b[?1049l"), at("report it: boom"));
        assert!(entered < left && left < told, "{shown:?}");
    }
}
