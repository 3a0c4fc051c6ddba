//! What a node says of itself to the doctor: clock, files, free space, and what of harness is left on it.
//!
//! It runs as a task of its own program on each node and prints one line of JSON. It judges nothing.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::artefact::Store;
use crate::machine::{self, Kernel, environment};
use crate::say::say;

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Node {
    /// `gethostname`.
    pub(super) host: String,
    /// Its clock, s since 1970.
    pub(super) unix_s: f64,
    /// What is in the token's file here.
    pub(super) token: Option<String>,
    /// The artefact store's folder.
    pub(super) store: Space,
    /// Where scratch folders go.
    pub(super) scratch: Space,
    /// Processes of harness that lost who they belong to.
    pub(super) leftovers: Vec<u32>,
    /// What of it moves figures, and what mends that.
    pub(super) noise: Vec<String>,
}

/// A folder, and what is free there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Space {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Bytes free to this user; none where it cannot be asked.
    pub(super) free: Option<u64>,
}

/// Prints it.
pub fn main(token: Option<&OsString>) -> ExitCode {
    let node = look(Path::new(token.map_or("".as_ref(), OsString::as_os_str)));
    let line = serde_json::to_string(&node).unwrap_or_default();
    use std::io::Write;
    match writeln!(std::io::stdout(), "{line}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("harness probe: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Looks at this node.
pub(super) fn look(token: &Path) -> Node {
    Node {
        host: machine::hostname(),
        unix_s: machine::unix_seconds(),
        token: fs::read_to_string(token).ok(),
        store: space(Store::default_folder()),
        scratch: space(crate::process::temporary()),
        leftovers: leftovers(),
        noise: environment::noise(&Kernel::here()).into_iter().map(|noise| noise.text).collect(),
    }
}

fn space(folder: PathBuf) -> Space {
    // It may not be there yet: then that above it counts.
    let there = folder.ancestors().find(|path| path.exists());
    let free =
        there.and_then(|path| rustix::fs::statvfs(path).ok()).map(|stat| stat.f_bavail * stat.f_frsize);
    Space { folder, free }
}

/// Workers, keepers and slots of this user whose parent has gone. Young ones are about to notice it themselves.
fn leftovers() -> Vec<u32> {
    /// Far longer than a keeper needs to end what it started.
    const YOUNG: Duration = Duration::from_secs(120);
    let user = rustix::process::getuid().as_raw();
    let is_ours = |pid: &u32| {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let Ok(command) = fs::read(folder.join("cmdline")) else { return false };
        let role = command.split(|byte| *byte == 0).nth(1).unwrap_or_default();
        let Ok(meta) = fs::metadata(&folder) else { return false };
        let age = meta.modified().ok().and_then(|began| began.elapsed().ok()).unwrap_or_default();
        let stat = fs::read_to_string(folder.join("stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1));
        [&b"__worker"[..], b"__keeper", b"__slot"].contains(&role)
            && meta.uid() == user
            && age > YOUNG
            && parent == Some("1")
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}
