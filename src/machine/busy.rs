//! Who else computes on this node, now: processes that are not ours and use a CPU.
//!
//! Looked at twice, a little apart: a process that happens to be awake is not busy. For who asks whether a node is
//! quiet enough; never while something is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::kernel::Kernel;

/// Between the two looks.
pub const BETWEEN: Duration = Duration::from_millis(200);
/// Who used less of a CPU than this is not busy: one tick of the clock that the kernel counts in is 5 %.
const LEAST_SHARE: f64 = 0.15;

/// CPU ticks of each process that is not ours: id, then ticks, name and owner.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look(BTreeMap<u32, (u64, String)>);

/// A process that computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Busy {
    /// Its id.
    pub pid: u32,
    /// What it calls itself.
    pub name: String,
    /// Its owner.
    pub uid: Option<u32>,
    /// Of one CPU.
    pub share: f64,
}

/// The processes now, without `own`, what descends from it and what it descends from.
pub fn look(kernel: &Kernel, own: u32) -> Look {
    let mut all = BTreeMap::new();
    let mut parents = BTreeMap::new();
    for (pid, folder) in kernel.numbered("proc", "") {
        let Some((name, parent, ticks)) = kernel.text(format!("{folder}/stat")).as_deref().and_then(parse)
        else {
            continue;
        };
        parents.insert(pid, parent);
        all.insert(pid, (ticks, name));
    }
    let line = |mut pid: u32| {
        let mut line = BTreeSet::new();
        while pid != 0 && line.insert(pid) {
            pid = parents.get(&pid).copied().unwrap_or(0);
        }
        line
    };
    let above = line(own);
    all.retain(|pid, (_, name)| !above.contains(pid) && name != "harness" && !line(*pid).contains(&own));
    Look(all)
}

/// Who computed between two looks that were `apart_s` seconds apart, the busiest first.
pub fn between(kernel: &Kernel, first: &Look, second: &Look, apart_s: f64) -> Vec<Busy> {
    let mut busy: Vec<Busy> = second
        .0
        .iter()
        .filter_map(|(pid, (ticks, name))| {
            // Who came in between has used all its ticks since.
            let before = first.0.get(pid).map_or(0, |(ticks, _)| *ticks);
            let share = ticks.saturating_sub(before) as f64 / 100.0 / apart_s;
            let uid = kernel.owner(&format!("proc/{pid}"));
            (share >= LEAST_SHARE).then(|| Busy { pid: *pid, name: name.clone(), uid, share })
        })
        .collect();
    busy.sort_by(|a, b| b.share.total_cmp(&a.share));
    busy
}

/// Name, parent and CPU ticks of a `stat`.
fn parse(stat: &str) -> Option<(String, u32, u64)> {
    let (before, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some((before.split_once('(')?.1.to_owned(), fields.get(1)?.parse().ok()?, ticks))
}

#[cfg(test)]
mod tests {
    use super::super::kernel::recorded;
    use super::*;

    fn stat(name: &str, parent: u32, user: u64, system: u64) -> String {
        format!("7 ({name}) R {parent} 1 1 0 -1 4194304 0 0 0 0 {user} {system} 0 0 20 0 1 0 9 1 1")
    }

    #[test]
    fn who_computes_is_named_and_who_is_ours_is_not() {
        let at = |alien: u64, idle: u64| {
            let files = [
                ("proc/1/stat", stat("init", 0, 900, 0)),
                ("proc/10/stat", stat("keeper", 1, alien, 0)),
                ("proc/11/stat", stat("ours", 10, alien, 0)),
                ("proc/12/stat", stat("harness", 1, alien, 0)),
                ("proc/20/stat", stat("st) ress", 1, alien / 2, alien - alien / 2)),
                ("proc/21/stat", stat("cron", 1, idle, 0)),
            ];
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            let (folder, kernel) = recorded(&files);
            (folder, look(&kernel, 10), kernel)
        };
        let (_a, first, _) = at(100, 7);
        let (_b, second, kernel) = at(118, 8);
        let busy = between(&kernel, &first, &second, 0.2);
        assert_eq!(busy.len(), 1, "{busy:?}");
        assert_eq!((busy[0].pid, busy[0].name.as_str()), (20, "st) ress"));
        assert!((busy[0].share - 0.9).abs() < 1e-9 && busy[0].uid.is_some());
    }
}
