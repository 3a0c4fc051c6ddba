//! What launchers of MPI applications say when they start nothing: no word of the program, but of the launcher, the job
//! or who asks. Known by the texts of Open MPI, Hydra and srun. Pure.

/// How the line of it begins: a program says `unrecognized argument`, too.
#[derive(Clone, Copy, PartialEq)]
enum Begins {
    /// With the launcher's name.
    Name,
    /// With what is said.
    Plain,
    /// With the process of Hydra that says it: `[mpiexec@node1] `.
    Hydra,
}

/// What to do where a launcher does not reach a node.
const REACH: &str = "outside a job of Slurm mpirun starts them by ssh: `ssh NODE true` has to work without a password from the first node";

/// How its line begins, what is said, and what to do about it where we know.
const KNOWN: [(Begins, &str, &str); 12] = [
    (
        Begins::Name,
        "has detected an attempt to run as root",
        "env = { OMPI_ALLOW_RUN_AS_ROOT = 1, OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1 } says that it is meant",
    ),
    (
        Begins::Plain,
        "There are not enough slots available in the system to satisfy the",
        "fewer ranks, or launcher_args = { \"--oversubscribe\" }",
    ),
    (
        Begins::Plain,
        "All nodes which are allocated for this job are already filled",
        "launcher_args = { \"--oversubscribe\" }",
    ),
    (Begins::Plain, "ORTE was unable to reliably start one or more daemons", REACH),
    (Begins::Plain, "PRTE was unable to reliably start one or more daemons", REACH),
    (Begins::Name, "was unable to find the specified executable file", ""),
    (Begins::Name, "was unable to launch the specified application", ""),
    (Begins::Hydra, "execvp error on file", ""),
    (Begins::Hydra, "unable to get host address for", ""),
    (Begins::Hydra, "unrecognized argument", ""),
    (Begins::Plain, "srun: error: Unable to create step", ""),
    (Begins::Plain, "srun: error: Unable to allocate resources", ""),
];

/// Programs that start others on several nodes.
const LAUNCHERS: [&str; 8] = ["mpirun", "mpiexec", "orterun", "prterun", "prun", "srun", "aprun", "jsrun"];

/// Does a program of this name or path start others on several nodes? `mpirun.openmpi` and `mpiexec.hydra` do.
pub fn is_launcher(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or_default();
    LAUNCHERS.contains(&name.split('.').next().unwrap_or_default())
}

/// Why the launcher that wrote this to standard error started nothing, with what to do about it; none if it did, or says
/// nothing that is known. Ask only about the end of a launcher.
pub fn refusal(stderr: &str) -> Option<String> {
    let (begin, advice) = KNOWN.iter().find_map(|(begins, said, advice)| {
        let begin = stderr.match_indices(said).find_map(|(at, _)| {
            let begin = stderr[..at].rfind('\n').map_or(0, |newline| newline + 1);
            begins.fits(&stderr[begin..at]).then_some(begin)
        })?;
        Some((begin, advice))
    })?;
    // A sentence may go over several lines: to the next empty one.
    let lines = stderr[begin..].lines().map(str::trim).take_while(|line| says_something(line));
    let said = lines.collect::<Vec<_>>().join(" ");
    let said = said.split(". ").next().unwrap_or_default().trim_end_matches([':', '.']);
    Some(if advice.is_empty() { said.into() } else { format!("{said}; {advice}") })
}

impl Begins {
    /// Does a line with this before what is said?
    fn fits(self, before: &str) -> bool {
        match self {
            Begins::Name => is_launcher(before.trim_end()),
            Begins::Plain => before.is_empty(),
            Begins::Hydra => ["[mpiexec@", "[proxy:"].iter().any(|begin| before.starts_with(begin)),
        }
    }
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
    const NO_DAEMON: &str = "\
ssh: Could not resolve hostname node2: Name or service not known
--------------------------------------------------------------------------
ORTE was unable to reliably start one or more daemons.
This usually is caused by:

* not finding the required libraries and/or binaries on
  one or more nodes. Please check your PATH and LD_LIBRARY_PATH
  settings, or configure OMPI with --enable-orterun-prefix-by-default
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
        assert_eq!(of(NO_DAEMON), format!("ORTE was unable to reliably start one or more daemons; {REACH}"));
        assert_eq!(of(HYDRA), HYDRA.trim_end());
        // What the program said before is not in the way.
        let argument = "[mpiexec@node1] match_arg (lib/utils/args.c:166): unrecognized argument foo";
        assert_eq!(of(&format!("app: unrecognized argument\n{argument}\n")), argument);
    }

    #[test]
    fn launchers_are_known_by_their_names() {
        let all = ["mpirun", "/opt/mpi/bin/mpiexec.hydra", "srun", "./orterun"];
        assert!(all.into_iter().all(is_launcher));
        assert!(!["gcc", "/opt/mpirun/app", "mpirun-wrapper", ""].into_iter().any(is_launcher));
    }

    #[test]
    fn what_a_program_says_is_none() {
        for said in [
            "segmentation fault\n-----\n",
            "gcc: error: unrecognized argument in option ‘-mabi=foo’\n",
            "unrecognized argument in option ‘-mabi=foo’\n",
            "usage: a.py [-h]\na.py: error: unrecognized arguments: --x\n",
            "curl: unable to get host address for node1\n",
            "my app was unable to launch the specified application\n",
        ] {
            assert_eq!(refusal(said), None, "{said}");
        }
        let lines = ["", "  ", "-----", " = = =", "a", "--x--"];
        assert_eq!(lines.map(says_something), [false, false, false, false, true, true]);
    }
}
