//! Nodes that fail us: what is known of it, for people.
//!
//! The core counts faults and says when a pool keeps off a node (`core/quarantine.rs`); here are the words. Decides nothing.

use std::collections::BTreeMap;

use super::driver::Driver;
use super::workers::{Stage, Worker};
use crate::core::Event;
use crate::model::{Outcome, PoolId};

/// So many faults of a node are told, the last ones.
const MOST_TOLD: usize = 3;

/// What went wrong on each node, the last last.
#[derive(Default)]
pub(super) struct Faults {
    told: BTreeMap<String, Vec<String>>,
}

impl Faults {
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
        self.faults.note(host, reason);
        self.handle(Event::NodeFault { host: host.into() });
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
