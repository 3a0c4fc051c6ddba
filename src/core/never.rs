//! What can never run, and why not, in words that say what to change.
//!
//! Judged by what a pool has, not by what is free. While it grows, and before it has any worker, nothing is said.

use super::Core;
use super::fleet::Worker;
use super::gang::Demand;
use super::pool::{Pool, Stage};
use super::task::{Need, NodeIx, Part, TaskIx};
use crate::model::WorkerId;
use crate::model::human::count;

impl Core {
    /// Why the task cannot run in its pool, whatever else happens there.
    pub(super) fn never(&self, ix: TaskIx) -> Option<String> {
        let task = &self.tasks[ix];
        let pool = &self.pools[task.pool.at()];
        self.contradicts_itself(ix).or_else(|| self.lacks_counter(ix)).or_else(|| {
            let early = pool.stage == Stage::Growing || pool.alive == 0;
            if early || (task.need == Need::Call && task.rare.is_none()) {
                return None;
            }
            let demand = Demand::of(task);
            let part = || self.no_such_part(pool, task.need);
            self.too_large(pool, demand).or_else(part).or_else(|| self.too_many(ix, demand))
        })
    }

    fn contradicts_itself(&self, ix: TaskIx) -> Option<String> {
        let task = &self.tasks[ix];
        let node = task.host().filter(|node| task.not_on() == Some(*node))?;
        Some(format!("its `host` and its `not_on` are both `{}`; drop either", self.fleet[node].host))
    }

    fn lacks_counter(&self, ix: TaskIx) -> Option<String> {
        let task = &self.tasks[ix];
        let pool = &self.pools[task.pool.at()];
        let need = task.needs().iter().find(|need| pool.counters[need.counter].capacity < need.amount)?;
        let counter = &pool.counters[need.counter];
        Some(format!(
            "it needs {} = {}, pool {} has {} now: ask for less, or give the pool more",
            counter.name, need.amount, pool.id, counter.capacity
        ))
    }

    /// More than any one node has.
    fn too_large(&self, pool: &Pool, Demand { cores, gpus, .. }: Demand) -> Option<String> {
        let (id, largest) = (pool.id, pool.largest());
        if cores > largest {
            return Some(format!(
                "it asks for {} of one worker (each MPI rank takes some); pool {id} has {} with at most {}: ask for less, \
                 or for more slots than there are cores, spawn {{ slots = {cores} }}",
                count(cores as usize, "core"),
                staff(pool),
                count(largest as usize, "slot"),
            ));
        }
        if gpus == 0 {
            return None;
        }
        let most = pool.places.iter().flatten().map(|id| self.fleet[*id].gpus.len()).max().unwrap_or(0);
        let instead = if most > 0 {
            "ask for fewer"
        } else {
            "where they cannot be seen, spawn{ gpus = N } says how many each node has"
        };
        (gpus > most).then(|| {
            format!(
                "it asks for {} of one node, and no node of pool {id} has more than {most}: {instead}",
                count(gpus.into(), "GPU")
            )
        })
    }

    /// More cores of its own than any worker has.
    fn no_such_part(&self, pool: &Pool, need: Need) -> Option<String> {
        let Need::Part(part) = need else { return None };
        let workers = || pool.places.iter().flatten().map(|id| &self.fleet[*id]);
        if workers().any(|worker| worker.suffices(need)) {
            return None;
        }
        let cores = |worker: &Worker| worker.sockets.iter().map(|cores| usize::from(*cores)).sum::<usize>();
        let (word, has, of) = match part {
            Part::Cores(_) => ("cores", workers().map(cores).max(), "with all their threads on one node"),
            Part::Socket(_) => {
                let largest = workers().flat_map(|worker| worker.sockets.iter().copied()).max();
                ("socket", largest.map(usize::from), "of one socket")
            }
        };
        Some(format!(
            "it asks for {} of its own (exclusive = \"{word}\"); pool {} has {} and at most {} {of}: \
             ask for fewer, or for the node (exclusive = \"node\")",
            count(need.cores().into(), "core"),
            pool.id,
            staff(pool),
            count(has.unwrap_or(0), "core"),
        ))
    }

    /// More nodes than there are of the kind.
    fn too_many(&self, ix: TaskIx, Demand { nodes, cores, gpus, .. }: Demand) -> Option<String> {
        let task = &self.tasks[ix];
        let pool = &self.pools[task.pool.at()];
        let barred = task.not_on();
        let is_able = |id: WorkerId| {
            let worker = &self.fleet[id];
            worker.serves(task.pool) && worker.suffices(task.need) && worker.gpus.len() >= gpus
        };
        // Its leader is on the host it names, and the others are of the same job.
        let host = task.host().map(|host| &self.fleet[host]);
        let leaders = host.into_iter().flat_map(|host| host.workers.iter().filter(|id| is_able(**id)));
        let jobs: Vec<u16> = leaders.map(|id| self.fleet[*id].allocation).collect();
        let fits = |node: NodeIx, id: WorkerId| {
            let may_join = jobs.is_empty() || jobs.contains(&self.fleet[id].allocation);
            Some(node) != barred && is_able(id) && may_join
        };
        let nodes = usize::from(nodes.max(1));
        if self.most_together(task.pool, nodes, fits) >= nodes {
            return None;
        }
        let several = pool.places.iter().flatten().any(|id| self.fleet[*id].allocation > 0);
        let together = match host.filter(|_| several && !jobs.is_empty()) {
            Some(host) => format!(" in the job of `{}`, inside which it stays", host.host),
            None if several => " in one job, inside which a task stays".to_owned(),
            None => String::new(),
        };
        let but = barred.map_or(String::new(), |node| format!(" besides `{}`", self.fleet[node].host));
        let gpus = if gpus > 0 { format!(" and {}", count(gpus.into(), "GPU")) } else { String::new() };
        Some(format!(
            "it asks for nodes = {nodes} with {}{gpus} on each; pool {} has {} of that kind{but}{together}, and {} in all: \
             ask for fewer, or spawn workers on more nodes",
            count(cores.into(), "core"),
            pool.id,
            self.most_together(task.pool, usize::MAX, fits),
            staff(pool),
        ))
    }

    /// The host it names has no worker that would do.
    pub(super) fn no_such_host(&self, ix: TaskIx, node: NodeIx) -> String {
        let task = &self.tasks[ix];
        let (pool, host) = (&self.pools[task.pool.at()], &self.fleet[node].host);
        let cores = task.need.cores();
        if pool.is_on(node) {
            return format!(
                "it asks for {cores} cores of `{host}`, where no worker of pool {} has as many slots",
                pool.id
            );
        }
        let names: Vec<&str> = pool.hosts().take(8).map(|node| self.fleet[node].host.as_str()).collect();
        let more = if pool.hosts().len() > names.len() { ", …" } else { "" };
        format!("pool {} has no worker on `{host}`; its hosts are {}{more}", pool.id, names.join(", "))
    }
}

/// Its workers, and how many it has no more: what fitted once may not fit now.
fn staff(pool: &Pool) -> String {
    let workers = count(pool.alive as usize, "worker");
    if pool.gone > 0 { format!("{workers} ({} gone)", pool.gone) } else { workers }
}
