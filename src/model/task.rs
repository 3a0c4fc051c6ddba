//! What can be asked for: the specifications behind `call`, `exec`, `compile`, `measure` and `compare`.
//!
//! Durations are seconds (`f64`), sizes bytes. Strings a program sees are bytes: an argument need not
//! be UTF-8.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Blank, Function, Hash, Hooks, TaskId, Ulimits, encoding};

/// The five kinds of task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A Lua function, run in a slot.
    #[default]
    Call,
    /// A program, run once.
    Exec,
    /// A build whose result is an artefact.
    Compile,
    /// A program, timed repeatedly.
    Measure,
    /// Several programs, timed in turns.
    Compare,
}

impl Kind {
    /// The word the script uses.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Call => "call",
            Kind::Exec => "exec",
            Kind::Compile => "compile",
            Kind::Measure => "measure",
            Kind::Compare => "compare",
        }
    }
}

/// Options every task takes; defaults are those of a task that says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskOptions {
    /// What the results are grouped and shown by.
    pub name: Option<String>,
    /// The search point, as the author gave it (JSON object); part of the recipe key.
    pub params: Option<serde_json::Value>,
    /// Makes an `exec` or `call` durable, or tells apart two otherwise equal tasks.
    pub key: Option<String>,
    /// Where and when it may run.
    #[serde(flatten)]
    pub placement: Placement,
    /// Seconds from start to forced end.
    pub timeout: Option<f64>,
    /// How often an attempt lost to the infrastructure is tried again.
    pub retries: Option<u32>,
    /// Pass failed dependencies' records instead of ending as `skipped`.
    pub accept_failed: bool,
    /// A call: in a slot process that has run nothing before it.
    pub fresh: bool,
    /// The record that this task repeats (`harness rerun`).
    pub repeats: Option<String>,
    /// The search that asked for it.
    pub search: Option<OfSearch>,
}

/// Which part of a search a task is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfSearch {
    /// The name of the search.
    pub name: String,
    /// Which of its trials; none of the comparison at its end, whose base is the baseline it was given.
    #[serde(default)]
    pub trial: Option<u64>,
}

impl Blank for TaskOptions {
    const BLANK: &'static Self = &Self {
        name: None,
        params: None,
        key: None,
        placement: Placement::NO_WISHES,
        timeout: None,
        retries: None,
        accept_failed: false,
        fresh: false,
        repeats: None,
        search: None,
    };
}

/// What the scheduler looks at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Placement {
    /// Cores (slots) it occupies; 1 unless said.
    pub cores: Option<u32>,
    /// Run on this host only.
    pub host: Option<String>,
    /// Never on this host.
    pub not_on: Option<String>,
    /// Tasks of one group run on one node, so that their numbers can be compared.
    pub group: Option<String>,
    /// The node is drained for it.
    pub exclusive: Option<Exclusive>,
    /// Higher first; 0 unless said.
    pub priority: Option<i32>,
    /// Nodes of its gang; 1 unless said. Several nodes are whole ones, unless `exclusive` is [`Exclusive::No`]: then
    /// `cores` are occupied on each.
    pub nodes: Option<u32>,
    /// GPUs it needs on each of its nodes; none unless said.
    pub gpus: Option<u32>,
    /// Its cores and its memory are to be of one NUMA node.
    pub numa_local: bool,
    /// May it use both threads of a core? If not said: where cores do not suffice.
    pub smt: Option<bool>,
    /// So much of each named counter of its pool while it runs.
    pub needs: BTreeMap<String, u32>,
}

impl Blank for Placement {
    const BLANK: &'static Self = &Self::NO_WISHES;
}

impl Placement {
    const NO_WISHES: Self = Self {
        cores: None,
        host: None,
        not_on: None,
        group: None,
        exclusive: None,
        priority: None,
        nodes: None,
        gpus: None,
        numa_local: false,
        smt: None,
        needs: BTreeMap::new(),
    };
}

/// How much of a node a task has to itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exclusive {
    /// Nothing else of ours runs on the node.
    Node,
    /// The same, but for others that have a socket each to themselves. Of one node, without GPUs and needs.
    Socket,
    /// The same, but for others that have so many cores each to themselves, with all their threads.
    Cores,
    /// It shares the node.
    No,
}

impl Exclusive {
    /// Is the node to be drained of everything else?
    pub fn is_asked(self) -> bool {
        self != Exclusive::No
    }
}

/// One argument of a command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arg {
    /// As written.
    Text(#[serde(with = "encoding::bytes")] Vec<u8>),
    /// What this task results in: a call's string or number, the path of a build's artefact. The root replaces it before dispatch.
    Task(TaskId),
    /// The path of this artefact in the node's store.
    Artefact(Hash),
}

/// Where a command runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cwd {
    /// The folder of the campaign script (a shared file system).
    #[default]
    Campaign,
    /// A fresh folder on the node, removed afterwards.
    Scratch,
    /// This folder, relative to the campaign's.
    Path(String),
}

/// What a command reads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stdin {
    /// End of file at once.
    #[default]
    Null,
    /// These bytes.
    Bytes(#[serde(with = "encoding::bytes")] Vec<u8>),
}

impl Stdin {
    /// Bytes there are to read.
    pub fn size(&self) -> usize {
        match self {
            Stdin::Null => 0,
            Stdin::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Where what a command writes goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sink {
    /// Kept, the head and the tail of it if it is long.
    #[default]
    Capture,
    /// Dropped.
    Null,
    /// Into this file, relative to the working folder.
    File(String),
}

/// A file that travels to the node by its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Where it stands in the scratch folder, relative, without `..`.
    pub path: String,
    /// Its content.
    pub hash: Hash,
    /// May it be run there? Of the file, not of its content: two files with the same may differ in this.
    #[serde(default)]
    pub executable: bool,
}

/// A program and its surroundings. Exactly one of `argv` (not empty) and `shell` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CommandSpec {
    /// Program and arguments, no shell.
    pub argv: Vec<Arg>,
    /// A line for `/bin/sh -c`.
    pub shell: Option<String>,
    /// Set on top of the scrubbed environment.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: Cwd,
    /// What it reads.
    pub stdin: Stdin,
    /// Its standard output.
    pub stdout: Sink,
    /// Its standard error.
    pub stderr: Sink,
    /// Files put into the scratch folder first.
    pub inputs: Vec<Input>,
    /// It is an MPI application: how its ranks are started on the nodes of its gang.
    pub launch: Option<LaunchSpec>,
    /// What each of its processes may take.
    pub limits: Option<Box<Ulimits>>,
}

/// What starts the ranks of an MPI application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Launcher {
    /// `mpiexec` or `mpirun` if the task's search path has one, else what the batch system brings.
    #[default]
    Auto,
    /// `mpiexec` or `mpirun`, of MPICH or Open MPI.
    Mpiexec,
    /// Slurm's.
    Srun,
    /// Cray's (ALPS).
    Aprun,
    /// IBM's (LSF).
    Jsrun,
    /// The command starts its ranks itself, with what `HARNESS_*` tells it.
    None,
    /// These words before the command, with `{ranks}` and other names to be filled in.
    Template(Vec<String>),
}

/// The ranks of an MPI application; its nodes are those of its placement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchSpec {
    /// What starts them.
    pub launcher: Launcher,
    /// Words after the launcher's own, before the command.
    pub args: Vec<String>,
    /// All ranks: the same number on each node.
    pub ranks: u32,
    /// Those of one node.
    pub ranks_per_node: u32,
    /// Cores each rank is given, if that was said.
    pub cores_per_rank: Option<u32>,
    /// GPUs each rank is given.
    pub gpus_per_rank: Option<u32>,
}

impl Default for LaunchSpec {
    fn default() -> Self {
        Self {
            launcher: Launcher::Auto,
            args: Vec::new(),
            ranks: 1,
            ranks_per_node: 1,
            cores_per_rank: None,
            gpus_per_rank: None,
        }
    }
}

/// `exec{…}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// What to run.
    pub command: CommandSpec,
    /// Exit codes that count as success; `{0}` if empty.
    pub ok_codes: Vec<i32>,
    /// Files of the scratch folder to bring back.
    pub outputs: Vec<String>,
}

/// `compile{…}`: always in a scratch folder.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompileSpec {
    /// The whole command, the compiler first. It must leave its result at `output`.
    pub command: CommandSpec,
    /// The file of the scratch folder that is the artefact.
    pub output: String,
    /// Folders to be made in the scratch folder, in which no input is.
    pub folders: Vec<String>,
    /// Folder of the campaign to look for `#include "…"` in when it is reachable from the node.
    pub include_root: String,
    /// `-MD -MF FILE` may be added to learn the headers (C and C++ compilers driven by us).
    pub depfile: bool,
    /// Look the content key up before building.
    pub cache: bool,
    /// Programs it uses besides its first: their versions count, too.
    pub tools: Vec<String>,
}

/// Which direction is an improvement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    #[default]
    Less,
    /// More is better.
    More,
}

/// Where a figure comes from: mostly from what the program prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricSource {
    /// Where a pattern matches.
    Pattern {
        /// A regular expression (already translated from the Lua pattern) whose first group is the number.
        regex: String,
        /// The pattern as the author wrote it, for messages.
        pattern: String,
    },
    /// At this place in JSON: names and, of lists, numbers from 1, with dots between.
    Json(String),
    /// In the column of this name, the last row.
    Csv(String),
    /// A function of the script that looks at the run says it.
    Function(Function),
}

impl Default for MetricSource {
    fn default() -> Self {
        MetricSource::Pattern { regex: String::new(), pattern: String::new() }
    }
}

/// A figure of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MetricSpec {
    /// Where it comes from.
    pub source: MetricSource,
    /// Unit, for people.
    pub unit: Option<String>,
    /// Which direction is an improvement.
    pub better: Better,
}

/// A file that a run must have written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileSpec {
    /// The content it must have, numbers within the tolerances.
    pub reference: Hash,
    /// Relative tolerance of numbers.
    pub rtol: f64,
    /// Absolute tolerance of numbers.
    pub atol: f64,
}

/// What makes a run count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifySpec {
    /// Required exit code; 0 unless said.
    pub exit_code: Option<i32>,
    /// The whole standard output.
    #[serde(with = "encoding::optional_bytes")]
    pub stdout: Option<serde_bytes::ByteBuf>,
    /// A regular expression that must match the output.
    pub regex: Option<String>,
    /// The pattern as the author wrote it, for messages.
    pub pattern: Option<String>,
    /// The BLAKE3 hash of the standard output (32 hex digits).
    pub hash: Option<Hash>,
    /// Standard output must equal this one, numbers within the tolerances. The root replaces the task by its output.
    pub reference: Option<Arg>,
    /// Relative tolerance of numbers; 0 unless said.
    pub rtol: f64,
    /// Absolute tolerance of numbers; 0 unless said.
    pub atol: f64,
    /// Files of the scratch folder, by path.
    pub files: BTreeMap<String, FileSpec>,
    /// A function of the script that looks at the run and says whether it counts.
    pub function: Option<Function>,
    /// Check every sample, not only the first run.
    pub every: bool,
}

/// `measure{…}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasureSpec {
    /// What to run.
    pub command: CommandSpec,
    /// A fixed number of samples instead of the stop rule.
    pub runs: Option<u32>,
    /// Half-width of the interval of the median, relative, at which to stop.
    pub precision: f64,
    /// Samples before the rule is asked first.
    pub min_runs: u32,
    /// Samples at the most.
    pub max_runs: u32,
    /// Seconds of sampling at the most (three samples at least).
    pub max_time: f64,
    /// Runs before the first sample, recorded but not counted.
    pub warmup: u32,
    /// Figures of its runs; each must be there in every sample.
    pub metrics: BTreeMap<String, MetricSpec>,
    /// The metric that is optimised.
    pub objective: String,
    /// Which direction of it is an improvement.
    pub better: Better,
    /// What makes a run count.
    pub verify: VerifySpec,
    /// Exit codes that count as success; `{0}` if empty.
    pub ok_codes: Vec<i32>,
    /// Not on a node that is noisy.
    pub strict: bool,
    /// Events to count, in runs that are no samples.
    pub counters: Vec<String>,
    /// What each run consumes.
    pub energy: bool,
    /// What runs around its runs.
    pub hooks: Hooks,
}

impl Default for MeasureSpec {
    fn default() -> Self {
        Self {
            command: CommandSpec::default(),
            runs: None,
            precision: 0.02,
            min_runs: 10,
            max_runs: 100,
            max_time: 60.0,
            warmup: 1,
            metrics: BTreeMap::new(),
            objective: "wall_s".into(),
            better: Better::Less,
            verify: VerifySpec::default(),
            ok_codes: Vec::new(),
            strict: false,
            counters: Vec::new(),
            energy: false,
            hooks: Hooks::default(),
        }
    }
}

/// `compare{…}`: the variants run in turns on one node, so that what changes there changes for all alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompareSpec {
    /// What is compared, the base first. Of a specification everything counts but what says when to stop.
    pub variants: Vec<Variant>,
    /// Rounds at the most; each variant runs once in each.
    pub max_rounds: u32,
    /// Seconds of rounds at the most; no limit unless said.
    pub max_time: Option<f64>,
    /// The least relative difference that matters.
    pub min_effect: f64,
    /// The orders within the rounds are drawn from it.
    pub seed: u64,
    /// Not on a node that is noisy.
    pub strict: bool,
}

impl Default for CompareSpec {
    fn default() -> Self {
        Self {
            variants: Vec::new(),
            max_rounds: 60,
            max_time: None,
            min_effect: 0.01,
            seed: 0,
            strict: false,
        }
    }
}

/// One side of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its search point, where it has one of its own.
    #[serde(with = "encoding::json")]
    pub params: Option<serde_json::Value>,
    /// What to run, and what makes a run count.
    pub spec: MeasureSpec,
}
