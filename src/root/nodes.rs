//! Nodes that fail us: what is known of it, for people.
//!
//! The core counts faults and says when a pool keeps off a node (`core/quarantine.rs`); here are the words. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::driver::Driver;
use super::workers::{Stage, Worker};
use crate::allocation::same_host;
use crate::core::Event;
use crate::model::{Outcome, PoolId};

/// So many faults of a node are told, the last ones.
const MOST_TOLD: usize = 3;

/// What went wrong on each node, the last last.
///
/// The batch system may call a node otherwise than it calls itself (`node1`, `node1.cluster`). The core, and all people are told, has
/// a node by its own name, once a worker there has said that; what went wrong before is carried over.
#[derive(Default)]
pub(super) struct Faults {
    told: BTreeMap<String, Vec<String>>,
    /// What nodes call themselves.
    own_names: BTreeSet<String>,
    /// How many workers did not come, by the names of nodes that had not said theirs.
    unnamed: BTreeMap<String, u32>,
}

impl Faults {
    /// A node calls itself so. How many faults are known of it by another name?
    fn introduce(&mut self, own: &str) -> u32 {
        if !self.own_names.insert(own.into()) {
            return 0;
        }
        let known = self.unnamed.keys().filter(|name| same_host(name, own));
        let mut faults = 0;
        for name in known.cloned().collect::<Vec<_>>() {
            let many = self.unnamed.remove(&name).unwrap_or(0);
            if name != own {
                faults += many;
                let told = self.told.remove(&name).unwrap_or_default();
                told.iter().for_each(|reason| self.note(own, reason));
            }
        }
        faults
    }

    /// What the node of this name calls itself, as far as known.
    fn own_name(&self, host: &str) -> String {
        let same = || self.own_names.iter().find(|own| same_host(own, host));
        self.own_names.get(host).or_else(same).map_or(host, String::as_str).into()
    }

    /// A worker did not come to a node; by what name the core has that.
    fn stayed_away(&mut self, host: &str, reason: &str) -> String {
        let name = self.own_name(host);
        if !self.own_names.contains(&name) {
            *self.unnamed.entry(name.clone()).or_default() += 1;
        }
        self.note(&name, reason);
        name
    }

    /// A worker was lost there, or did not come.
    pub(super) fn note(&mut self, host: &str, reason: &str) {
        let told = self.told.entry(host.into()).or_default();
        let reason = reason.lines().next().unwrap_or_default();
        told.retain(|other| other != reason); // once each
        told.push(reason.into());
        if told.len() > MOST_TOLD {
            told.remove(0);
        }
    }

    /// What ended so says of its node that it could not run it; whether that is so the core finds out.
    pub(super) fn note_unfit(&mut self, host: &str, outcome: &Outcome) {
        self.note(
            host,
            &format!("{}: {}", outcome.status.word(), outcome.reason.as_deref().unwrap_or_default()),
        );
    }

    fn of(&self, host: &str) -> String {
        self.told.get(host).map_or_else(String::new, |reasons| reasons.join("; "))
    }
}

impl Driver {
    /// A worker did not come. (Of one that is lost the core hears as such.)
    pub(super) fn node_failed(&mut self, host: &str, reason: &str) {
        let host = self.faults.stayed_away(host, reason);
        self.handle(Event::NodeFault { host });
    }

    /// A worker has said what its node calls itself: what failed there before counts under that name.
    pub(super) fn introduce_node(&mut self, own: &str) {
        for _ in 0..self.faults.introduce(own) {
            self.handle(Event::NodeFault { host: own.into() });
        }
    }

    /// A pool keeps off a node from now on.
    pub(super) fn quarantine(&mut self, pool: PoolId, host: &str) {
        let why = self.faults.of(host);
        self.workers_there(pool, host).for_each(|worker| worker.quarantine = Some(why.clone()));
        self.progress.problem(&format!(
            "{host} is in quarantine: pool {pool} starts nothing there any more, what runs there goes on. The last faults: \
             {why} (`spawn {{ quarantine = N }}` allows N faults, `false` any number)"
        ));
    }

    /// A pool uses a node again that it kept off.
    pub(super) fn readmit(&mut self, pool: PoolId, host: &str) {
        let why = self.faults.of(host);
        self.workers_there(pool, host).for_each(|worker| worker.quarantine = None);
        self.progress.problem(&format!(
            "{host} is let out of quarantine: pool {pool} has no worker left on another node, until one comes (`pool:grow()`). \
             The last faults: {why}"
        ));
    }

    fn workers_there(&mut self, pool: PoolId, host: &str) -> impl Iterator<Item = &mut Worker> {
        let workers = self.workers.values_mut();
        workers.filter(move |worker| worker.pool == Some(pool) && worker.host() == host)
    }

    /// Why no worker of the pool takes anything, where some are left.
    pub(super) fn in_quarantine(&self, pool: PoolId) -> Option<String> {
        let there = |worker: &&Worker| worker.pool == Some(pool) && matches!(worker.stage, Stage::Ready(_));
        self.workers.values().filter(there).find_map(|worker| {
            let why = worker.quarantine.as_ref()?;
            Some(format!("{} is in quarantine ({why})", worker.host()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_node_are_counted_under_what_it_calls_itself() {
        let mut faults = Faults::default();
        assert_eq!(faults.stayed_away("node1", "srun: error"), "node1", "nobody knows better");
        assert_eq!(faults.stayed_away("node1", "ssh: error"), "node1");
        assert_eq!(faults.stayed_away("node2", "another one"), "node2");
        assert_eq!(faults.introduce("node1.cluster"), 2);
        assert_eq!(faults.introduce("node1.cluster"), 0, "only once");
        assert_eq!(faults.stayed_away("node1", "silence"), "node1.cluster");
        assert_eq!(faults.of("node1.cluster"), "srun: error; ssh: error; silence");
        // Who is called what he was planned as has no other faults.
        assert_eq!(faults.introduce("node2"), 0);
        assert_eq!((faults.of("node2"), faults.own_name("node2")), ("another one".into(), "node2".into()));
    }
}
