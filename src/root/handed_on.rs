//! What workers elsewhere are given of the root's environment.
//!
//! A batch system hands the environment of its job on to all nodes. Over ssh a worker has what a login there has, and
//! tasks would find other modules, compilers and libraries on other nodes than the script's, without a word; the same
//! in a job whose steps are not given their script's environment (`--export=NONE`). So it is handed on whoever started
//! the worker, and what a batch system or a node says of itself is none of it.

use crate::process::Environment;

/// Not handed on: what belongs to a node, a session, or a step of a job. Those that end in `_` are beginnings of names.
const NOT_OURS_TO_SET: [&str; 38] = [
    "ALPS_",
    "COBALT_",
    "CUDA_VISIBLE_DEVICES",
    "DBUS_",
    "DISPLAY",
    "FLUX_",
    "GPU_DEVICE_ORDINAL",
    "HARNESS_",
    "HIP_VISIBLE_DEVICES",
    "HOST",
    "HOSTNAME",
    "JOB_ID",
    "KRB5CCNAME",
    "LSB_",
    "NHOSTS",
    "NQUEUES",
    "NSLOTS",
    "NVIDIA_VISIBLE_DEVICES",
    "OAR_",
    "OLDPWD",
    "PALS_",
    "PBS_",
    "PE_HOSTFILE",
    "PJM_",
    "PWD",
    "ROCR_VISIBLE_DEVICES",
    "SGE_",
    "SHLVL",
    "SLURMD_",
    "SLURM_",
    "SSH_",
    "TEMP",
    "TERM",
    "TMP",
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
        let own = "HOSTNAME SLURM_JOB_ID SLURMD_NODENAME PBS_NODENUM LSB_HOSTS SGE_TASK_ID PE_HOSTFILE JOB_ID NHOSTS \
                   NSLOTS FLUX_TASK_RANK PJM_NODE PALS_NODEID TMPDIR TMP TEMP NVIDIA_VISIBLE_DEVICES TERM _";
        let ours = "HOME HOSTFILE LOADEDMODULES PE_ENV TERMINFO TMPFS _X";
        let names = own.split(' ').chain(ours.split(' '));
        let environment = Environment::scrubbed(names.map(|name| (name.into(), "1".into())));
        let handed: Vec<String> = handed_on(&environment).into_iter().map(|(name, _)| name).collect();
        assert_eq!(handed.join(" "), ours);
    }
}
