//! What the journal keeps: one record, one line of JSON.
//!
//! A journal begins with a [`Header`]; each run of the script adds a [`Session`], and everything below it was
//! recorded by that run. Big repeated objects ([`Env`], [`Artefact`]) stand once, before their first use, and
//! are referred to by hash. A task's record holds its outcome exactly, so that it can be replayed. Figures
//! are SI units with the unit in the name; `null` means not available and is never written as 0.
//! Nothing here reads a clock, makes an id or knows where the file is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::line::Line;
use super::{
    Answered, Hash, Kind, Measurement, OfSearch, Outcome, Placed, RecipeParts, Session, SessionEnd, SlotId,
    Status, Unread, WorkerId,
};

/// Version of the journal's format; a reader refuses any other.
pub const JOURNAL_SCHEMA: &str = "harness.journal/1";

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// First line.
    Header(Header),
    /// A run of the script began here.
    Session(Session),
    /// And ended here; none if it was killed.
    End(SessionEnd),
    /// Surroundings of measurements.
    Env(Box<Env>),
    /// A built file.
    Artefact(Artefact),
    /// What the script keeps for its next run.
    State(State),
    /// What the journal answered although something else had taken its place.
    Answered(Answered),
    /// A `measure` ended.
    Measurement(Box<Measurement>),
    /// A `compile` or a `compare`, or a keyed `exec` or `call`, ended.
    Task(Box<TaskRecord>),
}

impl Record {
    /// Reads a line of a journal.
    pub fn parse(text: &[u8]) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Type {
            Header,
            Session,
            End,
            Env,
            Artefact,
            State,
            Answered,
            Measurement,
            Task,
        }
        #[derive(Deserialize)]
        struct Typed {
            r#type: Type,
        }
        #[derive(Deserialize)]
        struct Ended {
            outcome: Outcome,
        }
        let line = Line::read(text)?;
        let Typed { r#type } = line.part()?;
        Ok(match r#type {
            Type::Header => Record::Header(line.part()?),
            Type::Session => Record::Session(line.part()?),
            Type::End => Record::End(line.part()?),
            Type::Env => Record::Env(line.part()?),
            Type::Artefact => Record::Artefact(line.part()?),
            Type::State => Record::State(line.part()?),
            Type::Answered => Record::Answered(line.part()?),
            Type::Measurement => Record::Measurement(Box::new(Measurement::read(&line)?)),
            Type::Task => {
                let Ended { outcome } = line.part()?;
                Record::Task(Box::new(TaskRecord { facts: line.part()?, outcome }))
            }
        })
    }

    /// The record of a task that ended; a `measure` becomes a [`Measurement`].
    pub fn of_task(facts: TaskFacts, spec: Option<&super::MeasureSpec>, outcome: &Outcome) -> Self {
        match (facts.kind, spec) {
            (Kind::Measure, Some(spec)) => {
                Record::Measurement(Box::new(Measurement::from(facts, spec, outcome)))
            }
            _ => Record::Task(Box::new(TaskRecord { facts, outcome: outcome.clone() })),
        }
    }

    /// What the task is found by, if this is a task's record.
    pub fn key(&self) -> Option<Hash> {
        self.facts().map(|facts| facts.key)
    }

    /// What is known of the task beside its outcome, if this is a task's record.
    pub fn facts(&self) -> Option<&TaskFacts> {
        match self {
            Record::Measurement(measurement) => Some(&measurement.facts),
            Record::Task(task) => Some(&task.facts),
            _ => None,
        }
    }

    /// How the task ended, in one word, if this is a task's record.
    pub fn status(&self) -> Option<Status> {
        match self {
            Record::Measurement(measurement) => Some(measurement.status),
            Record::Task(task) => Some(task.outcome.status),
            _ => None,
        }
    }

    /// Does it answer a later run? What failed for reasons outside the program does not, nor what `harness rerun`
    /// repeated, nor a call that gave a function: bytecode is loaded only if it was made in the same run.
    pub fn answers(&self) -> bool {
        let is_original = self.facts().is_some_and(|facts| facts.parent.is_none());
        is_original && self.status().is_some_and(Status::lasting) && !self.holds_bytecode()
    }

    fn holds_bytecode(&self) -> bool {
        matches!(self, Record::Task(task) if task.outcome.holds_bytecode())
    }

    /// Seconds the task occupied its slot, if this is a task's record.
    pub fn elapsed_s(&self) -> f64 {
        match self {
            Record::Measurement(measurement) => measurement.elapsed_s,
            Record::Task(task) => task.outcome.elapsed_s,
            _ => 0.0,
        }
    }

    /// The same with what is known of the task beside it.
    pub fn into_task(self) -> Option<(TaskFacts, Outcome)> {
        match self {
            Record::Measurement(measurement) => {
                let outcome = measurement.outcome()?;
                Some((measurement.facts, outcome))
            }
            Record::Task(task) => Some((task.facts, task.outcome)),
            _ => None,
        }
    }

    /// Does it contradict itself?
    pub fn is_sound(&self) -> bool {
        match self {
            Record::Measurement(measurement) => measurement.is_sound(),
            _ => true,
        }
    }
}

/// The campaign.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`JOURNAL_SCHEMA`].
    pub schema: String,
    /// Version of harness that began it.
    pub version: String,
    /// `model::PROTOCOL` of that harness.
    pub protocol: u32,
    /// The campaign's id (see [`ulid`]).
    pub campaign: String,
    /// Path of the script.
    pub script: String,
    /// Its content.
    pub script_hash: Option<Hash>,
    /// Seed of everything random; a later run takes it from here.
    pub seed: u64,
    /// When it began, s since 1970.
    pub started_unix_s: f64,
}

/// Surroundings of a measurement: what of the node and the job can move a figure.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Env {
    /// Hash of all below that does not move by itself.
    pub id: Option<Hash>,
    /// The node.
    pub host: Option<String>,
    /// `model name` of /proc/cpuinfo.
    pub cpu_model: Option<String>,
    /// Version of the microcode.
    pub microcode: Option<String>,
    /// CPU packages.
    pub sockets: Option<u32>,
    /// Physical cores.
    pub cores: Option<u32>,
    /// `uname -r`.
    pub kernel: Option<String>,
    /// /proc/cmdline.
    pub cmdline: Option<String>,
    /// Name and version of the C library.
    pub libc: Option<String>,
    /// Frequency governor.
    pub governor: Option<String>,
    /// Is turbo on?
    pub boost: Option<bool>,
    /// Is simultaneous multithreading on?
    pub smt: Option<bool>,
    /// kernel.randomize_va_space.
    pub aslr: Option<u32>,
    /// Swap in use when the worker began, B.
    pub swap_used_bytes: Option<u64>,
    /// Transparent huge pages.
    pub thp: Option<String>,
    /// kernel.numa_balancing.
    pub numa_balancing: Option<u32>,
    /// Load average over a minute when the worker began.
    pub load1: Option<f64>,
    /// cpu.max of the cgroup.
    pub cgroup_cpu_max: Option<String>,
    /// Loaded environment modules.
    pub modules: Option<Vec<String>>,
    /// Hash of the environment variables.
    pub loaded_env_hash: Option<Hash>,
    /// Job, step and partition of Slurm.
    pub slurm: Option<BTreeMap<String, String>>,
    /// The driver of accelerators.
    pub gpu: Option<BTreeMap<String, String>>,
    /// The MPI in use.
    pub mpi: Option<String>,
}

impl Env {
    /// These surroundings, named by what of them stays as it is.
    pub fn named(self) -> Self {
        let lasting = Self { id: None, swap_used_bytes: None, load1: None, ..self.clone() };
        let text = serde_json::to_vec(&lasting).unwrap_or_default();
        Self { id: Some(Hash::of(&text)), ..self }
    }
}

/// A built file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artefact {
    /// Its content.
    pub hash: Hash,
    /// Its size, B.
    pub bytes: u64,
    /// Its code and data sections: equal where two builds differ in notes and paths only.
    pub text_hash: Option<Hash>,
    /// The linker's build id, hex.
    pub build_id: Option<String>,
}

/// A named table of the script (`harness.state`); the last line of a name counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Its name.
    pub name: String,
    /// The table.
    pub value: serde_json::Value,
    /// When it was saved, s since 1970.
    pub saved_unix_s: f64,
}

/// What the root knows of a task beside its outcome.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskFacts {
    /// The record's own id (see [`ulid`]).
    pub id: String,
    /// Id of the campaign.
    pub campaign: String,
    /// Number of the task in its session.
    pub trial: u64,
    /// The record this one repeats.
    pub parent: Option<String>,
    /// Kind of task.
    pub kind: Kind,
    /// Recipe key: what was asked.
    pub key: Hash,
    /// Of what the recipe consists; none in records of earlier versions.
    #[serde(default)]
    pub parts: Option<RecipeParts>,
    /// `parts.program` at the end of a measurement, if its program file became another one meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_at_end: Option<u32>,
    /// What it was settled to at dispatch (architecture, Durability).
    pub content_key: Option<Hash>,
    /// `name` of the task.
    pub name: Option<String>,
    /// The search point.
    pub params: Option<serde_json::Value>,
    /// The search that asked for it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<OfSearch>,
    /// Time limit, s.
    pub limit_s: Option<f64>,
    /// The worker it ran on.
    pub worker: Option<WorkerId>,
    /// The slot it ran in.
    pub slot: Option<SlotId>,
    /// The [`Env`] line above.
    pub env: Option<Hash>,
    /// The [`Artefact`] line above of the program.
    pub artefact: Option<Hash>,
    /// What it was given besides workers.
    #[serde(default)]
    pub placement: Option<Granted>,
    /// Seconds from submission to start.
    pub queue_s: Option<f64>,
    /// When it started, s since 1970 by the root's clock.
    pub started_unix_s: Option<f64>,
    /// When it ended, likewise.
    pub ended_unix_s: Option<f64>,
    /// What it took; none in records of earlier versions.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// Of a build and a measurement what else was asked ([`Asked`](super::Asked)); none in records of earlier versions.
    #[serde(default)]
    pub asked: Option<Unread>,
}

impl TaskFacts {
    /// What stands for the program file that was measured; none if it named none, or none that was there.
    pub fn program(&self) -> Option<u32> {
        let asked = || self.parts.map(|parts| parts.program);
        self.program_at_end.or_else(asked).filter(|program| *program != 0)
    }
}

/// What a task took, s; none where it is not known or does not apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Until what it needs was there: part of [`TaskFacts::queue_s`], and not told apart yet.
    pub ship_s: Option<f64>,
    /// The compiler; 0 if an earlier build answered.
    pub compile_s: Option<f64>,
    /// What ran around its runs.
    pub setup_s: Option<f64>,
    /// Its runs, warm-up among them.
    pub measure_s: Option<f64>,
    /// Seconds it occupied its slot, times its nodes.
    pub node_s: Option<f64>,
}

/// What a task was given of its nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// The GPUs it saw, by node, as `CUDA_VISIBLE_DEVICES` or `ROCR_VISIBLE_DEVICES` name them.
    pub gpus: BTreeMap<String, Vec<String>>,
    /// The cores it was kept on.
    #[serde(flatten)]
    pub placed: Option<Placed>,
    /// Nothing else of ours ran on the node, `neighbours` least of all.
    #[serde(default)]
    pub exclusive: bool,
}

/// A `compile`, `compare`, `exec` or `call` that ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskRecord {
    /// What it was.
    #[serde(flatten)]
    pub facts: TaskFacts,
    /// How it ended, exactly.
    pub outcome: Outcome,
}

/// Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// An id that sorts by time: 48 bits of milliseconds since 1970 and 80 of `entropy`, in Crockford's base 32
/// (the ULID specification).
pub fn ulid(unix_ms: u64, entropy: [u8; 10]) -> String {
    let random = entropy.iter().fold(0u128, |bits, &byte| bits << 8 | u128::from(byte));
    let bits = u128::from(unix_ms & 0xffff_ffff_ffff) << 80 | random;
    (0..26).rev().map(|digit| char::from(DIGITS[(bits >> (5 * digit)) as usize & 31])).collect()
}

/// The time in such an id, ms since 1970; none if it is none.
pub fn ulid_unix_ms(id: &str) -> Option<u64> {
    let digit = |c: u8| DIGITS.iter().position(|digit| *digit == c);
    id.as_bytes().get(..10)?.iter().try_fold(0, |ms, c| Some(ms << 5 | digit(*c)? as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_keep_all_bits() {
        assert_eq!(ulid(0, [0; 10]), "00000000000000000000000000");
        assert_eq!(ulid(u64::MAX, [0xff; 10]), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        // The example of the specification.
        assert!(ulid(1_469_918_176_385, [1; 10]).starts_with("01ARYZ6S41"));
        assert!(ulid(1, [0xff; 10]) < ulid(2, [0; 10]));
        assert_eq!(ulid_unix_ms(&ulid(1_469_918_176_385, [7; 10])), Some(1_469_918_176_385));
        assert_eq!((ulid_unix_ms(""), ulid_unix_ms("??????????")), (None, None));
    }

    #[test]
    fn equal_surroundings_have_one_name() {
        let env = Env { cpu_model: Some("x".into()), ..Env::default() };
        assert_eq!(env.clone().named().id, env.clone().named().named().id);
        assert_eq!(Env { load1: Some(9.0), ..env.clone() }.named().id, env.clone().named().id);
        assert_ne!(env.named().id, Env::default().named().id);
    }
}
