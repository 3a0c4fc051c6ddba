//! Plain data that every room speaks: ids, tasks, outcomes, messages and keys.
//!
//! Nothing here does I/O, knows a clock or imports another room. What crosses a process boundary or
//! enters the journal is defined here and nowhere else.

mod asked;
pub mod batch;
mod by_task;
mod changes;
mod compact_bytes;
mod comparison;
mod conditions;
pub mod diagnostics;
mod encoding;
pub mod exit;
mod failures;
mod gpus;
mod hooks;
pub mod human;
mod id;
mod inspection;
mod key;
pub mod limits;
mod line;
pub mod machine_fault;
pub mod markdown;
mod measurement;
mod message;
mod nearest;
mod outcome;
mod quantile;
mod record;
mod retry;
mod samples;
mod session;
mod sparse;
mod status;
mod task;
mod ulimits;
pub mod units;

/// The folder for what a slot needs for a while: it goes with the slot, however that ends.
pub const SLOT_SCRATCH: &str = "HARNESS_SCRATCH";

/// Set where harness starts itself through a launcher: PATH as it was before, which the launcher may change.
pub const PATH_BEFORE: &str = "HARNESS_PATH_BEFORE";
/// Variables that harness set for its own MPI when it started itself, by their names: no user's program is to find them.
pub const LAUNCHED_WITH: &str = "HARNESS_LAUNCHED_WITH";

pub use asked::{Asked, Unread};
pub use by_task::ByTask;
pub use compact_bytes::CompactBytes;
pub use comparison::{CompareResult, Compared, Comparison, Verdict};
pub use conditions::{
    Conditions, CounterValues, Counters, EVENTS, MEMORY_PEAK, Moving, Own, PerfEvent, Pin, Placed,
};
pub use failures::{Failures, Row, Way, failures, ways};
pub use gpus::{GPU_VARIABLES, Gpus, MOST_GPUS, Vendor};
pub use hooks::{HookSpec, HookTimes, Hooks};
pub use id::{Attempt, Hash, PoolId, SlotId, TaskId, WorkerId};
pub use inspection::{Found, Function, Inspection, Seen, Sought};
pub use key::{Recipe, RecipeParts, namesakes, recipe_key, versions};
pub use limits::Limits;
pub use measurement::{Columns, MEASUREMENT_SCHEMA, Measurement, MetricColumn, Objective, Reserved, Verify};
pub use message::{
    CHUNK_BYTES, CallTask, DepLabel, DepRecord, DepValue, FromKeeper, FromSlot, FromWorker, Gang, Hello,
    InitCall, LONG_CALL, LONG_PROGRAM, Message, Module, PROTOCOL, Run, SlotEnd, SlotInit, SlotSetup,
    ToKeeper, ToSlot, ToWorker, Welcome, Work,
};
pub use nearest::nearest;
pub use outcome::{
    CacheUse, CallError, CallReturn, CallReturns, CompileResult, Detail, Launched, Outcome, RunResult,
    Status, Usage,
};
pub use quantile::{median, quantile};
pub use record::{
    Artefact, Cost, Env, Granted, Header, JOURNAL_SCHEMA, Record, State, TaskFacts, TaskRecord, ulid,
    ulid_unix_ms,
};
pub use retry::{Retry, UnknownRetry};
pub use samples::{
    Energy, Interval, MeasureResult, Metric, Phase, SameAs, Sample, StopReason, Summary, VerifyResult,
};
pub use session::{Answered, BatchJob, HowEnded, Session, SessionEnd};
pub use sparse::{Blank, Sparse};
pub use status::{
    CampaignStatus, FailureStatus, KindStatus, RunningStatus, STATUS_SCHEMA, WaitingStatus, WorkerStatus,
};
pub use task::{
    Arg, Better, CommandSpec, CompareSpec, CompileSpec, Cwd, Exclusive, ExecSpec, FileSpec, Input, Kind,
    LaunchSpec, Launcher, MeasureSpec, MetricSource, MetricSpec, OfSearch, Placement, Sink, Stdin,
    TaskOptions, Variant, VerifySpec,
};
pub use ulimits::{Ulimit, Ulimits};
