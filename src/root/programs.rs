//! The content of programs that a command names by path: part of what is asked for. Rebuilt by hand, a program
//! is another one, and what was measured of the old one does not answer for it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustc_hash::FxHashMap;

use super::port::Job;
use crate::model::{Arg, CommandSpec, Cwd, Hash};

/// Programs hashed so far; one is read again only when its time or size changed.
#[derive(Default)]
pub(super) struct Programs {
    known: FxHashMap<PathBuf, (SystemTime, u64, Hash)>,
}

impl Programs {
    /// The content of the job's program, if its command names one by a path that leads to a file here; of several, all
    /// of them.
    pub(super) fn of(&mut self, job: &Job, campaign: &Path) -> Option<Hash> {
        if let Job::Call(_) | Job::Compile(_) = job {
            return None;
        }
        let of_command = |command: &CommandSpec| self.content(&path_of(command, campaign)?);
        let found: Vec<Hash> = job.commands().into_iter().filter_map(of_command).collect();
        match found.as_slice() {
            [] => None,
            [one] => Some(*one),
            many => Some(Hash::of(&many.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())),
        }
    }

    fn content(&mut self, path: &Path) -> Option<Hash> {
        let data = std::fs::metadata(path).ok().filter(|data| data.is_file())?;
        let (changed, size) = (data.modified().ok()?, data.len());
        if let Some((then, length, hash)) = self.known.get(path)
            && (*then, *length) == (changed, size)
        {
            return Some(*hash);
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path).ok()?).ok()?;
        let hash = Hash::finish(&hasher);
        self.known.insert(path.to_path_buf(), (changed, size, hash));
        Some(hash)
    }
}

fn path_of(command: &CommandSpec, campaign: &Path) -> Option<PathBuf> {
    let Some(Arg::Text(program)) = command.argv.first() else { return None };
    // A name without `/` is looked up in PATH, on the node.
    if !program.contains(&b'/') {
        return None;
    }
    let folder = match &command.cwd {
        Cwd::Campaign => campaign.to_path_buf(),
        Cwd::Path(path) => campaign.join(path),
        Cwd::Scratch => {
            return Path::new(OsStr::from_bytes(program))
                .is_absolute()
                .then(|| OsStr::from_bytes(program).into());
        }
    };
    Some(folder.join(OsStr::from_bytes(program)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ExecSpec;

    #[test]
    fn a_program_named_by_path_is_known_by_its_content() {
        let campaign = tempfile::tempdir().unwrap();
        let job = |program: &[u8]| {
            let command = CommandSpec { argv: vec![Arg::Text(program.into())], ..CommandSpec::default() };
            Job::Exec(Box::new(ExecSpec { command, ..ExecSpec::default() }))
        };
        let mut programs = Programs::default();
        std::fs::write(campaign.path().join("prog"), "one").unwrap();
        let one = programs.of(&job(b"./prog"), campaign.path());
        assert_eq!(one, Some(Hash::of(b"one")));
        std::fs::write(campaign.path().join("prog"), "another").unwrap();
        assert_eq!(programs.of(&job(b"./prog"), campaign.path()), Some(Hash::of(b"another")));
        assert_eq!(programs.of(&job(b"prog"), campaign.path()), None, "from PATH");
        assert_eq!(programs.of(&job(b"./missing"), campaign.path()), None);
    }
}
