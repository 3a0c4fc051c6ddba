//! The environment of a user's program: ours, without what an MPI launcher left in it.
//!
//! A program that finds the launcher's variables believes it is a rank of *our* job: a nested `mpiexec`
//! fails, and some versions hang the outer job. `SLURM_*` stays, because nested launchers need it; so
//! does what users set for compiler wrappers (`OMPI_CC`, `MPICH_CC`).

use std::collections::BTreeMap;
use std::ffi::{CString, NulError, OsString, c_char};
use std::os::unix::ffi::OsStringExt;

/// A variable whose name begins so belongs to the launcher of this process, not to the user.
const LAUNCHER_PREFIXES: &[&str] = &[
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

/// An environment in the form `execve` takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// Name → `NAME=value`.
    variables: BTreeMap<Vec<u8>, CString>,
}

impl Environment {
    /// These variables, without the launcher's.
    pub fn scrubbed(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let name = name.into_vec();
            if !LAUNCHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes())) {
                // What the system handed to us holds no NUL.
                let _ = environment.set(&name, &value.into_vec());
            }
        }
        environment
    }

    /// Sets a variable. Neither part may contain a NUL byte.
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), NulError> {
        let line = CString::new([name, b"=", value].concat())?;
        self.variables.insert(name.to_vec(), line);
        Ok(())
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.variables.get(name.as_bytes()).map(|line| &line.as_bytes()[name.len() + 1..])
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.variables.iter().map(|(name, line)| (name.as_slice(), &line.as_bytes()[name.len() + 1..]))
    }

    /// Bytes it takes in a new process.
    pub(super) fn size(&self) -> usize {
        self.variables.values().map(|line| line.as_bytes_with_nul().len() + size_of::<usize>()).sum()
    }

    /// A null-terminated `envp`, valid as long as `self`.
    pub(super) fn pointers(&self) -> Vec<*mut c_char> {
        let lines = self.variables.values().map(|line| line.as_ptr().cast_mut());
        lines.chain([std::ptr::null_mut()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrubbed(names: &[&str]) -> Vec<String> {
        let variables = names.iter().map(|name| (OsString::from(name), OsString::from("1")));
        let environment = Environment::scrubbed(variables);
        environment.iter().map(|(name, _)| String::from_utf8(name.to_vec()).unwrap()).collect()
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
        assert_eq!(environment.pointers().len(), 2);
    }
}
