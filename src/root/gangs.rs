//! What a gang needs of the root: its nodes by name before it starts, and a sweep of all of them when it has ended.
//!
//! Ranks on other nodes are children of the launcher's daemons or of the batch system: killing the launcher mostly ends
//! them, a little later. So an attempt counts as ended only when the keepers of all its nodes have said that nothing
//! with its mark is left. Decides nothing about where tasks run.

use std::collections::BTreeMap;

use super::driver::Driver;
use super::tasks::Live;
use super::workers::{Stage, Worker};
use crate::model::{Attempt, Exclusive, Gang, TaskId, ToWorker, WorkerId};

impl Live {
    /// Notes the nodes of the try that begins.
    pub(super) fn assemble(
        &mut self,
        campaign: &str,
        members: &[WorkerId],
        workers: &BTreeMap<WorkerId, Worker>,
        variables: Vec<String>,
    ) {
        let hosts = members.iter().filter_map(|id| workers.get(id)).map(|worker| {
            // The batch system's name of a node, where it was placed by that, need not be what the node calls itself.
            let planned = &worker.planned_host;
            if planned.is_empty() { worker.host().to_string() } else { planned.clone() }
        });
        let hosts: Vec<String> = hosts.collect();
        self.rare.granted.gang = Some(Gang {
            whole: match self.submission.options.placement.exclusive {
                Some(exclusive) => exclusive == Exclusive::Node,
                None => hosts.len() > 1,
            },
            hosts,
            pool: self.pool,
            mark: format!("{campaign}.{}.{}", self.submission.task, self.attempt),
            variables,
        });
        self.rare.granted.members = members.to_vec();
        self.rare.granted.sweeping.clear();
    }
}

impl Driver {
    /// An attempt has ended where its launcher ran. Is there anything to wait for on its nodes?
    pub(super) fn sweep_gang(&mut self, task: TaskId) -> bool {
        let Some(live) = self.tasks.live(task) else { return false };
        let Some(gang) = &live.rare.granted.gang else { return false };
        let (attempt, mark) = (live.attempt, gang.mark.clone());
        let ready = |id: &WorkerId| {
            self.workers.get(id).is_some_and(|worker| matches!(worker.stage, Stage::Ready(_)))
        };
        live.rare.granted.sweeping = live.rare.granted.members.iter().copied().filter(ready).collect();
        let asked: Vec<WorkerId> = live.rare.granted.sweeping.iter().copied().collect();
        for worker in &asked {
            self.tell(*worker, &ToWorker::Sweep(task, attempt, mark.clone()));
        }
        !asked.is_empty()
    }

    /// Nothing of the attempt is left on this worker's node.
    pub(super) fn swept(&mut self, id: WorkerId, task: TaskId, attempt: Attempt) {
        let Some(live) = self.tasks.live(task).filter(|live| live.attempt == attempt) else { return };
        if live.rare.granted.sweeping.remove(&id)
            && live.rare.granted.sweeping.is_empty()
            && let Some(leader) = live.rare.worker
        {
            self.finished(leader, task, attempt);
        }
    }

    /// A worker is lost: nobody waits for its sweep any more, and what a gang that it led has left elsewhere is ended.
    pub(super) fn forsake_gangs(&mut self, id: WorkerId) {
        for task in self.tasks.of_gangs_with(id) {
            let Some(live) = self.tasks.live(task) else { continue };
            let (attempt, led) = (live.attempt, live.rare.worker == Some(id));
            if led {
                self.sweep_gang(task);
                // The core hears of the loss itself; what the others answer is of no more interest.
                if let Some(live) = self.tasks.live(task) {
                    live.rare.granted.sweeping.clear();
                }
            } else {
                self.swept(id, task, attempt);
            }
        }
    }
}
