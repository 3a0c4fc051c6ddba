//! What launchers of MPI applications say when they start nothing: no word of the program, but of the launcher, the job
//! or who asks. Known by the texts of Open MPI, Hydra and srun. Pure.

/// What is said, and what to do about it where we know.
const KNOWN: [(&str, &str); 10] = [
    (
        "has detected an attempt to run as root",
        "env = { OMPI_ALLOW_RUN_AS_ROOT = 1, OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1 } says that it is meant",
    ),
    (
        "There are not enough slots available in the system to satisfy the",
        "fewer ranks, or launcher_args = { \"--oversubscribe\" }",
    ),
    (
        "All nodes which are allocated for this job are already filled",
        "launcher_args = { \"--oversubscribe\" }",
    ),
    ("was unable to find the specified executable file", ""),
    ("was unable to launch the specified application", ""),
    ("execvp error on file", ""),
    ("unable to get host address for", ""),
    ("unrecognized argument", ""),
    ("srun: error: Unable to create step", ""),
    ("srun: error: Unable to allocate resources", ""),
];

/// Why the launcher that wrote this to standard error started nothing, with what to do about it; none if it did, or says
/// nothing that is known.
pub fn refusal(stderr: &str) -> Option<String> {
    let (at, advice) = KNOWN.iter().find_map(|(said, advice)| Some((stderr.find(said)?, advice)))?;
    let begin = stderr[..at].rfind('\n').map_or(0, |newline| newline + 1);
    // A sentence may go over several lines: to the next empty one.
    let lines = stderr[begin..].lines().map(str::trim).take_while(|line| says_something(line));
    let said = lines.collect::<Vec<_>>().join(" ");
    let said = said.trim_end_matches([':', '.']);
    Some(if advice.is_empty() { said.into() } else { format!("{said}; {advice}") })
}

/// Is it more than a rule of dashes, or nothing at all?
pub fn says_something(line: &str) -> bool {
    line.contains(|c: char| !(c.is_whitespace() || "-=*_#~+".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As mpirun of Open MPI 4.1.4 says it.
    const AS_ROOT: &str = "\
--------------------------------------------------------------------------
mpirun has detected an attempt to run as root.

Running as root is *strongly* discouraged as any mistake (e.g., in
defining TMPDIR) or bug can result in catastrophic damage to the OS
file system, leaving your system in an unusable state.

We strongly suggest that you run mpirun as a non-root user.

You can override this protection by adding the --allow-run-as-root option
to the cmd line or by setting two environment variables in the following way:
the variable OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1.
We reiterate our advice against doing so - please proceed at your own risk.
--------------------------------------------------------------------------
";
    const NO_SLOTS: &str = "\
--------------------------------------------------------------------------
There are not enough slots available in the system to satisfy the 3
slots that were requested by the application:

  ./app

Either request fewer slots for your application, or make more slots
available for use.
--------------------------------------------------------------------------
";
    const HYDRA: &str = "[proxy:0:0@node1] HYDU_create_process (lib/utils/launch.c:24): execvp error on file ./gone (No \
                         such file or directory)\n";

    #[test]
    fn a_refusal_is_its_first_sentence_and_what_to_do() {
        let of = |stderr| refusal(stderr).unwrap_or_default();
        assert_eq!(
            of(AS_ROOT),
            "mpirun has detected an attempt to run as root; env = { OMPI_ALLOW_RUN_AS_ROOT = 1, \
             OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1 } says that it is meant"
        );
        assert_eq!(
            of(NO_SLOTS),
            "There are not enough slots available in the system to satisfy the 3 slots that were requested by the \
             application; fewer ranks, or launcher_args = { \"--oversubscribe\" }"
        );
        assert_eq!(of(HYDRA), HYDRA.trim_end());
    }

    #[test]
    fn what_a_program_says_is_none() {
        assert_eq!(refusal("segmentation fault\n-----\n"), None);
        let lines = ["", "  ", "-----", " = = =", "a", "--x--"];
        assert_eq!(lines.map(says_something), [false, false, false, false, true, true]);
    }
}
