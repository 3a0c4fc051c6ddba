//! A lane that starts something on its task's cores, and where it stands afterwards.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::*;
use crate::keeper::desk::Desk;
use crate::keeper::job::Learned;
use crate::machine::{self, Topology};
use crate::model::{Attempt, Own, Pin, Run as Order, TaskId, Work};
use crate::process::{Family, Wake};

/// A NUMA node that no kernel has.
const NOWHERE: u32 = 1 << 20;

#[test]
fn a_start_that_fails_leaves_the_lane_aside() {
    if Topology::here().cores() < 2 {
        eprintln!("skipped: it takes two cores");
        return;
    }
    let desk = Desk::new().unwrap();
    desk.set_slots(1);
    desk.learn_cores(Topology::here);
    let (task, attempt) = (TaskId(1), Attempt(0));
    let pin = Some(Pin { cores: 1, own: Own::Cores, ..Pin::default() });
    let work = Work::Measure(Box::default());
    desk.add(Order { task, attempt, timeout: None, cores: 1, pin, alone: true, gang: None, work });
    desk.next(None, &Arc::new(Wake::new().unwrap())).unwrap();
    let (family, learned) = (Arc::new(Family::default()), Learned::default());
    let common = Arc::new(Common { desk, family, learned, sensors: OnceLock::new() });

    let key = (task, attempt);
    let cores = common.desk.cores_of(key).unwrap().unwrap();
    let all = machine::affinity();
    let aside: BTreeSet<u32> = all.difference(&cores.taken).copied().collect();
    let mut place = Place::new(key, cores, common);
    assert_eq!(machine::affinity(), aside);
    assert_eq!(place.start(|| Ok(machine::affinity())).unwrap(), place.cores.cpus);
    assert_eq!(machine::affinity(), aside);

    (place.cores.mem, place.has_memory) = (Some(NOWHERE), true);
    assert!(place.start(|| -> Result<(), _> { panic!("its memory would come from elsewhere") }).is_err());
    assert_eq!(machine::affinity(), aside);
    drop(place);
    assert_eq!(machine::affinity(), all);
}
