//! Which journal a subcommand is about: named by itself or by its script, or the only one in this folder.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::journal::{self, JournalError};
use crate::report::Campaign;
use crate::root::default_journal;
use crate::say::say;

/// Why it is not clear, in the words of the subcommand (`status`) whose line is `harness status`.
#[derive(Debug, thiserror::Error)]
pub(super) enum WhichJournal {
    #[error("{who}: there is no campaign in {folder}: name one, `{line} campaign.lua`")]
    None { who: &'static str, line: &'static str, folder: String },
    #[error("{who}: which campaign? `{lines}`")]
    Several { who: &'static str, lines: String },
    #[error("{who}: there is no {journal}; a campaign has a journal once it was started")]
    NotThere { who: &'static str, journal: String },
    #[error("{who}: there is neither a script {script} nor its journal {journal}")]
    NoScript { who: &'static str, script: String, journal: String },
    #[error("{who}: {why}")]
    Unreadable { who: &'static str, why: String },
}

/// Why a campaign, or the measurements of several, cannot be read, in the words of the subcommand.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCampaign {
    #[error(transparent)]
    Which(#[from] WhichJournal),
    #[error("{who}: {}", error.to_reader())]
    Journal { who: &'static str, error: JournalError },
    #[error("{who}: {} is empty: no campaign has written to it yet", path.display())]
    Empty { who: &'static str, path: PathBuf },
    #[error("{0}: there is no measurement in any of the journals: is what the campaign times a `measure`?")]
    NoMeasurement(&'static str),
}

/// The campaign that is meant by its journal or its script, read.
pub(super) fn campaign_of(
    path: &Path,
    who: &'static str,
    line: &'static str,
) -> Result<Campaign, NoCampaign> {
    let journal = journal_of(Some(path), who, line)?;
    let campaign = Campaign::read(&journal).map_err(|error| NoCampaign::Journal { who, error })?;
    match campaign.header {
        Some(_) => Ok(campaign),
        None => Err(NoCampaign::Empty { who, path: journal }),
    }
}

/// Is there a file? Or why nobody can tell: what may not be looked at is not absent.
pub(super) fn is_file(path: &Path) -> Result<bool, String> {
    match fs::metadata(path) {
        Ok(data) => Ok(data.is_file()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

/// The journal that is meant.
pub(super) fn journal_of(
    campaign: Option<&Path>,
    who: &'static str,
    line: &'static str,
) -> Result<PathBuf, WhichJournal> {
    let Some(path) = campaign else { return only_journal(who, line) };
    let journal = match path.extension() {
        Some(extension) if extension == "journal" => path.to_path_buf(),
        // A journal may be called anything; a script is text that is no journal.
        _ if journal::last_session(path).is_some() => path.to_path_buf(),
        _ => default_journal(&path.canonicalize().unwrap_or_else(|_| path.to_path_buf())),
    };
    let unreadable = |why| WhichJournal::Unreadable { who, why };
    if is_file(&journal).map_err(unreadable)? {
        return Ok(journal);
    }
    if journal.exists() {
        return Err(unreadable(format!("{} is no regular file", journal.display())));
    }
    let shown = journal.display().to_string();
    if path.extension().is_some_and(|extension| extension == "lua") && !path.exists() {
        return Err(WhichJournal::NoScript { who, script: path.display().to_string(), journal: shown });
    }
    let not_there = WhichJournal::NotThere { who, journal: shown };
    // To open a pipe would be to wait for somebody who writes to it.
    if !is_file(path).map_err(unreadable)? {
        let why =
            || format!("{} is no regular file: name a campaign's script or its journal", path.display());
        return Err(if path.exists() { unreadable(why()) } else { not_there });
    }
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(unreadable(format!("cannot read {}: {error}", path.display())))
        }
        _ => Err(not_there),
    }
}

/// The journals that are meant; the only one in this folder, if none is named. One that is named twice is one, by whatever
/// names.
pub(super) fn journals_of(
    campaigns: &[PathBuf],
    who: &'static str,
    line: &'static str,
) -> Result<Vec<PathBuf>, WhichJournal> {
    if campaigns.is_empty() {
        return Ok(vec![only_journal(who, line)?]);
    }
    let mut journals: Vec<PathBuf> = Vec::new();
    let mut files = BTreeMap::new();
    for campaign in campaigns {
        let journal = journal_of(Some(campaign), who, line)?;
        let file = fs::metadata(&journal).map(|data| (data.dev(), data.ino()));
        let file = file.map_err(|error| WhichJournal::Unreadable {
            who,
            why: format!("cannot read {}: {error}", journal.display()),
        })?;
        match files.entry(file) {
            Entry::Vacant(entry) => {
                entry.insert(journal.clone());
                journals.push(journal);
            }
            Entry::Occupied(entry) if entry.get().canonicalize().ok() == journal.canonicalize().ok() => {
                say(format_args!("harness: {who}: {} is named twice, and counts once", journal.display()));
            }
            Entry::Occupied(entry) => say(format_args!(
                "harness: {who}: {} and {} are one file, which counts once",
                entry.get().display(),
                journal.display()
            )),
        }
    }
    Ok(journals)
}

fn only_journal(who: &'static str, line: &'static str) -> Result<PathBuf, WhichJournal> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let unreadable =
        |error| WhichJournal::Unreadable { who, why: format!("cannot read {}: {error}", here.display()) };
    let entries = fs::read_dir(&here).map_err(unreadable)?.flatten().map(|entry| entry.path());
    let mut journals: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "journal")).collect();
    journals.sort();
    match journals.len() {
        0 => Err(WhichJournal::None { who, line, folder: here.display().to_string() }),
        1 => Ok(journals.swap_remove(0)),
        _ => {
            let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let lines: Vec<String> = journals.iter().map(|path| format!("{line} {}", name(path))).collect();
            Err(WhichJournal::Several { who, lines: lines.join("`, `") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("c.lua.journal");
        std::os::unix::fs::symlink("c.lua.journal", &journal).unwrap();
        let why = journal_of(Some(&journal), "rerun", "harness rerun KEY").unwrap_err().to_string();
        assert!(why.starts_with("rerun: cannot read /") && why.contains("c.lua.journal: "), "{why}");
        assert_eq!(is_file(&dir.path().join("none")), Ok(false));
        assert_eq!(is_file(dir.path()), Ok(false));
    }
}
