//! The environment of a user's program: ours, without what an MPI launcher left in it.
//!
//! A program that finds the launcher's variables believes it is a rank of *our* job: a nested `mpiexec`
//! fails, and some versions hang the outer job. `SLURM_*` stays, because nested launchers need it; so
//! does what users set for compiler wrappers (`OMPI_CC`, `MPICH_CC`). PATH is the user's again: Open MPI puts its
//! own folder before it, and a program would find Open MPI's `mpiexec` instead of its own MPI's.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError, OsString, c_char};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;

use crate::model::{LAUNCHED_WITH, PATH_BEFORE};

/// A variable whose name begins so belongs to the launcher of this process, not to the user.
const LAUNCHER_PREFIXES: &[&str] = &[
    "HARNESS_INPUT",
    "HARNESS_LAUNCHED_BY",
    "HARNESS_PATH_BEFORE",
    "HYDI_",
    "HYD_",
    "IPATH_",
    "MPIR_CVAR_CH3_INTERFACE_HOSTNAME",
    "MPI_LOCAL",
    "OMPI_APP_CTX",
    "OMPI_ARGV",
    "OMPI_COMMAND",
    "OMPI_COMM_WORLD_",
    "OMPI_FILE_LOCATION",
    "OMPI_FIRST_RANKS",
    "OMPI_LIBDIR",
    "OMPI_MCA_",
    "OMPI_NUM_APP_CTX",
    "OMPI_PARENT_PORT",
    "OMPI_TOOL_NAME",
    "OMPI_UNIVERSE_SIZE",
    "OMPI_VERSION",
    "OMPI_WORLD_",
    "OPAL_",
    "ORTE_",
    "PMIX_",
    "PMI_",
    "PRTE_LAUNCHED",
    "PRTE_MCA_",
];

/// Where programs are looked for if nobody says where.
pub const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Name → `NAME=value`.
type Variables = BTreeMap<Vec<u8>, CString>;

/// An environment in the form `execve` takes. What many share is not copied for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    shared: Arc<Variables>,
    /// On top of the shared ones.
    own: Variables,
}

impl Environment {
    /// These variables, without the launcher's.
    pub fn scrubbed(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        let (mut before, mut open_mpi, mut ours) = (None, false, Vec::new());
        for (name, value) in variables {
            let name = name.into_vec();
            open_mpi |= name == b"OMPI_COMM_WORLD_SIZE";
            if name == PATH_BEFORE.as_bytes() {
                before = Some(value.into_vec());
                continue;
            }
            if name == LAUNCHED_WITH.as_bytes() {
                ours = value.into_vec();
                continue;
            }
            if !LAUNCHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes())) {
                // What the system handed to us holds no NUL.
                let _ = environment.set(&name, &value.into_vec());
            }
        }
        ours.split(|byte| *byte == b' ').for_each(|name| drop(environment.own.remove(name)));
        let path = before.or_else(|| open_mpi.then(|| without_launcher(environment.get("PATH")?)).flatten());
        if let Some(path) = path {
            let _ = environment.set(b"PATH", &path);
        }
        environment
    }

    /// Sets a variable. Neither part may contain a NUL byte.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), NulError> {
        let line = CString::new([name, b"=", value].concat())?;
        self.own.insert(name.to_vec(), line);
        Ok(())
    }

    /// Drops variables by their names.
    pub fn retain(&mut self, keep: impl Fn(&[u8]) -> bool) {
        self.own.retain(|name, _| keep(name));
        if !self.shared.keys().all(|name| keep(name)) {
            Arc::make_mut(&mut self.shared).retain(|name, _| keep(name));
        }
    }

    /// The same, cheap to clone from now on.
    pub fn shared(mut self) -> Self {
        Arc::make_mut(&mut self.shared).append(&mut self.own);
        self
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let line = self.own.get(name.as_bytes()).or_else(|| self.shared.get(name.as_bytes()))?;
        Some(&line.as_bytes()[name.len() + 1..])
    }

    /// Where programs are looked for that are named without a folder.
    pub fn search_path(&self) -> &[u8] {
        self.get("PATH").unwrap_or(DEFAULT_PATH.as_bytes())
    }

    /// Names and values that are text, in no particular order.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.lines().filter_map(|line| {
            let (name, value) = line.to_str().ok()?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
    }

    /// The lines `NAME=value`, in no particular order.
    fn lines(&self) -> impl Iterator<Item = &CString> {
        let shared = self.shared.iter().filter(|(name, _)| !self.own.contains_key(*name));
        shared.map(|(_, line)| line).chain(self.own.values())
    }

    /// Bytes it takes in a new process.
    pub(super) fn size(&self) -> usize {
        self.lines().map(|line| line.as_bytes_with_nul().len() + size_of::<usize>()).sum()
    }

    /// A null-terminated `envp`, valid as long as `self`.
    pub(super) fn pointers(&self) -> Vec<*mut c_char> {
        self.lines().map(|line| line.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
    }
}

/// A search path without the folder that Open MPI has put before it, once or twice. Stays if it is there only
/// so: the user may have named the launcher by its path, and needs the rest of that folder.
fn without_launcher(path: &[u8]) -> Option<Vec<u8>> {
    let folders: Vec<&[u8]> = path.split(|byte| *byte == b':').collect();
    let first = *folders.first()?;
    let put = folders.iter().take(2).take_while(|folder| **folder == first).count();
    let user = &folders[put..];
    user.contains(&first).then(|| user.join(&b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_harness_set_for_its_own_mpi_is_not_for_programs() {
        let line = |names: &str| {
            let set = [("A", "1"), (LAUNCHED_WITH, names), ("NETMOD", "ofi"), ("LEVEL", "error")];
            let environment = Environment::scrubbed(set.map(|(name, value)| (name.into(), value.into())));
            let mut names: Vec<String> = environment.variables().map(|(name, _)| name).collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(line("LEVEL NETMOD"), "A");
        assert_eq!(line("LEVEL"), "A NETMOD", "this one is the user's");
        assert_eq!(line(""), "A LEVEL NETMOD");
    }

    fn path_of(variables: &[(&str, &str)]) -> String {
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let environment = Environment::scrubbed(variables);
        assert_eq!(environment.get(PATH_BEFORE), None);
        String::from_utf8(environment.get("PATH").unwrap().to_vec()).unwrap()
    }

    #[test]
    fn the_path_is_the_users_again() {
        let rank = ("OMPI_COMM_WORLD_SIZE", "1");
        let theirs = ("PATH", "/usr/bin:/usr/bin:/mine:/usr/bin:/bin");
        assert_eq!(path_of(&[theirs]), theirs.1, "no launcher has touched it");
        assert_eq!(path_of(&[rank, theirs]), "/mine:/usr/bin:/bin");
        assert_eq!(path_of(&[rank, ("PATH", "/usr/bin:/mine:/usr/bin")]), "/mine:/usr/bin");
        let by_its_path = "/opt/mpi/bin:/opt/mpi/bin:/mine:/bin";
        assert_eq!(path_of(&[rank, ("PATH", by_its_path)]), by_its_path);
        assert_eq!(path_of(&[rank, theirs, (PATH_BEFORE, "/as:/it:/was")]), "/as:/it:/was");
    }

    fn scrubbed(names: &[&str]) -> Vec<String> {
        let variables = names.iter().map(|name| (OsString::from(name), OsString::from("1")));
        let environment = Environment::scrubbed(variables);
        let lines = environment.lines().map(|line| line.to_str().unwrap().strip_suffix("=1").unwrap());
        lines.map(String::from).collect()
    }

    #[test]
    fn the_launchers_variables_go_and_the_users_stay() {
        let launcher = ["PMI_FD", "PMIX_RANK", "OMPI_COMM_WORLD_RANK", "OMPI_MCA_btl", "HYDI_CONTROL_FD"];
        let user = ["HOME", "MPICH_CC", "OMPI_CC", "PATH", "SLURM_JOB_NODELIST"];
        assert_eq!(scrubbed(&[launcher, user].concat()), user);
    }

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let mut environment = Environment::default();
        environment.set(b"A", b"1").unwrap();
        environment.set(b"A", b"x=y").unwrap();
        assert_eq!(environment.get("A"), Some(&b"x=y"[..]));
        assert!(environment.set(b"B", b"\0").is_err());
        let base = environment.shared();
        let mut top = base.clone();
        top.set(b"A", b"2").unwrap();
        top.set(b"B", b"3").unwrap();
        assert_eq!(
            (base.get("A"), top.get("A"), top.get("B")),
            (Some(&b"x=y"[..]), Some(&b"2"[..]), Some(&b"3"[..]))
        );
        assert_eq!((base.pointers().len(), top.pointers().len()), (2, 3));
    }
}
