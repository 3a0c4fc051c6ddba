//! How the ranks of an MPI application are started on the nodes of its gang: the launcher, its arguments, and what its
//! environment must say.
//!
//! Pure functions over what was asked, the nodes, and what is found on the search path, so that every line is tested as
//! text. Two things go wrong silently, and decide the shape of most lines: a launcher that places ranks by the
//! variables of the step it is started in (so all nodes are named, and those variables are replaced by the job's), and
//! one that waits for the cores of the step harness itself runs in (so it may overlap). Never starts anything, never
//! knows tasks, processes or folders.

mod refusal;
mod slurm;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::model::{Gang, LaunchSpec, Launcher};

pub use refusal::{is_launcher, refusal, says_something};
pub use slurm::Slurm;

/// In the environment of every process of a gang's attempt, on every node: [`Gang::mark`].
pub const GANG_VARIABLE: &str = "HARNESS_GANG";
/// Ranks on other nodes get these from the task, where a launcher has to be told.
const FORWARDED: [&str; 2] = ["PATH", "LD_LIBRARY_PATH"];
/// The names a template may have in braces.
const PLACEHOLDERS: [&str; 6] = ["ranks", "nodes", "ranks_per_node", "gpus_per_rank", "hosts", "hostfile"];

/// What starts ranks where nothing else is said: the first of these names that is found.
pub const MPIEXECS: [&str; 2] = ["mpiexec", "mpirun"];

/// The `mpiexec`s we know how to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// MPICH and its children (MVAPICH, Intel MPI).
    Hydra,
    /// Open MPI, with ORTE (4) or PRRTE (5): the lines are the same.
    OpenMpi,
}

impl Family {
    /// From what `mpiexec --version` says.
    pub fn of(version: &str) -> Option<Self> {
        let says = |name| version.contains(name);
        if says("Open MPI") || says("OpenRTE") || says("PRRTE") {
            Some(Family::OpenMpi)
        } else if says("HYDRA") || says("Intel(R) MPI") {
            Some(Family::Hydra)
        } else {
            None
        }
    }
}

/// The `mpiexec` or `mpirun` of the task's search path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mpiexec {
    /// Where it is.
    pub path: String,
    /// Whose it is; none if it says nothing we know.
    pub family: Option<Family>,
}

/// What is there to launch with, where the line will be run.
pub struct Around<'a> {
    /// The first one found.
    pub mpiexec: Option<&'a Mpiexec>,
    /// Is there a program of this name?
    pub has: &'a dyn Fn(&str) -> bool,
    /// The task's environment.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Further variables that ranks on other nodes must see.
    pub forward: &'a [String],
    /// Where the host file is, for those that ask for one.
    pub hostfile: &'a Path,
}

/// What comes before the command, and what must change in its environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The launcher and its arguments; empty if the command launches itself.
    pub argv: Vec<String>,
    /// Variables to set.
    pub set: Vec<(String, String)>,
    /// What becomes of Slurm's variables; before `set`.
    pub slurm: Slurm,
}

/// Why there is no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// Nothing to launch with.
    #[error(
        "there is neither `mpiexec`, `mpirun`, `srun`, `aprun` nor `jsrun` on the task's search path: load the MPI's \
         module before harness, set env = {{ PATH = … }}, or give launcher = \"… -n {{ranks}} … {{hosts}}\""
    )]
    Nothing,
    /// It was asked for by name.
    #[error(
        "launcher = \"{0}\": there is no such program on the task's search path: load its module before harness, or \
         take launcher = \"auto\""
    )]
    Absent(&'static str),
    /// srun would ask for nodes of its own, and wait for them.
    #[error(
        "launcher = \"srun\" needs a job of Slurm, and there is none here: run the campaign inside sbatch or salloc"
    )]
    NoJob,
    /// An `mpiexec` of its own kind.
    #[error(
        "`{0}` is of an MPI that harness does not know (its --version names neither Open MPI nor Hydra): write its \
         arguments yourself, launcher = \"{0} -n {{ranks}} … {{hosts}}\""
    )]
    Unknown(String),
}

/// The line that starts the ranks of `spec` on exactly the nodes of `gang`.
pub fn line(spec: &LaunchSpec, gang: &Gang, around: &Around<'_>) -> Result<Line, LaunchError> {
    let job = Job { spec, gang, around };
    let mut line = match &spec.launcher {
        Launcher::Auto => job.auto()?,
        Launcher::Mpiexec => job.mpiexec()?,
        Launcher::Srun => job.srun()?,
        Launcher::Aprun => job.aprun()?,
        Launcher::Jsrun => job.jsrun()?,
        Launcher::None => job.prefixes(),
        Launcher::Template(words) => job.template(words),
    };
    if !line.argv.is_empty() {
        line.argv.extend(spec.args.iter().cloned());
    }
    line.set.extend(variables(spec, gang));
    Ok(line)
}

/// What every process of the gang is told of it.
fn variables(spec: &LaunchSpec, gang: &Gang) -> Vec<(String, String)> {
    let known = [
        (GANG_VARIABLE, gang.mark.clone()),
        ("HARNESS_NODELIST", gang.hosts.join(",")),
        ("HARNESS_NUM_NODES", gang.hosts.len().to_string()),
        ("HARNESS_NUM_RANKS", spec.ranks.to_string()),
        ("HARNESS_RANKS_PER_NODE", spec.ranks_per_node.to_string()),
        ("HARNESS_POOL_ID", gang.pool.to_string()),
    ];
    known.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

/// A host file that all launchers read as we mean it: a line for each rank, as PBS writes it.
pub fn hostfile(spec: &LaunchSpec, gang: &Gang) -> String {
    let lines = gang.hosts.iter().map(|host| format!("{host}\n").repeat(spec.ranks_per_node as usize));
    lines.collect()
}

/// Does the line name the host file?
pub fn wants_hostfile(launcher: &Launcher) -> bool {
    match launcher {
        Launcher::None => true,
        Launcher::Template(words) => words.iter().any(|word| word.contains("{hostfile}")),
        _ => false,
    }
}

/// Does the line depend on which MPI the `mpiexec` is of?
pub fn wants_family(launcher: &Launcher) -> bool {
    matches!(launcher, Launcher::Auto | Launcher::Mpiexec | Launcher::Srun | Launcher::None)
}

/// What one line is made of.
struct Job<'a> {
    spec: &'a LaunchSpec,
    gang: &'a Gang,
    around: &'a Around<'a>,
}

impl Job<'_> {
    /// The launcher of the user's MPI knows best how to start it; without one, the batch system's.
    fn auto(&self) -> Result<Line, LaunchError> {
        let has = self.around.has;
        if self.around.mpiexec.is_some() {
            self.mpiexec()
        } else if self.in_slurm() && has("srun") {
            self.srun()
        } else if has("aprun") {
            self.aprun()
        } else if has("jsrun") {
            self.jsrun()
        } else {
            Err(LaunchError::Nothing)
        }
    }

    fn mpiexec(&self) -> Result<Line, LaunchError> {
        // On one node nothing is to be asked of Slurm, and a step of its own would only cost time.
        if self.alone() { self.mpiexec_on("localhost", true) } else { self.mpiexec_on_all() }
    }

    fn mpiexec_on_all(&self) -> Result<Line, LaunchError> {
        self.mpiexec_on(&self.gang.hosts.join(","), false)
    }

    fn mpiexec_on(&self, hosts: &str, alone: bool) -> Result<Line, LaunchError> {
        let mpiexec = self.around.mpiexec.ok_or(LaunchError::Absent("mpiexec"))?;
        let (ranks, per_node) = (self.spec.ranks.to_string(), self.spec.ranks_per_node.to_string());
        let mut argv = vec![mpiexec.path.clone()];
        let mut say = |words: &[&str]| argv.extend(words.iter().map(|word| word.to_string()));
        match mpiexec.family.ok_or_else(|| LaunchError::Unknown(mpiexec.path.clone()))? {
            Family::Hydra => say(&["-genvall", "-n", &ranks, "-ppn", &per_node, "-hosts", hosts]),
            Family::OpenMpi => {
                let slots: Vec<String> = hosts.split(',').map(|host| format!("{host}:{per_node}")).collect();
                say(&["-np", &ranks, "--host", &slots.join(",")]);
                if !self.gang.whole {
                    // Two of them on one node would be bound to the same cores.
                    say(&["--bind-to", "none"]);
                }
                for name in self.forwarded() {
                    say(&["-x", &name]);
                }
            }
        }
        let slurm = if alone { Slurm::Dropped } else { self.slurm() };
        Ok(Line { argv, set: slurm.variables(self.around.env), slurm })
    }

    fn srun(&self) -> Result<Line, LaunchError> {
        if !(self.around.has)("srun") {
            return Err(LaunchError::Absent("srun"));
        }
        if !self.in_slurm() {
            return Err(LaunchError::NoJob);
        }
        let hosts = self.gang.hosts.join(",");
        let mut line = self.with(&[
            "srun",
            "--overlap",
            "--export=ALL",
            "-N",
            &self.gang.hosts.len().to_string(),
            "-n",
            &self.spec.ranks.to_string(),
            "--ntasks-per-node",
            &self.spec.ranks_per_node.to_string(),
            "-m",
            "block",
            "-w",
            &hosts,
        ]);
        // Slurm's plugin has to speak the MPI's protocol, or each rank is alone in a world of its own.
        line.argv.extend(match self.around.mpiexec.and_then(|mpiexec| mpiexec.family) {
            Some(Family::OpenMpi) => Some("--mpi=pmix".into()),
            Some(Family::Hydra) => Some("--mpi=pmi2".into()),
            None => None,
        });
        // Alone on its nodes each rank has cores of its own. Steps that share nodes would be given the same ones.
        line.argv.push(if self.gang.whole { "--exact" } else { "--cpu-bind=none" }.into());
        line.argv.extend(self.spec.cores_per_rank.map(|cores| format!("--cpus-per-task={cores}")));
        line.argv.extend(self.spec.gpus_per_rank.map(|gpus| format!("--gpus-per-task={gpus}")));
        line.slurm = Slurm::OfTheJob;
        line.set = line.slurm.variables(self.around.env);
        Ok(line)
    }

    fn aprun(&self) -> Result<Line, LaunchError> {
        if !(self.around.has)("aprun") {
            return Err(LaunchError::Absent("aprun"));
        }
        let nodes: Vec<&str> = self.gang.hosts.iter().map(|host| nid(host)).collect();
        let (ranks, per_node) = (self.spec.ranks.to_string(), self.spec.ranks_per_node.to_string());
        let mut line = self.with(&["aprun", "-n", &ranks, "-N", &per_node, "-L", &nodes.join(",")]);
        if let Some(cores) = self.spec.cores_per_rank {
            line.argv.extend(["-d".into(), cores.to_string()]);
        }
        Ok(line)
    }

    /// A resource set for each rank; which nodes they are on, jsrun decides itself.
    fn jsrun(&self) -> Result<Line, LaunchError> {
        if !(self.around.has)("jsrun") {
            return Err(LaunchError::Absent("jsrun"));
        }
        let (ranks, per_node) = (self.spec.ranks.to_string(), self.spec.ranks_per_node.to_string());
        let cores = self.spec.cores_per_rank.unwrap_or(1).to_string();
        let mut line = self.with(&["jsrun", "-n", &ranks, "-r", &per_node, "-a", "1", "-c", &cores]);
        if let Some(gpus) = self.spec.gpus_per_rank {
            line.argv.extend(["-g".into(), gpus.to_string()]);
        }
        Ok(line)
    }

    fn template(&self, words: &[String]) -> Line {
        let values = [
            self.spec.ranks.to_string(),
            self.gang.hosts.len().to_string(),
            self.spec.ranks_per_node.to_string(),
            self.spec.gpus_per_rank.unwrap_or(0).to_string(),
            self.gang.hosts.join(","),
            self.around.hostfile.display().to_string(),
        ];
        let fill = |word: &String| {
            let filled = PLACEHOLDERS.iter().zip(&values);
            filled.fold(word.clone(), |word, (name, value)| word.replace(&format!("{{{name}}}"), value))
        };
        let slurm = self.slurm();
        Line { argv: words.iter().map(fill).collect(), set: slurm.variables(self.around.env), slurm }
    }

    /// What a command needs that launches itself: each prefix as a line of words for the shell to split.
    fn prefixes(&self) -> Line {
        let slurm = self.slurm();
        let mut set = slurm.variables(self.around.env);
        let hydra_or_ompi = self.mpiexec_on_all();
        let auto = hydra_or_ompi.clone().or_else(|_| self.auto());
        let prefixes = [
            ("HARNESS_MPI_PREFIX", auto),
            ("HARNESS_MPIEXEC_PREFIX", hydra_or_ompi),
            ("HARNESS_SRUN_PREFIX", self.srun()),
            ("HARNESS_APRUN_PREFIX", self.aprun()),
        ];
        for (name, line) in prefixes {
            let words = |line: Line| line.argv.iter().chain(&self.spec.args).cloned().collect::<Vec<_>>();
            set.extend(line.ok().map(|line| (name.to_string(), words(line).join(" "))));
        }
        set.push(("HARNESS_HOSTFILE".into(), self.around.hostfile.display().to_string()));
        Line { argv: Vec::new(), set, slurm }
    }

    fn with(&self, words: &[&str]) -> Line {
        Line { argv: words.iter().map(|word| word.to_string()).collect(), ..Line::default() }
    }

    fn forwarded(&self) -> Vec<String> {
        let ours = variables(self.spec, self.gang).into_iter().map(|(name, _)| name);
        let theirs = self.around.forward.iter().cloned();
        let always = FORWARDED.iter().map(|name| name.to_string());
        let mut names: Vec<String> =
            ours.chain(theirs).chain(always.filter(|name| (self.around.env)(name).is_some())).collect();
        names.sort();
        names.dedup();
        names
    }

    fn alone(&self) -> bool {
        self.gang.hosts.len() == 1
    }

    fn in_slurm(&self) -> bool {
        (self.around.env)("SLURM_JOB_ID").is_some()
    }

    fn slurm(&self) -> Slurm {
        if self.in_slurm() { Slurm::OfTheJob } else { Slurm::Untouched }
    }
}

/// ALPS names nodes by number: nid00012 is 12.
fn nid(host: &str) -> &str {
    let number = host.strip_prefix("nid").map(|number| number.trim_start_matches('0'));
    number.filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).unwrap_or(host)
}
