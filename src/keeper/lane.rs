//! A lane: a thread that has the whole life of one task after another, from the start of its first program to the
//! end of what its last one left behind.
//!
//! There is one for each slot in use. A program that starts keeps its lane and nobody else waiting, and where one
//! ends the next one starts without a word between threads. While a program runs nothing wakes its lane but that
//! program, a time limit and the bell: not even another task.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::around::{self, Watch};
use super::desk::{Desk, TaskKey, is_program, is_short, key_of};
use super::inspection;
use super::job::{Job, Learned, Step};
use super::place::Place;
use super::run::{Ended, Finished, Forced, Keep, Part, Run, StartError, Surroundings};
use super::site::{Command, Failure, Site};
use crate::machine::busy::{self, Busy};
use crate::machine::counters::Counting;
use crate::machine::energy::Rapl;
use crate::machine::environment::{self, Sensors};
use crate::machine::peak::{self, Peak};
use crate::machine::{self, Kernel};
use crate::model::{Conditions, LONG_PROGRAM, Outcome, Own, Placed, Run as Order};
use crate::process::{Family, Wake, give_code_back, hear_no_signals};

/// What may still run when its task is to end has so long, however short its time was. The root gives a task up 40 s
/// after its limit (`core`'s guard).
const LAST_LIMIT: Duration = Duration::from_secs(20);

/// What all lanes have in common.
pub struct Common {
    /// Where work comes from.
    pub desk: Desk,
    /// All programs that run.
    pub family: Arc<Family>,
    /// What jobs found out.
    pub learned: Learned,
    /// What of the node moves, once something is measured.
    pub sensors: OnceLock<Sensors>,
}

struct Lane {
    common: Arc<Common>,
    site: Arc<Site>,
    around: Surroundings,
    bell: Arc<Wake>,
}

/// The task a lane is at.
struct Task {
    key: TaskKey,
    mark: String,
    begun: Instant,
    /// When it is forced to end, and after how many seconds that is.
    limit: Option<(Instant, f64)>,
    /// The cores it is kept on.
    place: Option<Place>,
    /// What tells what each of its runs consumes.
    energy: Option<Rapl>,
    /// When it proves long, if it may be short.
    long_at: Option<Instant>,
    /// It runs what runs whatever happens.
    is_closing: bool,
    /// It has its node to itself.
    alone: bool,
}

/// What woke a lane.
struct Ready {
    bell: bool,
    parts: Vec<Part>,
}

/// Starts a lane that `Desk::add` asked for.
pub fn start(common: &Arc<Common>, site: &Arc<Site>) -> io::Result<()> {
    let around = Surroundings::new(common.family.clone())?;
    let bell = Arc::new(Wake::new()?);
    let common = common.clone();
    let lane = Lane { common: common.clone(), site: site.clone(), around, bell };
    std::thread::Builder::new().name("lane".into()).spawn(move || {
        lane.serve(); // drops it, and with the last of them goes the folder of all scratch folders
        common.desk.leave();
    })?;
    Ok(())
}

impl Lane {
    fn serve(mut self) {
        hear_no_signals(); // the main thread does
        let mut done = None;
        let common = self.common.clone();
        common.desk.go_anywhere(); // it was started where the main thread stood, perhaps beside a measurement
        while let Some(order) = common.desk.next(done.take(), &self.bell) {
            let key = key_of(&order);
            done = Some((key, self.see_through(order)));
        }
    }

    /// Asks the job what comes next and runs it, until it is over.
    fn see_through(&mut self, order: Order) -> Outcome {
        self.around.begin_task(is_short(&order));
        let begun = Instant::now();
        let limit = order.timeout.filter(|limit| limit.is_finite() && *limit >= 0.0);
        let limit = limit.and_then(|s| Some((begun.checked_add(Duration::try_from_secs_f64(s).ok()?)?, s)));
        let mut task = Task {
            key: key_of(&order),
            mark: format!("{}.{}", order.task, order.attempt),
            begun,
            limit,
            place: None,
            energy: None,
            long_at: is_program(&order).then(|| begun + LONG_PROGRAM),
            is_closing: false,
            alone: has_the_node(&order),
        };
        let outcome = match self.place(&order) {
            Ok(place) => {
                task.place = place;
                self.watched(order, &mut task)
            }
            Err(failure) => failure.into(),
        };
        Outcome { elapsed_s: begun.elapsed().as_secs_f64(), ..outcome }
    }

    /// Its cores. What only says how many takes what there is where a worker has more slots than cores.
    fn place(&self, order: &Order) -> Result<Option<Place>, Failure> {
        let demands = order.pin.is_some_and(|pin| pin.local || pin.smt.is_some() || pin.own != Own::Threads);
        let key = key_of(order);
        match self.common.desk.cores_of(key) {
            Some(Ok(cores)) => Ok(Some(Place::new(key, cores, self.common.clone()))),
            Some(Err(lacks)) if demands => Err(Failure::refused(lacks)),
            Some(Err(_)) | None => Ok(None),
        }
    }

    /// Does it, and looks at the node before and after if something is timed.
    fn watched(&mut self, order: Order, task: &mut Task) -> Outcome {
        let placed = task.place.as_ref().map(Place::placed);
        let common = self.common.clone();
        let kernel = Kernel::here();
        if !around::is_timed(&order.work) {
            let outcome = self.job(order, task);
            return Outcome { conditions: Conditions { placed, ..Conditions::default() }.told(), ..outcome };
        }
        let noise = environment::noise(&kernel);
        if around::is_strict(&order.work)
            && let Err(failure) = around::admit(&noise, &self.busy(&kernel))
        {
            return failure.into();
        }
        let energy_note = match self.count_energy(&order, task, &kernel) {
            Ok(note) => note,
            Err(failure) => return failure.into(),
        };
        let sensors = common.sensors.get_or_init(|| Sensors::find(kernel));
        let watch = Watch::new(sensors.read(), noise, energy_note);
        // Whatever a keeper did before is no floor of what it measures now.
        if has_the_node(&order) {
            give_code_back();
        }
        let outcome = self.job(order, task);
        let neighbours = common.desk.neighbours_of(task.key);
        watch.ended(outcome, &sensors.read(), placed.map(|placed| Placed { neighbours, ..placed }))
    }

    /// What it consumes is told if it asked for that, or why it cannot be.
    fn count_energy(
        &self,
        order: &Order,
        task: &mut Task,
        kernel: &Kernel,
    ) -> Result<Option<String>, Failure> {
        if !around::wants_energy(&order.work) {
            return Ok(None);
        }
        let own = order.pin.map(|pin| pin.own).unwrap_or_default();
        let package = task.place.as_ref().and_then(|place| place.cores().package);
        // Not the lane's: that may stand aside.
        let cpus = self.common.desk.cpus().unwrap_or_else(machine::affinity);
        around::may_count_energy(kernel, &cpus, order.alone && own != Own::Cores, package)?;
        match Rapl::find(kernel.clone(), package) {
            Ok(rapl) => task.energy = Some(rapl),
            Err(why) => return Ok(Some(why)),
        }
        Ok(None)
    }

    /// Who else computes here.
    fn busy(&self, kernel: &Kernel) -> Vec<Busy> {
        let (own, begun) = (std::process::id(), Instant::now());
        let first = busy::look(kernel, own);
        let mut bell = [PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN)];
        let _ = sleep(&mut bell, Some(begun + busy::BETWEEN));
        let second = busy::look(kernel, own);
        busy::between(kernel, &first, &second, begun.elapsed().as_secs_f64())
    }

    fn job(&mut self, order: Order, task: &mut Task) -> Outcome {
        match Job::new(order.work, order.gang, &task.mark, &self.site) {
            Ok(job) => self.work(job, task),
            Err(failure) => failure.into(),
        }
    }

    fn work(&mut self, mut job: Job, task: &mut Task) -> Outcome {
        let mut last = None;
        loop {
            let now_s = task.begun.elapsed().as_secs_f64();
            match job.next(last.take(), now_s, &self.site, &self.common.learned) {
                Step::Done(outcome) => return *outcome, // with the job goes its scratch folder
                Step::Run(command, keep) => last = Some(self.run(&command, keep, now_s, task)),
                Step::Count(command, keep, events) => {
                    last = Some(self.count(&command, keep, &events, now_s, task));
                }
                Step::Inspect(inspection) => last = Some(self.inspect(*inspection, now_s, task)),
                Step::RunLast(command, keep) => {
                    task.close(self.to_end(task) == Some(Forced::Cancelled));
                    last = Some(self.one(&command, keep, now_s, task));
                }
            }
        }
    }

    /// Must the task end? Between two runs nothing else tells, and while one sweeps it cannot be told.
    fn to_end(&self, task: &Task) -> Option<Forced> {
        if self.common.desk.is_cancelled(task.key) {
            return Some(Forced::Cancelled);
        }
        task.limit.filter(|(at, _)| Instant::now() >= *at).map(|(_, limit)| Forced::Timeout(limit))
    }

    /// One program, with what it consumes if that was asked for.
    fn run(&mut self, command: &Command, keep: Keep, now_s: f64, task: &mut Task) -> Finished {
        if let Some(why) = self.to_end(task) {
            return Err(StartError::Forced(why));
        }
        let Some(rapl) = task.energy.take() else { return self.one(command, keep, now_s, task) };
        let (before, begun) = (rapl.read(), Instant::now());
        let ended = self.one(command, keep, now_s, task);
        let energy = rapl.between(&before, &rapl.read(), begun.elapsed().as_secs_f64());
        task.energy = Some(rapl);
        ended.map(|ended| Ended { energy, ..ended })
    }

    /// The same, with what it makes processor and kernel do.
    fn count(
        &mut self,
        command: &Command,
        keep: Keep,
        events: &[String],
        now_s: f64,
        task: &mut Task,
    ) -> Finished {
        let (peaks, events): (Vec<String>, Vec<String>) =
            events.iter().cloned().partition(|event| event == peak::MEMORY_PEAK);
        let peaks: Vec<_> = peaks.into_iter().map(|name| (name, Peak::begin(task.alone))).collect();
        let counting = Counting::begin(&events);
        let ended = self.run(command, keep, now_s, task);
        let mut counts = counting.end();
        counts.extend(peaks.into_iter().map(|(name, peak)| (name, peak.end())));
        ended.map(|ended| Ended { counts, ..ended })
    }

    /// Has functions look at a run, in a process of their own.
    fn inspect(&mut self, asked: inspection::Task, now_s: f64, task: &mut Task) -> Finished {
        if let Some(why) = self.to_end(task) {
            return Err(StartError::Forced(why));
        }
        let (site, around) = (&self.site, &mut self.around);
        let run = {
            let _open = self.common.desk.starting().ok_or_else(too_late)?;
            Run::inspect(asked, site, task.place.as_ref(), &task.mark, now_s, around)?
        };
        self.await_end(run, task)
    }

    /// One program from start to end.
    fn one(&mut self, command: &Command, keep: Keep, now_s: f64, task: &mut Task) -> Finished {
        let run = {
            let _open = self.common.desk.starting().ok_or_else(too_late)?;
            Run::start(command, keep, task.place.as_ref(), &task.mark, now_s, &mut self.around)?
        };
        self.await_end(run, task)
    }

    fn await_end(&mut self, mut run: Run, task: &mut Task) -> Finished {
        loop {
            let ready = self.wait(&run, task);
            let now = Instant::now();
            if let Some(talk) = run.talk().filter(|_| ready.parts.contains(&Part::Talk) || ready.bell) {
                talk.give_module(&self.common.learned.modules);
                let wanted = talk.go_on(now, &self.common.learned.modules);
                wanted.into_iter().for_each(|name| self.common.desk.want_module(task.key, name));
            }
            for part in ready.parts {
                if let Some(ended) = run.ready(part, now, &mut self.around) {
                    return Ok(ended);
                }
            }
            if ready.bell && self.common.desk.is_cancelled(task.key) {
                match task.is_closing {
                    true => task.close(true),
                    false => run.stop(Forced::Cancelled, now, &self.around),
                }
            }
            if let Some(ended) = self.timers(&mut run, task, now) {
                return Ok(ended);
            }
        }
    }

    /// Sleeps until something happens.
    fn wait(&self, run: &Run, task: &Task) -> Ready {
        let mut fds = vec![PollFd::from_borrowed_fd(self.bell.as_fd(), PollFlags::IN)];
        let mut parts = Vec::new();
        run.watch(|fd, flags, part| {
            fds.push(PollFd::from_borrowed_fd(fd, flags));
            parts.push(part);
        });
        // What was told to end, or has ended, is not told again.
        let limit = task.limit.map(|(at, _)| at).filter(|_| run.undisturbed());
        let until = [limit, task.long_at, run.timer()].into_iter().flatten().min();
        if sleep(&mut fds, until).is_err() {
            // poll fails only for lack of memory: go round, slowly.
            std::thread::park_timeout(Duration::from_millis(1));
            return Ready { bell: false, parts: Vec::new() };
        }
        let bell = !fds[0].revents().is_empty();
        if bell {
            self.bell.clear();
        }
        let ready = fds[1..].iter().zip(parts).filter(|(fd, _)| !fd.revents().is_empty());
        Ready { bell, parts: ready.map(|(_, part)| part).collect() }
    }

    fn timers(&mut self, run: &mut Run, task: &mut Task, now: Instant) -> Option<Ended> {
        if task.long_at.take_if(|at| now >= *at).is_some() {
            self.common.desk.proves_long(task.key);
        }
        if let Some((_, limit)) = task.limit.filter(|(at, _)| now >= *at) {
            run.stop(Forced::Timeout(limit), now, &self.around);
        }
        run.tick(now, &mut self.around)
    }
}

impl Task {
    /// From now on it runs what runs whatever happens: until its own limit, but not too short a time. When it is
    /// cancelled somebody waits.
    fn close(&mut self, cancelled: bool) {
        self.is_closing = true;
        let least = Instant::now() + LAST_LIMIT;
        if cancelled || self.limit.is_some_and(|(at, _)| at < least) {
            self.limit = Some((least, LAST_LIMIT.as_secs_f64()));
        }
    }
}

/// Is nothing else measured meanwhile, or started?
fn has_the_node(order: &Order) -> bool {
    order.alone && order.pin.is_none_or(|pin| pin.own == Own::Threads)
}

fn too_late() -> StartError {
    StartError::System(io::Error::other("the keeper ends"))
}

/// Waits for descriptors, until a time at the most. Never awake just before that time has come.
pub fn sleep(fds: &mut [PollFd<'_>], until: Option<Instant>) -> Result<(), Errno> {
    let timeout = until.map(|at| at.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
    match poll(fds, timeout.and_then(|wait| Timespec::try_from(wait).ok()).as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Attempt, TaskId};

    fn limit_of_the_last_run(limit_s: Option<f64>, cancelled: bool) -> Option<f64> {
        let begun = Instant::now();
        let limit = limit_s.map(|s| (begun + Duration::from_secs_f64(s), s));
        let key = (TaskId(0), Attempt(0));
        let (mark, place, energy) = (String::new(), None, None);
        let mut task =
            Task { key, mark, begun, limit, place, energy, long_at: None, is_closing: false, alone: true };
        task.close(cancelled);
        assert!(task.is_closing);
        task.limit.map(|(at, s)| {
            assert!(at >= begun + Duration::from_secs_f64(s));
            s
        })
    }

    #[test]
    fn what_runs_whatever_happens_has_its_time_and_no_more_when_somebody_waits() {
        assert_eq!(limit_of_the_last_run(Some(0.0), false), Some(20.0));
        assert_eq!(limit_of_the_last_run(Some(3600.0), false), Some(3600.0));
        assert_eq!(limit_of_the_last_run(None, false), None);
        assert_eq!(limit_of_the_last_run(Some(3600.0), true), Some(20.0));
        assert_eq!(limit_of_the_last_run(None, true), Some(20.0));
    }
}
