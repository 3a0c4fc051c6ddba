//! What a script asks of the port beside tasks: workers, why something does not run, what it keeps, the time.
//!
//! Knows as little of Lua and of scheduling as the port does.

use std::time::{Duration, Instant};

use super::port::{
    Campaign, Completion, ENDED, Growth, PoolError, PoolInfo, PoolSpec, Port, Request, Spent, Wait,
};
use super::setup::find_job;
use super::trace::{Answer, Crew, Said};
use crate::model::human::bytes;
use crate::model::{Hash, PoolId, TaskId};

/// A state may have so many bytes as JSON.
const STATE_LIMIT: usize = 64 << 10;

impl Port {
    /// Starts workers and waits until they are ready.
    pub fn spawn(&mut self, spec: PoolSpec) -> Result<PoolInfo, PoolError> {
        let asked = Crew::from(&spec);
        if let Some(player) = self.witness.player() {
            if let Some(init) = &spec.setup.init {
                player.begins(&init.codes);
            }
            return player.workers(None, &asked);
        }
        self.request(Request::Spawn(Box::new(spec)));
        let given = self.await_workers("spawn");
        self.witness.said(|| Said::Spawn { asked, answer: Answer::from(&given) });
        given
    }

    /// Starts further workers for a pool and waits until they are ready; the pool as it is then.
    pub fn grow(&mut self, pool: PoolId, growth: Growth) -> Result<PoolInfo, PoolError> {
        let asked = Crew::from(&growth);
        if let Some(player) = self.witness.player() {
            return player.workers(Some(pool), &asked);
        }
        let given = match growth.job.as_deref().map(find_job).transpose() {
            Ok(job) => {
                self.request(Request::Grow(pool, Box::new((growth, job))));
                self.await_workers("pool:grow")
            }
            Err(why) => Err(PoolError(why)),
        };
        self.witness.said(|| Said::Grow { pool, asked, answer: Answer::from(&given) });
        given
    }

    fn await_workers(&self, who: &str) -> Result<PoolInfo, PoolError> {
        let stopped = || Err(PoolError(format!("{who}: the campaign is being stopped")));
        self.mailboxes.answer(|inbox| inbox.spawned.take()).unwrap_or_else(stopped)
    }

    /// Why a task is not running, or what became of it.
    pub fn explain(&mut self, task: TaskId) -> String {
        if let Some(player) = self.witness.player() {
            return player.explain(task);
        }
        let why = self.why(task);
        self.witness.said(|| Said::Explain { task, answer: why.clone() });
        why
    }

    fn why(&self, task: TaskId) -> String {
        let is_it = |completion: &Completion| completion.task == task;
        if self.replaying.contains_key(&task) {
            return "the journal has its outcome, which comes when the script waits".into();
        } else if self.held.contains_key(&task) {
            return "nothing that is to run needs it yet".into();
        } else if self.own.iter().chain(&self.arrived).any(is_it) {
            return ENDED.into();
        }
        self.request(Request::Explain(task));
        self.mailboxes
            .answer(|inbox| inbox.explained.take())
            .unwrap_or_else(|| "the campaign is being stopped: nothing starts any more".into())
    }

    /// Retires a pool's workers once its tasks are done.
    pub fn close(&mut self, pool: PoolId) {
        self.witness.said(|| Said::Close { pool });
        if let Some(player) = self.witness.player() {
            return player.close(pool);
        }
        self.request(Request::Close(pool));
    }

    /// No handle is left of this shared value: slots need not keep it.
    pub fn forget(&mut self, share: Hash) {
        self.request(Request::Forget(share));
    }

    /// What the script may know about its own run.
    pub fn campaign(&self) -> &Campaign {
        &self.campaign
    }

    /// What is kept under this name.
    pub fn kept(&self, name: &str) -> Option<&serde_json::Value> {
        self.kept.get(name)
    }

    /// Keeps `value` under this name: it is in the journal before what is submitted from now on. Says why not if
    /// it is too large.
    pub fn keep(&mut self, name: &str, value: serde_json::Value) -> Result<(), String> {
        if self.kept.get(name) == Some(&value) {
            return Ok(());
        }
        let size = value.to_string().len();
        if size > STATE_LIMIT {
            return Err(format!(
                "it takes {} as JSON, and {} is the most: it is written whole whenever it changes; keep large data \
                 in a file",
                bytes(size as u64),
                bytes(STATE_LIMIT as u64)
            ));
        }
        self.kept.insert(name.into(), value.clone());
        self.witness.said(|| Said::Keep { name: name.into(), value: value.clone() });
        self.request(Request::Keep(Box::new((name.into(), value))));
        Ok(())
    }

    /// Seconds on the script's clock.
    pub fn now(&mut self) -> f64 {
        if let Some(player) = self.witness.player() {
            return player.now();
        }
        let now = self.began.elapsed().as_secs_f64();
        self.witness.said(|| Said::Now(now));
        now
    }

    /// The moment at which the script's clock shows `seconds`.
    pub fn moment(&self, seconds: f64) -> Wait {
        // A time no clock will show is for ever.
        let offset = Duration::try_from_secs_f64(seconds.max(0.0)).ok();
        match offset.and_then(|offset| self.began.checked_add(offset)) {
            Some(moment) => Wait::Until(moment),
            None => Wait::Forever,
        }
    }

    /// Seconds until the campaign has to be over; none if that is not known.
    pub fn walltime_left(&mut self) -> Option<f64> {
        if let Some(player) = self.witness.player() {
            return player.left();
        }
        let ends = self.campaign.ends;
        let left = ends.map(|ends| ends.saturating_duration_since(Instant::now()).as_secs_f64());
        self.witness.said(|| Said::Left(left));
        left
    }

    /// What the tasks whose ends were taken came to.
    pub fn spent(&self) -> Spent {
        self.ledger.spent()
    }
}
