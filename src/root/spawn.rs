//! Starting workers: children of the root on its own node, MPI_Comm_spawn elsewhere. (What srun and ssh start:
//! `remote`.)

use std::path::PathBuf;
use std::sync::Arc;

use super::guard::Guard;
use super::port::PoolSpec;
use super::workers::Worker;
use crate::allocation::other::OtherJob;
use crate::allocation::queue::find_batch;
use crate::allocation::{self, Allocation, Plan, PlannedWorker, PoolRequest, Scheduler, Start};
use crate::model::human::{count, duration};
use crate::model::{Limits, WorkerId, exit};
use crate::process;
use crate::transport::stream::StreamLink;
use crate::transport::{Link, Peer};
use crate::wire::socket_pair;

/// Slots Open MPI is told a node has for workers: never the limit.
#[cfg(feature = "mpi")]
const OPEN_MPI_SLOTS: u32 = 1024;

/// What a path is worth after a rebuild.
pub(super) const NO_EXECUTABLE: &str = "the harness executable was replaced or removed while the campaign runs (a \
                                        rebuild?), and workers on other nodes are started by its path: run the same \
                                        command again to go on";

/// What MPI is to this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mpi {
    /// Built without it.
    Absent,
    /// Built with it, but not started by mpirun: not initialised.
    Idle,
    /// Initialised; the library's own name.
    Ready(String),
}

/// Starts workers.
pub(super) struct Launcher {
    pub(super) allocation: Allocation,
    pub(super) mpi: Mpi,
    pub(super) guard: Arc<Guard>,
    pub(super) limits: Limits,
    /// What workers are started from, if not from this executable.
    pub(super) program: Option<PathBuf>,
    /// How the campaign was started, for messages: `campaign.lua`.
    pub(super) script: String,
}

impl Launcher {
    /// Which worker goes where, in our own allocation or in another job. For a pool that grows: it has workers on the hosts
    /// `there`. It keeps off the hosts that are `shunned`, if it can.
    pub(super) fn plan(
        &self,
        spec: &PoolSpec,
        there: &[String],
        shunned: Vec<String>,
        job: Option<&OtherJob>,
    ) -> Result<Plan, String> {
        let other = job.map(|job| job.allocation(&self.allocation.root_host));
        let request = PoolRequest {
            workers: spec.workers,
            per_node: spec.per_node,
            hosts: (!spec.hosts.is_empty()).then(|| spec.hosts.clone()),
            start: if job.is_some() { Start::Srun } else { self.resolved(spec.start)? },
            shunned,
            root_node: spec.root_node,
        };
        let nodes = other.as_ref().unwrap_or(&self.allocation);
        let plan = allocation::more(nodes, &request, there).map_err(|error| error.to_string())?;
        let spawned = plan.workers.iter().filter(|worker| worker.start == Start::Spawn).count();
        if spawned > 0 && !matches!(self.mpi, Mpi::Ready(_)) {
            return Err(self.no_mpi(spawned));
        }
        Ok(plan)
    }

    /// Where jobs are to be had, what runs outside of one may be meant to run elsewhere.
    pub(super) fn outside_of_jobs(&self) -> Option<String> {
        let batch = match self.allocation.scheduler {
            Scheduler::None => find_batch(&process::is_on_path)?,
            _ => return None,
        };
        Some(format!(
            "{} is here, and this is no job of it: tasks run, and are measured, on {} itself; `harness batch {} \
             --nodes N` asks for nodes (--start local: here is meant)",
            batch.submit_program(),
            self.allocation.root_host,
            self.script
        ))
    }

    fn no_mpi(&self, spawned: usize) -> String {
        let (script, workers) = (&self.script, count(spawned, "worker"));
        match self.mpi {
            Mpi::Absent => format!(
                "{workers} to be started by MPI, and this harness was built without it: build with \
                 `cargo build --release` where an MPI is installed, or use start=\"ssh\" (\"srun\" in a job of \
                 Slurm), or start=\"local\" for workers on this node alone"
            ),
            _ => format!(
                "{workers} to be started by MPI, and harness was not started by mpirun: start it with \
                 `mpirun -n 1 harness {script}`, or use start=\"ssh\" (\"srun\" in a job of Slurm), or \
                 start=\"local\" for workers on this node alone"
            ),
        }
    }

    /// Starts one worker.
    pub(super) fn start(
        &self,
        id: WorkerId,
        place: &PlannedWorker,
        job: Option<&OtherJob>,
    ) -> Result<Worker, String> {
        match place.start {
            Start::Local => self.start_local(id, &place.host),
            Start::Srun | Start::Ssh => self.start_remote(id, place, job),
            _ => self.start_spawned(id, &place.host),
        }
    }

    #[cfg(not(feature = "mpi"))]
    fn start_spawned(&self, _id: WorkerId, _host: &str) -> Result<Worker, String> {
        Err(self.no_mpi(1))
    }

    #[cfg(feature = "mpi")]
    fn start_spawned(&self, id: WorkerId, host: &str) -> Result<Worker, String> {
        use crate::transport::mpi::{MpiLink, sys};
        // Some MPIs hang when the program is not there: look first.
        let program = self.worker_program().filter(|path| path.is_file()).ok_or(NO_EXECUTABLE)?;
        let program = program.display().to_string();
        let alone = self.allocation.nodes.len() == 1;
        // Without bind_to (Open MPI 4) or PMIX_BINDTO (5) a worker is bound to one core.
        let mut info = vec![("bind_to", "none"), ("PMIX_BINDTO", "none")];
        // A name alone means one slot to Open MPI, and that of a worker just gone counts as taken for a while.
        let place = match &self.mpi {
            Mpi::Ready(library) if library.contains("Open MPI") => format!("{host}:{OPEN_MPI_SLOTS}"),
            _ => host.to_string(),
        };
        if !alone {
            info.push(("host", &place));
        }
        let reason = format!(
            "MPI_Comm_spawn of a worker on {host} has not returned for {}: the launcher cannot start \
             processes there (in a Slurm job: `SLURM_OVERLAP=1 mpirun -n 1 …`, or give every node a task with \
             `#SBATCH --ntasks-per-node=1`), or somebody killed the worker while it started. Or start the workers with mpirun: `mpirun -n N harness {}`",
            duration(self.limits.spawn.as_secs_f64()),
            self.script
        );
        let comm = self
            .guard
            .watch_stoppable("MPI_Comm_spawn", self.limits.spawn, i32::from(exit::ALLOCATION), reason, || {
                sys::Comm::spawn(&program, &["__worker", "mpi"], &info)
            })
            .map_err(|error| self.explain_spawn(host, &error.to_string()))?;
        let link = MpiLink::to_worker(comm, 0, true, &self.allocation.root_host);
        let peer = Peer::new(Box::new(link));
        Ok(Worker::new(id, host.to_string(), Start::Spawn, peer, None))
    }

    #[cfg(feature = "mpi")]
    fn explain_spawn(&self, host: &str, error: &str) -> String {
        let Mpi::Ready(library) = &self.mpi else { return error.to_string() };
        let script = &self.script;
        let mut text = format!("{library} could not start a worker on {host}: {error}.");
        if library.contains("Open MPI") {
            text.push_str(&format!(
                "\n  Most often its slots are used up: `mpirun -n 1 --oversubscribe harness {script}` lifts the \
                 limit, `--host {host}:N` sets it."
            ));
        } else if library.contains("MPICH") {
            text.push_str("\n  Some builds of MPICH cannot spawn at all (Debian's 4.0.2 is one).");
        }
        text.push_str(&format!(
            "\n  These work everywhere:\n    mpirun -n 3 harness {script}    (rank 0 is the root, the others are \
             workers)\n    harness --start ssh {script}    (ssh starts workers on other nodes, no MPI; srun in a job of \
             Slurm)\n    harness --start local {script}    (workers on this node alone, no MPI)"
        ));
        text
    }

    /// Ends a connection; the other side has said goodbye, so this is short.
    pub(super) fn close(&self, link: Box<dyn Link>, host: &str) {
        let limit = self.limits.disconnect;
        let reason =
            format!("the worker on {host} did not disconnect within {}", duration(limit.as_secs_f64()));
        self.guard.watch(limit, i32::from(exit::INTERNAL), reason, || link.close());
    }

    fn start_local(&self, id: WorkerId, host: &str) -> Result<Worker, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot start a worker on this node: {error}");
        let environment = process::Environment::scrubbed(std::env::vars_os());
        let (ours, workers) = socket_pair().map_err(|error| failed(&process::with_advice(error)))?;
        let fds = vec![(workers, process::FIRST_FD)];
        let child = match &self.program {
            Some(program) => process::start_executable(program.clone(), "__worker", fds, &environment),
            None => process::start_self("__worker", fds, &environment),
        };
        let child = child.map_err(|error| failed(&error))?;
        let link = StreamLink::new(ours).map_err(|error| failed(&error))?;
        Ok(Worker::new(id, host.to_string(), Start::Local, Peer::new(Box::new(link)), Some(child)))
    }
}
