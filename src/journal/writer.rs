//! The one thread that writes. It gathers what has come, writes it at once, says what is written.
//!
//! What it says is true: a token is reported as written after `write` returned for the last byte of its line.
//! When a write fails, whole lines that made it are kept, the partial one is cut off, the rest is reported as lost with the
//! reason. It also continues the index beside the journal. The driver polls this (`AsFd`) and takes what is new with
//! [`JournalWriter::written`].

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use super::appending::{Appending, Before};
use super::open::Locked;
use super::piece::{Kept, Piece};
use super::sidecar::{STRETCH_BYTES, Sidecar};
use crate::model::Record;

/// From a write to the `fdatasync` that follows: half of the second that is promised, for the disk takes time too.
const SYNC_AFTER: Duration = Duration::from_millis(500);
/// A batch is written once it has so many bytes.
const BATCH_BYTES: usize = 1 << 20;

/// Appends records to a journal.
pub struct JournalWriter {
    /// None once closed: the thread then finishes what it has.
    to_thread: Option<Sender<(u64, Record)>>,
    results: Receiver<Result<u64, Lost>>,
    /// Reports of this side: the thread is gone.
    own: Vec<Lost>,
    path: PathBuf,
    news: OwnedFd,
    thread: Option<JoinHandle<()>>,
    /// Nothing is to be left of this run.
    is_no_run: Arc<AtomicBool>,
}

/// Something that is not, or may not be, in the journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Lost {
    /// What was to be recorded; none if records reported as written may be lost in a power cut.
    pub token: Option<u64>,
    /// Why, and what to do.
    pub reason: String,
    /// The file that has what was written before; none if it has no name any more.
    pub place: Option<PathBuf>,
}

impl JournalWriter {
    /// Begins to append to `file`, which has `length` bytes, is open for appending, and was so `before`.
    pub(super) fn start(
        file: Locked,
        path: &Path,
        length: u64,
        indexing: Indexing,
        before: Before,
    ) -> io::Result<Self> {
        let news = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let (to_thread, records) = mpsc::channel();
        let (to_driver, results) = mpsc::channel();
        let is_no_run = Arc::new(AtomicBool::new(false));
        let thread = Thread {
            file: Appending::to(file, path, length),
            before,
            is_no_run: is_no_run.clone(),
            indexing,
            to_driver,
            news: news.try_clone()?,
        };
        let builder = std::thread::Builder::new().name("journal".into());
        let thread = Some(builder.spawn(move || thread.run(&records))?);
        Ok(Self {
            to_thread: Some(to_thread),
            results,
            own: Vec::new(),
            path: path.to_owned(),
            news,
            thread,
            is_no_run,
        })
    }

    /// Hands a record over; `token` comes back from [`written`](Self::written). Does not wait.
    pub fn append(&mut self, token: u64, record: Record) {
        let sent = self.to_thread.as_ref().is_some_and(|thread| thread.send((token, record)).is_ok());
        if !sent {
            let reason =
                "the journal's writer has ended; this is a fault of harness, please report it".into();
            self.own.push(Lost { token: Some(token), reason, place: Some(self.path.clone()) });
            ring(&self.news);
        }
    }

    /// Nothing was appended, and this was no run: once closed, the file is what it was before, and a new one is gone.
    pub fn was_no_run(&self) {
        self.is_no_run.store(true, Ordering::Release);
    }

    /// What was written or lost since the last call, in order. Call it when the descriptor is readable.
    pub fn written(&mut self) -> Vec<Result<u64, Lost>> {
        // First the bell, then the news: what comes between rings again. An empty counter is no error.
        let _ = rustix::io::read(&self.news, &mut [0u8; 8]);
        let news = self.results.try_iter();
        news.chain(self.own.drain(..).map(Err)).collect()
    }

    /// Writes what was handed over, waits until it is on the disk, and says what [`written`](Self::written) has not said yet.
    pub fn close(&mut self) -> Vec<Result<u64, Lost>> {
        self.finish();
        self.written()
    }

    fn finish(&mut self) {
        self.to_thread = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; what it did not report stays unreported.
            let _ = thread.join();
        }
    }
}

impl Drop for JournalWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

impl AsFd for JournalWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}

/// The index beside the journal, and what it does not have yet.
pub(super) struct Indexing {
    pub(super) sidecar: Sidecar,
    pub(super) rest: Piece,
}

impl Indexing {
    /// Continues the index once it is worth it. What `rest` has is on the disk.
    fn go_on(&mut self, journal: &File) {
        if self.rest.length() >= STRETCH_BYTES {
            self.sidecar.add(&self.rest, journal);
            self.rest = Piece::at(self.rest.end);
        }
    }
}

struct Thread {
    file: Appending,
    before: Before,
    is_no_run: Arc<AtomicBool>,
    indexing: Indexing,
    to_driver: Sender<Result<u64, Lost>>,
    news: OwnedFd,
}

impl Thread {
    fn run(mut self, records: &Receiver<(u64, Record)>) {
        let mut unsynced: Option<Instant> = None;
        let mut batch = Batch::default();
        loop {
            let next = match unsynced {
                None => records.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(since) => records.recv_timeout(SYNC_AFTER.saturating_sub(since.elapsed())),
            };
            let over = matches!(next, Err(RecvTimeoutError::Disconnected));
            if let Ok(first) = next {
                batch.add(first);
                while batch.text.len() < BATCH_BYTES
                    && let Ok(record) = records.try_recv()
                {
                    batch.add(record);
                }
                if self.write(&mut batch) > 0 {
                    unsynced = unsynced.or(Some(Instant::now()));
                }
            }
            if unsynced.is_some_and(|since| over || since.elapsed() >= SYNC_AFTER) {
                self.sync();
                unsynced = None;
            }
            if over {
                if self.is_no_run.load(Ordering::Acquire) {
                    // What cannot be taken back is the line of a run that did nothing.
                    let _ = self.file.take_back(&self.before);
                } else {
                    self.look();
                }
                return;
            }
        }
    }

    /// Writes a batch and reports on it; the bytes written.
    fn write(&mut self, batch: &mut Batch) -> usize {
        let (written, error) = self.file.append(&batch.text);
        let reason = error.map(|source| self.file.explain("write to it", source)).unwrap_or_default();
        for (token, line) in batch.lines.drain(..) {
            let result = match line {
                Ok(Line { end, length, kept }) if end <= written => {
                    self.indexing.rest.add(kept, length as u64);
                    Ok(token)
                }
                Ok(_) => Err(self.file.lost(Some(token), reason.clone())),
                Err(reason) => Err(self.file.lost(Some(token), reason)),
            };
            // The driver may be gone; the records are written all the same.
            let _ = self.to_driver.send(result);
        }
        batch.text.clear();
        ring(&self.news);
        written
    }

    /// Says so if the path does not lead to the file any more.
    fn look(&mut self) {
        if let Some(reason) = self.file.gone() {
            let _ = self.to_driver.send(Err(self.file.lost(None, reason)));
            ring(&self.news);
        }
    }

    /// Brings what is written to the disk, and looks whether the path still leads to it.
    fn sync(&mut self) {
        self.look();
        match self.file.file.sync_data() {
            Ok(()) => self.indexing.go_on(&self.file.file),
            Err(source) => {
                // The system says it once: that the next time goes well says nothing of what this time should have brought there.
                self.indexing.sidecar.give_up();
                let reason = self.file.explain("bring it to the disk", source);
                let _ = self.to_driver.send(Err(self.file.lost(None, reason)));
                ring(&self.news);
            }
        }
    }
}

/// Lines to be written together.
#[derive(Default)]
struct Batch {
    text: Vec<u8>,
    /// Token, and its line or why it has none.
    lines: Vec<(u64, Result<Line, String>)>,
}

/// A line in a batch: where it ends, its length, and what is kept of its record.
struct Line {
    end: usize,
    length: usize,
    kept: Kept,
}

impl Batch {
    fn add(&mut self, (token, record): (u64, Record)) {
        let start = self.text.len();
        let line = match serde_json::to_writer(&mut self.text, &record) {
            Ok(()) => {
                self.text.push(b'\n');
                let end = self.text.len();
                Ok(Line { end, length: end - start, kept: Kept::of(&record) })
            }
            Err(error) => {
                self.text.truncate(start);
                Err(format!("this record has no form in JSON: {error}"))
            }
        };
        self.lines.push((token, line));
    }
}

fn ring(bell: &OwnedFd) {
    // It fails only when the counter is full, and then it is readable already.
    let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::sidecar::Access;
    use crate::model::Artefact;
    use crate::model::Hash;

    /// Writes to a file that is empty.
    fn start(file: File, path: &Path) -> JournalWriter {
        let file = Locked(file);
        let indexing = Indexing {
            sidecar: Sidecar::read(path, &file, 0, Access::Writer, |_| {}),
            rest: Piece::default(),
        };
        JournalWriter::start(file, path, 0, indexing, Before::default()).unwrap()
    }

    fn record(bytes: u64) -> Record {
        Record::Artefact(Artefact { hash: Hash::of(b"a"), bytes, text_hash: None, build_id: None })
    }

    #[test]
    fn nothing_is_reported_as_written_that_is_not() {
        let full = File::options().append(true).open("/dev/full").unwrap();
        let mut writer = start(full, Path::new("full"));
        writer.append(1, record(1));
        writer.append(2, record(2));
        let news = writer.close();
        assert_eq!(
            news.iter().map(|lost| lost.as_ref().unwrap_err().token).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        let text = news[0].as_ref().unwrap_err().to_string();
        assert!(text.starts_with("journal full: cannot write to it: No space left on device"), "{text}");
        assert!(text.contains("free some space"), "{text}");
    }

    /// A journal whose path leads elsewhere after `mishap`, and what is said of it.
    fn after(mishap: impl Fn(&Path)) -> (tempfile::TempDir, PathBuf, Lost) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/journal");
        std::fs::create_dir(folder.path().join("below")).unwrap();
        let file = File::options().create(true).read(true).append(true).open(&path).unwrap();
        let mut writer = start(file, &path);
        mishap(&path);
        writer.append(1, record(1));
        let mut news = writer.close();
        assert_eq!(news.remove(0), Ok(1));
        let lost = news.remove(0).unwrap_err();
        assert!(news.is_empty(), "said once: {news:?}");
        (folder, path, lost)
    }

    #[test]
    fn a_journal_that_is_removed_is_written_back() {
        let (_folder, path, lost) = after(|path| std::fs::remove_file(path).unwrap());
        assert!(lost.reason.ends_with("all it holds was written back there"), "{lost}");
        assert_eq!(lost.place.as_ref(), Some(&path));
        let there = std::fs::read_to_string(&path).unwrap();
        assert!(there.contains("artefact") && there.ends_with('\n'), "{there}");
    }

    #[test]
    fn what_was_put_in_the_place_of_a_journal_is_left_and_the_records_are_beside_it() {
        let (_folder, path, lost) = after(|path| {
            std::fs::remove_file(path).unwrap();
            std::fs::write(path, "other").unwrap();
        });
        let aside = path.with_file_name("journal.1");
        assert!(
            lost.reason.ends_with(&format!("all the journal holds was written to {}", aside.display())),
            "{lost}"
        );
        assert_eq!(lost.place.as_ref(), Some(&aside));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "other");
        assert!(std::fs::read_to_string(&aside).unwrap().contains("artefact"));
    }

    #[test]
    fn a_journal_that_was_cut_down_in_its_place_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let file = File::options().create(true).read(true).append(true).open(&path).unwrap();
        let mut writer = start(file, &path);
        for token in 0..3 {
            writer.append(token, record(token));
        }
        let mut seen = 0;
        while seen < 3 {
            seen += writer.written().into_iter().map(Result::unwrap).count();
            std::thread::yield_now();
        }
        File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
        let news = writer.close();
        let lost = news[0].as_ref().unwrap_err();
        assert_eq!((news.len(), lost.token, lost.place.as_ref()), (1, None, None));
        assert!(lost.reason.contains("cut it down") && lost.reason.contains("(0 of "), "{lost}");
    }

    #[test]
    fn a_journal_that_cannot_be_written_back_is_nowhere() {
        let (_folder, _, lost) = after(|path| std::fs::remove_dir_all(path.parent().unwrap()).unwrap());
        assert!(
            lost.reason.contains("could not be written to") && lost.reason.contains("No such file"),
            "{lost}"
        );
        assert_eq!(lost.place, None);
    }

    #[test]
    fn nothing_is_indexed_behind_what_did_not_reach_the_disk() {
        for fails_once in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("journal");
            let file = File::options().create(true).read(true).append(true).open(&path).unwrap();
            file.set_len(STRETCH_BYTES).unwrap();
            let mut rest = Piece::default();
            rest.add(Kept::Nothing, STRETCH_BYTES);
            let sidecar = Sidecar::read(&path, &file, STRETCH_BYTES, Access::Writer, |_| {});
            let (to_driver, results) = mpsc::channel();
            // It takes everything and brings nothing to a disk.
            let null = File::options().append(true).open("/dev/null").unwrap();
            let mut thread = Thread {
                file: Appending::to(Locked(null), &path, 0),
                before: Before::default(),
                is_no_run: Arc::default(),
                indexing: Indexing { sidecar, rest },
                to_driver,
                news: eventfd(0, EventfdFlags::CLOEXEC).unwrap(),
            };
            if fails_once {
                thread.sync();
                assert_eq!(results.recv().unwrap().unwrap_err().token, None);
            }
            thread.file = Appending::to(Locked(file), &path, STRETCH_BYTES);
            thread.sync();
            assert_eq!(folder.path().join("journal.index").exists(), !fails_once);
        }
    }

    #[test]
    fn the_bell_rings_when_there_is_news_and_is_silent_when_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let file = File::options().create(true).append(true).open(&path).unwrap();
        let mut writer = start(file, &path);
        let rings = |writer: &JournalWriter, wait: bool| {
            let mut fds = [rustix::event::PollFd::new(writer, rustix::event::PollFlags::IN)];
            let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            rustix::event::poll(&mut fds, (!wait).then_some(&at_once)).unwrap() == 1
        };
        assert!(!rings(&writer, false));
        for token in 0..100 {
            writer.append(token, record(token));
        }
        let mut seen = Vec::new();
        while seen.len() < 100 {
            assert!(rings(&writer, true));
            seen.extend(writer.written().into_iter().map(Result::unwrap));
            let lines = std::fs::read(&path).unwrap().iter().filter(|&&byte| byte == b'\n').count();
            assert!(lines >= seen.len(), "{} reported, {lines} there", seen.len());
        }
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        // A last ring may still be on its way; reading it finds nothing new.
        assert!(writer.written().is_empty());
        assert!(writer.close().is_empty());
    }
}
