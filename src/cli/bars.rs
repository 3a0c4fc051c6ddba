//! Bars below what a campaign prints, on a terminal.
//!
//! Everybody may write to the terminal at any time: the script, its `io.popen`, a call's `print` in another
//! process. So all of them are given a terminal of their own ([`Relay`]), and what arrives there is put above
//! the bars. Nothing is drawn at the end of a line that is not finished yet, such as a prompt.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::progress::{full, left};
use super::relay::{Event, Relay};
use crate::model::Kind;
use crate::model::human::count;
use crate::root::progress::{Count, Display, Standing};
use crate::say::flush;

/// No picture is replaced sooner.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// Of a terminal that does not say.
const UNKNOWN_WIDTH: u16 = 80;
const BAR: &str = "{prefix:>8} [{bar:30}] {pos}/{len}{msg}";

/// So long a terminal that shows nothing (stopped, or nobody reads) may hold up the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module. Only the relay's thread writes to the terminal: whoever shows something never waits for it.
pub(super) struct Bars {
    /// What is to be shown next.
    next: Arc<Mutex<Option<Standing>>>,
    relay: Mutex<Option<Relay>>,
}

impl Bars {
    /// Takes over standard error, and standard output where it is the same terminal.
    pub(super) fn open() -> io::Result<Self> {
        let terminal = File::from(rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3)?);
        let last_words = terminal.try_clone()?;
        let next = Arc::<Mutex<Option<Standing>>>::default();
        let shown = next.clone();
        let mut screen = Screen::new(terminal);
        let relay = Relay::start(move |event| match event {
            Event::Text(bytes) => screen.write(bytes),
            Event::Pause => screen.draw_again(),
            Event::Rung => {
                let next = lock(&shown).take();
                next.into_iter().for_each(|standing| screen.show(standing));
            }
            Event::Over => screen.close(),
        })?;
        // What a panic says would be lost behind the bars.
        super::panics::end_the_process_at("harness", last_words);
        Ok(Self { next, relay: Mutex::new(Some(relay)) })
    }
}

impl Display for Bars {
    fn every(&self) -> Duration {
        DRAW_EVERY
    }

    fn show(&self, standing: &Standing) {
        *lock(&self.next) = Some(standing.clone());
        if let Some(relay) = &*lock(&self.relay) {
            relay.ring();
        }
    }

    fn close(&self) {
        let relay = lock(&self.relay).take();
        if let Some(relay) = relay {
            // First what was written so far, then nothing of ours.
            flush(PATIENCE);
            relay.stop(PATIENCE);
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.close();
    }
}

/// A panic elsewhere leaves at worst half a picture.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The terminal: text above, bars below.
struct Screen<T: Write> {
    terminal: T,
    canvas: Canvas,
    group: MultiProgress,
    bars: BTreeMap<Kind, ProgressBar>,
    /// The line below the bars.
    foot: ProgressBar,
    /// What the bars say; none before the first picture and after the last.
    standing: Option<Standing>,
    /// Are they there?
    drawn: bool,
    /// The text ends in the middle of a line.
    in_line: bool,
}

impl<T: Write + AsFd> Screen<T> {
    fn new(terminal: T) -> Self {
        let canvas = Canvas::default();
        let group = MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(canvas.clone())));
        let foot = group.add(ProgressBar::no_length().with_style(style("{msg}")));
        let bars = BTreeMap::new();
        Self { terminal, canvas, group, bars, foot, standing: None, drawn: false, in_line: false }
    }

    fn show(&mut self, standing: Standing) {
        self.standing = Some(standing);
        self.draw();
    }

    /// Text of somebody else, above the bars.
    fn write(&mut self, text: &[u8]) {
        self.lift();
        lock(&self.canvas.bytes).extend_from_slice(text);
        self.in_line = text.last().map_or(self.in_line, |byte| *byte != b'\n');
        self.send();
    }

    /// The bars come back after a text.
    fn draw_again(&mut self) {
        if !self.drawn {
            self.draw();
        }
    }

    fn draw(&mut self) {
        let Some(standing) = self.standing.as_ref().filter(|_| !self.in_line) else { return };
        let width = rustix::termios::tcgetwinsize(&self.terminal).map_or(0, |size| size.ws_col);
        self.canvas.width.store(if width == 0 { UNKNOWN_WIDTH } else { width }, Ordering::Relaxed);
        for (place, (kind, count)) in standing.kinds.iter().enumerate() {
            let bar = self.bars.entry(*kind).or_insert_with(|| {
                let bar = ProgressBar::new(0).with_style(style(BAR)).with_prefix(kind.word());
                self.group.insert(place, bar)
            });
            bar.set_length(count.submitted as u64);
            bar.set_position(count.done as u64);
            bar.set_message(beside(count));
        }
        self.foot.set_message(foot(standing));
        self.drawn = true;
        self.send();
    }

    /// Takes the bars away; the cursor is where they began.
    fn lift(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = self.group.clear();
        }
    }

    fn close(&mut self) {
        self.lift();
        self.standing = None;
        self.send();
    }

    /// One write for each picture: whoever looks sees none half drawn.
    fn send(&mut self) {
        let bytes = std::mem::take(&mut *lock(&self.canvas.bytes));
        // A terminal that is gone is nobody's business.
        let _ = self.terminal.write_all(&bytes).and_then(|()| self.terminal.flush());
    }
}

/// `, 1 running, 3 failed`
fn beside(count: &Count) -> String {
    let mut text = String::new();
    for (number, what) in [(count.running, "running"), (count.failed, "failed")] {
        if number > 0 {
            text += &format!(", {number} {what}");
        }
    }
    text
}

/// `2 workers, about 40 s left`
fn foot(standing: &Standing) -> String {
    let left = left(standing).map(|left| format!(", {left}")).unwrap_or_default();
    let full = full(standing.full).map(|full| format!(", {full}")).unwrap_or_default();
    format!("{:>8} {}{left}{full}", "", count(standing.workers, "worker"))
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours; the plain bar is the better of two ways to say that one is wrong.
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

/// What indicatif draws on: bytes for a terminal that are sent when a picture is whole.
#[derive(Clone, Debug, Default)]
struct Canvas {
    width: Arc<AtomicU16>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Canvas {
    fn put(&self, text: &str) -> io::Result<()> {
        lock(&self.bytes).extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn go(&self, steps: usize, way: char) -> io::Result<()> {
        if steps == 0 { Ok(()) } else { self.put(&format!("\x1b[{steps}{way}")) }
    }
}

impl TermLike for Canvas {
    fn width(&self) -> u16 {
        self.width.load(Ordering::Relaxed)
    }
    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }
    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }
    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }
    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }
    fn write_line(&self, text: &str) -> io::Result<()> {
        self.put(text)?;
        self.put("\n")
    }
    fn write_str(&self, text: &str) -> io::Result<()> {
        self.put(text)
    }
    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\x1b[2K")
    }
    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
