//! An explanation in words, for the author of the task.
//!
//! What tasks are called is asked from outside; the rest is in the explanation. Decides nothing.

use std::fmt::Write;

use super::api::Tick;
use super::explain::{Explanation, Place, Reserved, Want};
use crate::model::TaskId;
use crate::model::human::{count, duration};

/// What tasks are called, and what time it is.
pub struct Names<'a> {
    /// The name of a task.
    pub of: &'a dyn Fn(TaskId) -> String,
    /// On the core's clock.
    pub now: Tick,
}

impl Explanation {
    /// In one word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "ended",
            Self::Running { .. } => "running",
            Self::Files { .. } => "files",
            Self::Draining { .. } => "draining",
            Self::Dependencies { .. } => "dependencies",
            Self::Group { .. } => "group",
            Self::NoWorker { .. } | Self::EmptyPool => "workers",
            Self::Resting { .. } => "resting",
            Self::Counter { .. } => "resources",
            Self::Late { .. } => "time",
            Self::Room(_) => "room",
        }
    }

    /// In a sentence about "it".
    pub fn in_words(&self, names: &Names<'_>) -> String {
        match self {
            Self::Unknown => "it has ended".into(),
            Self::Running { hosts, begun: true, .. } => format!("it runs on {}, begun", hosts.join(", ")),
            Self::Running { hosts, ahead: false, .. } => format!("it was sent to {}", hosts.join(", ")),
            Self::Running { hosts, ahead: true, .. } => format!("it was sent ahead to {}", hosts.join(", ")),
            Self::Files { hosts } => format!("files it needs are on their way to {}", hosts.join(", ")),
            Self::Draining { hosts, running } => {
                let are = if hosts.len() == 1 { "is" } else { "are" };
                format!("{} {are} being cleared for it; there runs {}", hosts.join(", "), names.list(running))
            }
            Self::Dependencies { tasks, count: all } => {
                let more = (*all as usize).saturating_sub(tasks.len());
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                format!("it waits for what it depends on: {}{more}", names.list(tasks))
            }
            Self::Group { leader: Some(leader) } => {
                format!(
                    "it goes where the first of its group does, {}, which waits for room",
                    names.one(*leader)
                )
            }
            Self::Group { leader: None } => "its group is looking for a node".into(),
            Self::NoWorker { host } => format!("`{host}` has no worker yet that could take it"),
            Self::Resting { worker, host, lost, strikes, until } => {
                let left = duration(until.0.saturating_sub(names.now.0).div_ceil(1_000_000) as f64);
                let after = match lost {
                    true => format!("worker {worker} on {host} was lost with it"),
                    false => format!("{host} could not run it"),
                };
                let times = if *strikes > 1 { format!(" ({strikes} tries so far)") } else { String::new() };
                format!("it is tried again in {left}, because {after}{times}")
            }
            Self::EmptyPool => "its pool has no worker yet".into(),
            Self::Counter { name, wanted, free, capacity, holders } => format!(
                "it needs {name} = {wanted}, and {free} of {capacity} {} free; used, or waited for before it, by {}",
                if *free == 1 { "is" } else { "are" },
                names.list(holders)
            ),
            Self::Late { takes_us, left_us } => format!(
                "it is not started, because it would not end in time: it may take {}, and {} are left",
                duration(*takes_us as f64 / 1e6),
                duration(*left_us as f64 / 1e6)
            ),
            Self::Room(place) => names.place(place),
        }
    }
}

impl Names<'_> {
    fn one(&self, task: TaskId) -> String {
        (self.of)(task)
    }

    fn list(&self, tasks: &[TaskId]) -> String {
        let names: Vec<String> = tasks.iter().map(|task| self.one(*task)).collect();
        if names.is_empty() { "nothing of ours".into() } else { names.join(", ") }
    }

    fn place(&self, place: &Place) -> String {
        let (suitable, free) = (place.suitable, place.free);
        let mut text = format!(
            "it needs {}; {} would do, and {free} of them {} the room now",
            wanted(place.wanted),
            count(suitable, "node"),
            if free == 1 { "has" } else { "have" },
        );
        let mut add = |part: String| write!(text, "; {part}").unwrap_or_default();
        if !place.holders.is_empty() {
            let there = if free == 0 { "there run" } else { "on the others run" };
            add(format!("{there} {}", self.list(&place.holders)));
        }
        for (host, tasks) in &place.drained {
            add(format!("{host} is for {} alone", self.list(tasks)));
        }
        if let Some(reserved) = &place.reserved {
            add(self.reserved(reserved));
        }
        if let Some(first) = place.behind {
            add(format!("{} goes first", self.one(first)));
        }
        if !place.quarantined.is_empty() {
            add(format!("in quarantine: {}", place.quarantined.join(", ")));
        }
        text
    }

    fn reserved(&self, Reserved { task, nodes, until }: &Reserved) -> String {
        let kept = format!(
            "{} {} kept for {}",
            count(*nodes, "node"),
            if *nodes == 1 { "is" } else { "are" },
            self.one(*task)
        );
        match until {
            Some(at) => {
                let left = at.0.saturating_sub(self.now.0).div_ceil(1_000_000);
                format!("{kept}, which starts in {} at the latest", duration(left as f64))
            }
            None => format!("{kept}, until what runs there has ended (it has no timeout)"),
        }
    }
}

fn wanted(Want { nodes, cores, gpus, whole }: Want) -> String {
    let whole = if whole { "whole " } else { "" };
    let gpus = if gpus > 0 { format!(" and {}", count(gpus.into(), "GPU")) } else { String::new() };
    let cores = count(cores.into(), "core");
    match nodes {
        0 | 1 => format!("a {whole}node with {cores}{gpus}"),
        nodes => format!("{nodes} {whole}nodes with {cores}{gpus} each"),
    }
}
