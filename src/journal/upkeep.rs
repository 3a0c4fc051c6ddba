//! What people do with journals that lie there: look whether they are whole, leave out what does not count any more, make
//! one of several (`harness journal`). None of it changes what a journal answers.

use std::io;
use std::path::{Path, PathBuf};

use super::open::{Mode, behind, free_name, sync_folder, take};
use super::read::open;
use super::rewrite::{Damage, Plan, Survey, clear};
use super::{JournalError, is_held};
use crate::model::Header;
use crate::model::human::count;

/// A journal that was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Its first line.
    pub header: Header,
    /// Runs of the script.
    pub sessions: u64,
    /// Records of tasks and states.
    pub records: u64,
    /// Lines that `compact` would leave out.
    pub superseded: u64,
    /// What is no record, in order.
    pub damaged: Vec<Damage>,
    /// Bytes behind the whole lines.
    pub torn: u64,
    /// Somebody writes to it.
    pub is_held: bool,
}

/// Reads all of a journal.
pub fn check(path: &Path) -> Result<Checked, JournalError> {
    let file = open(path)?;
    let is_held = is_held(path).unwrap_or(false);
    let mut damaged = Vec::new();
    let survey = Survey::of(path, file, |damage| {
        damaged.push(damage);
        Ok(())
    })?;
    let (records, sessions) = survey.counts();
    Ok(Checked {
        sessions,
        records,
        superseded: Plan::of(std::slice::from_ref(&survey)).dropped,
        header: survey.head.header,
        damaged,
        torn: survey.torn,
        is_held,
    })
}

/// What became of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// Lines that stayed, without the first.
    pub kept: u64,
    /// Lines that did not.
    pub dropped: u64,
    /// Its length before and after, B.
    pub bytes: (u64, u64),
    /// Where the old one is; none if there was nothing to leave out.
    pub aside: Option<PathBuf>,
    /// What the user should hear, one line each.
    pub notes: Vec<String>,
}

/// Leaves out what does not count any more; the old file is kept under another name.
pub fn compact(path: &Path) -> Result<Compacted, JournalError> {
    let path = &behind(path);
    let failed = |doing| move |source| JournalError::Io { path: path.to_owned(), doing, source };
    open(path)?;
    let mut notes = Vec::new();
    let (locked, _) = take(path, Mode::Resume, &mut notes)?;
    notes.extend(cleared(path));
    let journals = [Survey::whole(path, locked.try_clone().map_err(failed("read it"))?)?];
    let plan = Plan::of(&journals);
    let before = locked.metadata().map_err(failed("read it"))?.len();
    let (kept, dropped) = (plan.kept(), plan.dropped);
    if dropped == 0 {
        return Ok(Compacted { kept, dropped, bytes: (before, before), aside: None, notes });
    }
    let (file, after) = plan.write(&journals, 0, path)?;
    // A second name first: there is a whole journal under the first one at every moment.
    let aside = loop {
        let aside = free_name(path);
        match std::fs::hard_link(path, &aside) {
            Ok(()) => break aside,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("keep the old one under another name")(error)),
        }
    };
    file.persist(path).map_err(|error| failed("put the new one in its place")(error.error))?;
    sync_folder(path).map_err(failed("write to its folder"))?;
    Ok(Compacted { kept, dropped, bytes: (before, after), aside: Some(aside), notes })
}

/// What several journals came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Runs of the script.
    pub sessions: u64,
    /// Lines of the new journal, without the first.
    pub kept: u64,
    /// Lines of the old ones that are not in it.
    pub dropped: u64,
    /// Tasks and states of which they had different records.
    pub conflicts: u64,
    /// What the user should hear, one line each.
    pub notes: Vec<String>,
}

/// Makes one journal of several, at `to`, where nothing is yet.
pub fn merge(from: &[PathBuf], to: &Path) -> Result<Merged, JournalError> {
    if std::fs::symlink_metadata(to).is_ok() {
        return Err(JournalError::Exists { path: to.to_owned() });
    }
    let cleared = cleared(to);
    let read = |path: &PathBuf| Survey::whole(path, open(path)?);
    let journals = from.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let began = |at: &usize| journals[*at].head.header.started_unix_s;
    let first = (0..journals.len()).min_by(|a, b| began(a).total_cmp(&began(b))).unwrap_or_default();
    let plan = Plan::of(&journals);
    let (file, _) = plan.write(&journals, first, to)?;
    file.persist_noclobber(to).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => JournalError::Exists { path: to.to_owned() },
        _ => JournalError::Io { path: to.to_owned(), doing: "create it", source: error.error },
    })?;
    let failed = |source| JournalError::Io { path: to.to_owned(), doing: "write to its folder", source };
    sync_folder(to).map_err(failed)?;
    Ok(Merged {
        sessions: plan.sessions(&journals),
        kept: plan.kept(),
        dropped: plan.dropped,
        conflicts: plan.conflicts,
        notes: cleared.into_iter().chain(notes(&journals, first)).collect(),
    })
}

/// Removes what is left of one that was killed, and says so.
fn cleared(path: &Path) -> Option<String> {
    let files = clear(path);
    (files > 0).then(|| {
        format!(
            "removed {} that a `harness journal` left beside {} when it was killed",
            count(files, "file"),
            path.display()
        )
    })
}

/// What makes journals hard to join, and did not hinder it.
fn notes(journals: &[Survey], first: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let header = &journals[first].head.header;
    let name = |header: &Header| Path::new(&header.script).file_name().map(ToOwned::to_owned);
    for Survey { path, head, torn, .. } in journals {
        let path = path.display();
        if name(&head.header) != name(header) {
            notes.push(format!("{path} is of another script: {}, not {}", head.header.script, header.script));
        } else if head.header.seed != header.seed {
            notes.push(format!(
                "{path} has another seed, {}: the new journal has {}, so a script that draws numbers may ask for \
                 other tasks than were recorded there",
                head.header.seed, header.seed
            ));
        }
        if *torn > 0 {
            notes.push(format!("{path}: its last line is not written completely, and was left out"));
        }
    }
    notes
}
