//! Which journal a subcommand is about: named by itself or by its script, or the only one in this folder.

use std::fs;
use std::path::{Path, PathBuf};

use crate::journal;
use crate::root::default_journal;

/// Why it is not clear, in the words of the subcommand (`status`) whose line is `harness status`.
#[derive(Debug, thiserror::Error)]
pub(super) enum WhichJournal {
    #[error("{who}: there is no campaign in {folder}: name one, `{line} campaign.lua`")]
    None { who: &'static str, line: &'static str, folder: String },
    #[error("{who}: which campaign? `{lines}`")]
    Several { who: &'static str, lines: String },
    #[error("{who}: there is no {journal}; a campaign has a journal once it was started")]
    NotThere { who: &'static str, journal: String },
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
    match journal.is_file() {
        true => Ok(journal),
        false => Err(WhichJournal::NotThere { who, journal: journal.display().to_string() }),
    }
}

fn only_journal(who: &'static str, line: &'static str) -> Result<PathBuf, WhichJournal> {
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let entries = fs::read_dir(&here).into_iter().flatten().flatten().map(|entry| entry.path());
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
