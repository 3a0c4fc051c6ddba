//! The file of a trace, written by a thread of its own: neither the driver nor the script waits for a disk.
//!
//! It is never synced, and a line that was cut off is normal. If it cannot be written any more that is told once, and the campaign
//! goes on. Knows nothing of what stands in it, but that a file which is no trace is not to be overwritten.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::{Errno, ioctl_fionbio};
use serde::Serialize;

use super::{Header, Said};
use crate::core::{Action, Event};
use crate::say::post;

/// So much may wait for a slow disk (B). Beyond that the trace ends: the memory is the campaign's.
const MOST_WAITING: usize = 256 << 20;

/// How long the end of a campaign waits for the rest of its trace.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// It would cost a file of somebody's.
    #[error("--trace: {} is there and is no trace: name another file, or remove it", .0.display())]
    Taken(PathBuf),
    /// A pipe, and opening it would be to wait for somebody who reads.
    #[error("--trace: {} is a pipe that nobody reads from: name a file, or start who reads first", .0.display())]
    Unread(PathBuf),
    /// The system says no.
    #[error("--trace: cannot write {path}: {why}", path = .0.display(), why = .1)]
    Unwritable(PathBuf, io::Error),
}

enum Message {
    Line(Vec<u8>),
    /// Too much waits: nothing comes any more.
    Behind,
    End,
}

/// What waits to be written.
#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    /// It became too much, and the trace ends there.
    is_over: AtomicBool,
}

/// A trace that is being written.
pub(in crate::root) struct Trace {
    sink: Sink,
    lines: Sender<Message>,
    /// Nothing comes; its other end goes when all is written.
    written: Receiver<()>,
}

impl Trace {
    /// May one be written there? Touches nothing.
    pub(in crate::root) fn may_be_at(path: &Path) -> Result<(), TraceError> {
        match may_overwrite(path) {
            Ok(true) => Ok(()),
            Ok(false) => Err(TraceError::Taken(path.into())),
            Err(error) => Err(TraceError::Unwritable(path.into(), error)),
        }
    }

    /// Begins one; a trace that is there already is overwritten.
    pub(in crate::root) fn create(path: &Path, header: &Header) -> Result<Self, TraceError> {
        Self::may_be_at(path)?; // by now the journal may be there
        let unwritable = |error| TraceError::Unwritable(path.into(), error);
        let mut new = File::options();
        new.write(true).create(true).truncate(true).mode(0o600); // it says what a journal says
        new.custom_flags(OFlags::NONBLOCK.bits() as i32);
        let mut file = new.open(path).map_err(|error| match Errno::from_io_error(&error) {
            Some(Errno::NXIO) => TraceError::Unread(path.into()),
            _ => unwritable(error),
        })?;
        ioctl_fionbio(&file, false).map_err(|error| unwritable(error.into()))?;
        let mut first = serde_json::to_vec(header).map_err(|error| unwritable(error.into()))?;
        first.push(b'\n');
        file.write_all(&first).map_err(unwritable)?;
        let (lines, queue) = channel();
        let (done, written) = channel();
        let waiting = Arc::new(Waiting::default());
        let taken = waiting.clone();
        let shown = path.to_path_buf();
        let thread = std::thread::Builder::new().name("trace".into()).spawn(move || {
            if let Err(error) = write(file, &queue, &taken) {
                post(format_args!(
                    "harness: the trace {} is cut off: it cannot be written: {error}; the campaign goes on",
                    shown.display()
                ));
            }
            drop(done);
        });
        thread.map_err(unwritable)?;
        let sink = Sink(Some(Open { lines: lines.clone(), began: Instant::now(), waiting }));
        Ok(Self { sink, lines, written })
    }

    /// Where lines go.
    pub(in crate::root) fn sink(&self) -> Sink {
        self.sink.clone()
    }

    /// Waits until it is written, but not for ever.
    pub(in crate::root) fn close(self) {
        // Whoever writes may have given up already.
        let _ = self.lines.send(Message::End);
        let _ = self.written.recv_timeout(LAST_LINES);
    }
}

/// Is it a trace, or nothing that could be lost?
fn may_overwrite(path: &Path) -> io::Result<bool> {
    const BEGINNING: &[u8] = b"{\"schema\":\"harness.trace/";
    let there = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        there => there?,
    };
    if !there.is_file() || there.len() == 0 {
        return Ok(true);
    }
    let mut beginning = Vec::new();
    File::open(path)?.take(BEGINNING.len() as u64).read_to_end(&mut beginning)?;
    Ok(beginning == BEGINNING)
}

/// Until the end, or everybody who had something to write is gone. What nobody waits for is in the file at once.
fn write(file: File, queue: &Receiver<Message>, waiting: &Waiting) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    loop {
        let message = match queue.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                file.flush()?;
                queue.recv().ok()
            }
        };
        match message {
            Some(Message::Line(line)) => {
                waiting.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                file.write_all(&line)?;
            }
            Some(Message::Behind) => {
                file.flush()?;
                return Err(io::Error::other("it is written too slowly, and too much waits"));
            }
            Some(Message::End) | None => return file.flush(),
        }
    }
}

/// Takes lines; most campaigns have none that goes anywhere.
#[derive(Clone, Default)]
pub(in crate::root) struct Sink(Option<Open>);

#[derive(Clone)]
struct Open {
    lines: Sender<Message>,
    began: Instant,
    waiting: Arc<Waiting>,
}

impl Sink {
    /// From when its lines count the time.
    pub(in crate::root) fn began(&self) -> Option<Instant> {
        self.0.as_ref().map(|open| open.began)
    }

    /// Something passed through the port.
    pub(in crate::root) fn script(&self, said: &Said) {
        self.line(What::Script(said));
    }

    /// The scheduler is about to hear this.
    pub(in crate::root) fn event(&self, event: &Event) {
        self.line(What::Event(event));
    }

    /// It wants this done.
    pub(in crate::root) fn action(&self, action: &Action) {
        self.line(What::Action(action));
    }

    fn line(&self, what: What<'_>) {
        let Some(open) = self.0.as_ref().filter(|open| !open.waiting.is_over.load(Ordering::Acquire)) else {
            return;
        };
        let t = open.began.elapsed().as_micros() as f64 / 1e6;
        if let Ok(mut line) = serde_json::to_vec(&Line { t, what }) {
            line.push(b'\n');
            let waits = open.waiting.bytes.fetch_add(line.len(), Ordering::Relaxed) + line.len();
            // Whoever writes may have given up: that was said.
            let _ = open.lines.send(Message::Line(line));
            // Said behind the line that was too much, so that none is missing before it.
            if waits > MOST_WAITING && !open.waiting.is_over.swap(true, Ordering::AcqRel) {
                let _ = open.lines.send(Message::Behind);
            }
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    t: f64,
    #[serde(flatten)]
    what: What<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum What<'a> {
    Script(&'a Said),
    Event(&'a Event),
    Action(&'a Action),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_too_slowly_ends_with_a_whole_line() {
        let (lines, queue) = channel();
        let waiting = Arc::new(Waiting::default());
        let open = Open { lines, began: Instant::now(), waiting: waiting.clone() };
        let sink = Sink(Some(open));
        sink.event(&Event::Tick);
        waiting.bytes.fetch_add(MOST_WAITING, Ordering::Relaxed); // as if that much were in the queue
        for _ in 0..3 {
            sink.event(&Event::Drain);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let error = write(File::create(&path).unwrap(), &queue, &waiting).unwrap_err();
        assert!(error.to_string().contains("too slowly"), "{error}");
        let written = fs::read_to_string(&path).unwrap();
        let events = written.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        assert_eq!(
            events.map(|line| line["event"].to_string()).collect::<Vec<_>>(),
            ["\"tick\"", "\"drain\""]
        );
    }

    #[test]
    fn a_file_that_is_no_trace_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path
        };
        for (name, text, may) in [
            ("empty", "", true),
            ("trace", "{\"schema\":\"harness.trace/1\",\"version\"", true),
            ("campaign.lua", "print 'hello'\n", false),
            ("journal", "{\"type\":\"header\",\"schema\":\"harness.journal/1\"}\n", false),
        ] {
            assert_eq!(may_overwrite(&file(name, text)).unwrap(), may, "{name}");
        }
        assert!(may_overwrite(&folder.path().join("none")).unwrap());
    }
}
