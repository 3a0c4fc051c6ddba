//! `harness new NAME`: a folder with a campaign that runs, its kernels, a test of it and what an editor needs.
//! `harness init [FOLDER]`: only the last, for a folder that is there.
//!
//! The files lie in `lua/scaffold` and travel inside the executable. Nothing that is there is ever written over.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::print::print_line;
use super::types::{self, TypesError};
use crate::model::exit;
use crate::say::say;

/// What a new folder gets, besides what `init` gives it.
const FILES: [(&str, &str); 7] = [
    ("campaign.lua", include_str!("../../lua/scaffold/campaign.lua")),
    ("campaign_test.lua", include_str!("../../lua/scaffold/campaign_test.lua")),
    ("lua/variants.lua", include_str!("../../lua/scaffold/lua/variants.lua")),
    ("kernels/axpy.c", include_str!("../../lua/scaffold/kernels/axpy.c")),
    ("kernels/stencil.c", include_str!("../../lua/scaffold/kernels/stencil.c")),
    ("kernels/kernel.h", include_str!("../../lua/scaffold/kernels/kernel.h")),
    ("README.md", include_str!("../../lua/scaffold/README.md")),
];
const IGNORED: (&str, &str) = (".gitignore", include_str!("../../lua/scaffold/gitignore"));

#[derive(Args)]
pub(super) struct NewArgs {
    /// The folder to make.
    #[arg(value_name = "NAME")]
    folder: PathBuf,
}

#[derive(Args)]
pub(super) struct InitArgs {
    /// The folder of your campaigns.
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
enum NewError {
    #[error(
        "new: {} is there already, and nothing in it is written over: name another folder, or `harness init {}` \
         gives it what an editor needs",
        .0.display(), .0.display()
    )]
    Taken(PathBuf),
    #[error("new: {} is there already, and no folder: name another one", .0.display())]
    NoFolder(PathBuf),
    #[error("{who}: cannot write {}: {why}; name a folder that you may write to", path.display())]
    Write { who: &'static str, path: PathBuf, why: io::Error },
    #[error("{}", .0.of("init"))]
    Types(#[from] TypesError),
}

/// Makes a folder; the exit code.
pub(super) fn new(arguments: &NewArgs) -> ExitCode {
    told("new", make(&arguments.folder))
}

/// Equips a folder; the exit code.
pub(super) fn init(arguments: &InitArgs) -> ExitCode {
    told("init", equip("init", &arguments.folder))
}

fn told(who: &str, done: Result<Vec<String>, NewError>) -> ExitCode {
    match done {
        Ok(lines) => print_line(who, &lines.join("\n"), exit::OK),
        Err(error) => {
            say(format_args!("harness: {error}"));
            ExitCode::from(match error {
                NewError::Taken(_) | NewError::NoFolder(_) => exit::USAGE,
                NewError::Write { .. } => exit::CANNOT_WRITE,
                NewError::Types(error) => error.code(),
            })
        }
    }
}

fn make(folder: &Path) -> Result<Vec<String>, NewError> {
    let failed = |why| NewError::Write { who: "new", path: folder.to_owned(), why };
    match fs::read_dir(folder).map(|mut entries| entries.next()) {
        Ok(None) => {}
        Ok(Some(_)) => return Err(NewError::Taken(folder.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(NewError::NoFolder(folder.to_owned()));
        }
        Err(error) => return Err(failed(error)),
    }
    let mut done = Vec::new();
    for (name, text) in FILES {
        done.extend(put("new", &folder.join(name), text)?);
    }
    done.extend(equip("new", folder)?);
    done.push(format!(
        "next: cd {} && harness check campaign.lua && harness test && harness campaign.lua",
        folder.display()
    ));
    Ok(done)
}

fn equip(who: &'static str, folder: &Path) -> Result<Vec<String>, NewError> {
    let mut done = types::write(folder)?;
    let path = folder.join(IGNORED.0);
    match put(who, &path, IGNORED.1)? {
        Some(line) => done.push(line),
        None if fs::read_to_string(&path).is_ok_and(|there| there.contains("*.journal")) => {
            done.push(format!("kept {}", path.display()));
        }
        None => done.push(format!("kept {}: add \"*.journal\" and \"*.journal.*\" to it", path.display())),
    }
    Ok(done)
}

/// Writes a file, unless there is one.
fn put(who: &'static str, path: &Path, text: &str) -> Result<Option<String>, NewError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = fs::create_dir_all(folder).and_then(|()| fs::File::create_new(path));
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => Ok(Some(format!("wrote {}", path.display()))),
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(why) => Err(NewError::Write { who, path: path.to_owned(), why }),
    }
}
