//! The content of programs that a command names by path: part of what is asked for. Rebuilt by hand, a program
//! is another one, and what was measured of the old one does not answer for it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustc_hash::FxHashMap;

use super::port::Job;
use super::recipe;
use crate::artefact::text_hash;
use crate::model::{Arg, CommandSpec, Cwd, Hash, MeasureSpec};

/// Programs hashed so far; one is read again only when its time or size changed.
#[derive(Default)]
pub(super) struct Programs {
    known: FxHashMap<PathBuf, (SystemTime, u64, Program)>,
}

/// A program that is named by path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Program {
    /// Its content.
    pub(super) content: Hash,
    /// Its code and data, if it is machine code: what a script starts in its turn is not known.
    pub(super) code: Option<Hash>,
}

/// What stands for the program of this measurement in the `parts` of a record made now; 0 if it names none by path, or
/// none that is there.
pub fn program_part(measure: &MeasureSpec, campaign: &Path) -> u32 {
    let program = Programs::default().of(&Job::Measure(Box::new(measure.clone())), campaign);
    recipe::of_program(program.map(|program| program.content))
}

impl Programs {
    /// The job's program, if its command names one by a path that leads to a file here; of several, all of them.
    pub(super) fn of(&mut self, job: &Job, campaign: &Path) -> Option<Program> {
        if let Job::Call(_) | Job::Compile(_) = job {
            return None;
        }
        let of_command = |command: &CommandSpec| self.read(&path_of(command, campaign)?);
        let found: Vec<Program> = job.commands().into_iter().filter_map(of_command).collect();
        match found.as_slice() {
            [] => None,
            [one] => Some(*one),
            many => {
                let all: Vec<u8> = many.iter().flat_map(|program| program.content.0).collect();
                Some(Program { content: Hash::of(&all), code: None })
            }
        }
    }

    fn read(&mut self, path: &Path) -> Option<Program> {
        let data = std::fs::metadata(path).ok().filter(|data| data.is_file())?;
        let (changed, size) = (data.modified().ok()?, data.len());
        if let Some((then, length, program)) = self.known.get(path)
            && (*then, *length) == (changed, size)
        {
            return Some(*program);
        }
        let file = File::open(path).ok()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file).ok()?;
        let program = Program { content: Hash::finish(&hasher), code: text_hash(&file) };
        self.known.insert(path.to_path_buf(), (changed, size, program));
        Some(program)
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
        assert_eq!(one, Some(Program { content: Hash::of(b"one"), code: None }));
        std::fs::write(campaign.path().join("prog"), "another").unwrap();
        let another = programs.of(&job(b"./prog"), campaign.path());
        assert_eq!(another.map(|program| program.content), Some(Hash::of(b"another")));
        let machine_code = std::env::current_exe().unwrap();
        let known = programs.of(&job(machine_code.as_os_str().as_bytes()), campaign.path());
        assert_eq!(known.unwrap().code, text_hash(&File::open(machine_code).unwrap()));
        assert!(known.unwrap().code.is_some());
        assert_eq!(programs.of(&job(b"prog"), campaign.path()), None, "from PATH");
        assert_eq!(programs.of(&job(b"./missing"), campaign.path()), None);
    }
}
