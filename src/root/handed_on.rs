//! What workers elsewhere are given of the root's environment.
//!
//! A batch system hands the environment of its job on to all nodes. Over ssh a worker has what a login there has, and
//! tasks would find other modules, compilers and libraries on other nodes than the script's, without a word.

use crate::process::Environment;

/// Not handed on: what belongs to a node, a session, or a step of a job. Those that end in `_` are beginnings of names.
const NOT_OURS_TO_SET: [&str; 22] = [
    "CUDA_VISIBLE_DEVICES",
    "DBUS_",
    "DISPLAY",
    "GPU_DEVICE_ORDINAL",
    "HARNESS_",
    "HIP_VISIBLE_DEVICES",
    "HOST",
    "HOSTNAME",
    "KRB5CCNAME",
    "LSB_",
    "OLDPWD",
    "PBS_",
    "PWD",
    "ROCR_VISIBLE_DEVICES",
    "SHLVL",
    "SLURM_",
    "SSH_",
    "TERM",
    "TMPDIR",
    "XDG_",
    "ZE_AFFINITY_MASK",
    "_",
];

/// The variables, by name.
pub(super) fn handed_on(environment: &Environment) -> Vec<(String, String)> {
    let theirs = |name: &str| {
        NOT_OURS_TO_SET
            .iter()
            .any(|not| name == *not || not.len() > 1 && not.ends_with('_') && name.starts_with(not))
    };
    let mut variables: Vec<(String, String)> =
        environment.variables().filter(|(name, _)| !theirs(name)).collect();
    variables.sort();
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_s_own_variables_stay_its_own() {
        let names =
            ["HOME", "HOSTNAME", "HOSTFILE", "LOADEDMODULES", "SLURM_JOB_ID", "TERM", "TERMINFO", "_", "_X"];
        let environment = Environment::scrubbed(names.map(|name| (name.into(), "1".into())));
        let handed: Vec<String> = handed_on(&environment).into_iter().map(|(name, _)| name).collect();
        assert_eq!(handed, ["HOME", "HOSTFILE", "LOADEDMODULES", "TERMINFO", "_X"]);
    }
}
