//! Cores, threads, packages and NUMA nodes of this node, from /sys; and which cores a task gets.
//!
//! Read by hand, because it is three small files a CPU; a library of C for it would have to be on every node. Knows
//! nothing of who wants the cores or sets an affinity.

use std::collections::{BTreeMap, BTreeSet};

use super::affinity;
use super::kernel::{Kernel, show_list};
use crate::model::{Own, Pin, Placed};

const CPUS: &str = "sys/devices/system/cpu";
const NODES: &str = "sys/devices/system/node";

/// The CPUs that may be used, by core.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// In the order in which they are given away.
    cores: Vec<Core>,
}

#[derive(Clone, Debug, PartialEq)]
struct Core {
    package: u32,
    node: Option<u32>,
    threads: Vec<u32>,
}

/// Cores that a task was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Cores {
    /// What it runs on.
    pub cpus: BTreeSet<u32>,
    /// Where its memory comes from, if that was asked for.
    pub mem: Option<u32>,
    /// CPUs that nobody else gets meanwhile: those, and what else it has to itself.
    pub taken: BTreeSet<u32>,
    /// The package that nobody else gets a core of.
    pub package: Option<u32>,
    one_per_core: bool,
}

impl Cores {
    /// For the record.
    pub fn placed(&self) -> Placed {
        Placed {
            cpus: show_list(&self.cpus),
            mems: self.mem.map(|node| node.to_string()),
            smt: if self.one_per_core { "one-per-core" } else { "all" }.into(),
            neighbours: Vec::new(),
        }
    }
}

impl Topology {
    /// That of the CPUs this thread may use.
    pub fn here() -> Self {
        Self::read(&Kernel::here(), &affinity())
    }

    /// That of the CPUs in `usable`.
    pub fn read(kernel: &Kernel, usable: &BTreeSet<u32>) -> Self {
        let mut node_of = BTreeMap::new();
        for (node, folder) in kernel.numbered(NODES, "node") {
            let cpus = kernel.list(format!("{folder}/cpulist")).unwrap_or_default();
            node_of.extend(cpus.into_iter().map(|cpu| (cpu, node)));
        }
        let mut cores: BTreeMap<(Option<u32>, u32, u32), Core> = BTreeMap::new();
        for &cpu in usable {
            let topology = format!("{CPUS}/cpu{cpu}/topology");
            let package = kernel.value(format!("{topology}/physical_package_id")).unwrap_or(0);
            // Numbers of cores repeat, on each die or cluster: the first of its threads names a core.
            let siblings = kernel.list(format!("{topology}/thread_siblings_list"));
            let first = siblings.and_then(|set| set.first().copied()).unwrap_or(cpu);
            let node = node_of.get(&cpu).copied();
            let core = Core { package, node, threads: Vec::new() };
            cores.entry((node, package, first)).or_insert(core).threads.push(cpu);
        }
        Self { cores: cores.into_values().collect() }
    }

    /// Physical cores.
    pub fn cores(&self) -> usize {
        self.cores.len()
    }

    /// Physical cores of each package.
    pub fn by_socket(&self) -> Vec<u16> {
        let cores = |package: u32| self.cores.iter().filter(|core| core.package == package).count();
        let cores = |package| u16::try_from(cores(package)).unwrap_or(u16::MAX);
        self.packages().into_iter().map(cores).collect()
    }

    fn packages(&self) -> BTreeSet<u32> {
        self.cores.iter().map(|core| core.package).collect()
    }

    fn nodes(&self) -> BTreeSet<u32> {
        self.cores.iter().filter_map(|core| core.node).collect()
    }

    /// All that may be used.
    pub fn cpus(&self) -> BTreeSet<u32> {
        self.cores.iter().flat_map(|core| core.threads.iter().copied()).collect()
    }

    /// Those of a package.
    pub fn cpus_of(&self, package: u32) -> BTreeSet<u32> {
        let cores = self.cores.iter().filter(|core| core.package == package);
        cores.flat_map(|core| core.threads.iter().copied()).collect()
    }

    /// Cores for a task, of those that nobody has; whole cores first. None if there are too few just now.
    pub fn take(&self, pin: Pin, taken: &BTreeSet<u32>) -> Option<Cores> {
        if pin.own == Own::Socket {
            return self.take_socket(pin, taken);
        }
        if !pin.local && pin.own == Own::Threads {
            return choose(self.cores.iter(), pin, taken, None);
        }
        // The fullest node that has room, so that the largest stay for who needs them.
        let free = |node: u32| {
            self.of_node(node).flat_map(|core| &core.threads).filter(|cpu| !taken.contains(cpu)).count()
        };
        let mut nodes: Vec<u32> = self.nodes().into_iter().collect();
        nodes.sort_by_key(|node| (free(*node), *node));
        let mem = |node: u32| pin.local.then_some(node);
        let found = nodes.into_iter().find_map(|node| choose(self.of_node(node), pin, taken, mem(node)));
        // Cores of one's own that are apart are better than none.
        found.or_else(|| if pin.local { None } else { choose(self.cores.iter(), pin, taken, None) })
    }

    /// Cores of a package of which nobody has any.
    fn take_socket(&self, pin: Pin, taken: &BTreeSet<u32>) -> Option<Cores> {
        let of = |package: u32| self.cores.iter().filter(move |core| core.package == package);
        self.packages().into_iter().find_map(|package| {
            let all = self.cpus_of(package);
            if !all.is_disjoint(taken) {
                return None;
            }
            let chosen = match pin.local {
                false => choose(of(package), pin, taken, None),
                true => self.nodes().into_iter().find_map(|node| {
                    let cores = of(package).filter(|core| core.node == Some(node));
                    choose(cores, pin, taken, Some(node))
                }),
            };
            Some(Cores { taken: all, package: Some(package), ..chosen? })
        })
    }

    /// Why this can never be had here.
    pub fn lacks(&self, pin: Pin) -> String {
        let threads = self.cpus().len();
        let by_node = |node: u32| self.of_node(node).count();
        let nodes = self.nodes();
        let most = nodes.iter().map(|node| by_node(*node)).max().unwrap_or(0);
        let largest = self.by_socket().into_iter().max().unwrap_or(0);
        let here = format!("its worker may use {} with {threads} threads", cores(self.cores.len()));
        match (pin.local, nodes.is_empty()) {
            (true, true) => "numa = \"local\": this node does not say which CPUs its NUMA nodes have".into(),
            (true, false) => format!(
                "it asks for {} of one NUMA node, and {here}, {} in the largest NUMA node",
                cores(pin.cores as usize),
                cores(most)
            ),
            (false, _) if pin.own == Own::Socket => format!(
                "it asks for {} of one socket, and {here}, {} in the largest socket",
                cores(pin.cores as usize),
                cores(largest.into())
            ),
            (false, _) => format!("it asks for {}, and {here}", cores(pin.cores as usize)),
        }
    }

    fn of_node(&self, node: u32) -> impl Iterator<Item = &Core> {
        self.cores.iter().filter(move |core| core.node == Some(node))
    }
}

fn cores(n: usize) -> String {
    format!("{n} core{}", if n == 1 { "" } else { "s" })
}

/// One thread of each core; both, where that was asked for or cores do not suffice and it was not forbidden.
fn choose<'a>(
    cores: impl Iterator<Item = &'a Core>,
    pin: Pin,
    taken: &BTreeSet<u32>,
    mem: Option<u32>,
) -> Option<Cores> {
    if pin.own != Own::Threads {
        return choose_whole(cores, pin, taken, mem);
    }
    let wanted = pin.cores.max(1) as usize;
    let is_free = |cpu: &u32| !taken.contains(cpu);
    let (whole, partly): (Vec<&Core>, Vec<&Core>) = cores.partition(|core| core.threads.iter().all(is_free));
    if pin.smt != Some(true) && whole.len() >= wanted {
        let mine = &whole[..wanted];
        let cpus: BTreeSet<u32> = mine.iter().filter_map(|core| core.threads.first().copied()).collect();
        // Who does not care leaves the other threads to others.
        let taken = match pin.smt {
            Some(_) => mine.iter().flat_map(|core| core.threads.iter().copied()).collect(),
            None => cpus.clone(),
        };
        return Some(Cores { cpus, mem, taken, package: None, one_per_core: true });
    }
    if pin.smt == Some(false) {
        return None;
    }
    let nth = |core: &Core, at: usize| core.threads.get(at).copied();
    let deepest = whole.iter().map(|core| core.threads.len()).max().unwrap_or(0);
    let of_whole: Vec<u32> = match pin.smt {
        Some(true) => whole.iter().flat_map(|core| core.threads.iter().copied()).collect(),
        _ => (0..deepest).flat_map(|at| whole.iter().filter_map(move |core| nth(core, at))).collect(),
    };
    let rest = partly.iter().flat_map(|core| core.threads.iter().copied()).filter(is_free);
    let cpus: BTreeSet<u32> = of_whole.into_iter().chain(rest).take(wanted).collect();
    (cpus.len() == wanted).then(|| Cores {
        taken: cpus.clone(),
        cpus,
        mem,
        package: None,
        one_per_core: false,
    })
}

/// Cores of which nobody has a thread, with all their threads, although it may use one of each only. None said: all.
fn choose_whole<'a>(
    cores: impl Iterator<Item = &'a Core>,
    pin: Pin,
    taken: &BTreeSet<u32>,
    mem: Option<u32>,
) -> Option<Cores> {
    let is_free = |core: &&Core| core.threads.iter().all(|cpu| !taken.contains(cpu));
    let free: Vec<&Core> = cores.filter(is_free).collect();
    let wanted = if pin.cores == 0 { free.len() } else { pin.cores as usize };
    let mine = free.get(..wanted).filter(|mine| !mine.is_empty())?;
    let one_per_core = !pin.smt.unwrap_or(pin.cores == 0);
    let used = if one_per_core { 1 } else { usize::MAX };
    let threads = |most: usize| mine.iter().flat_map(move |core| core.threads.iter().copied().take(most));
    let (cpus, taken) = (threads(used).collect(), threads(usize::MAX).collect());
    Some(Cores { cpus, mem, taken, package: None, one_per_core })
}

#[cfg(test)]
mod tests {
    use super::super::kernel::recorded;
    use super::*;

    /// Two packages, each a NUMA node, of four cores with two threads: CPU n and n + 8 are one core, as on most Xeons.
    fn two_sockets() -> Topology {
        let mut files = vec![
            ("sys/devices/system/node/node0/cpulist".to_owned(), "0-3,8-11\n".to_owned()),
            ("sys/devices/system/node/node1/cpulist".to_owned(), "4-7,12-15\n".to_owned()),
        ];
        for cpu in 0..16 {
            let core = cpu % 8;
            let folder = format!("sys/devices/system/cpu/cpu{cpu}/topology");
            files.push((format!("{folder}/physical_package_id"), format!("{}\n", core / 4)));
            files.push((format!("{folder}/core_id"), format!("{}\n", core % 4)));
            files.push((format!("{folder}/thread_siblings_list"), format!("{core},{}\n", core + 8)));
        }
        let files: Vec<(&str, &str)> =
            files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let (_folder, kernel) = recorded(&files);
        Topology::read(&kernel, &(0..16).collect())
    }

    fn cpus(cores: &Option<Cores>) -> String {
        cores.as_ref().map_or("none".into(), |cores| cores.placed().cpus)
    }

    fn pin(cores: u32, local: bool, smt: Option<bool>) -> Pin {
        Pin { cores, local, smt, own: Own::Threads }
    }

    #[test]
    fn physical_cores_come_first_and_threads_only_when_they_do_not_suffice() {
        let machine = two_sockets();
        assert_eq!((machine.by_socket(), machine.cores(), machine.cpus().len()), (vec![4, 4], 8, 16));
        let none = BTreeSet::new();
        assert_eq!(cpus(&machine.take(pin(3, false, None), &none)), "0-2");
        assert_eq!(cpus(&machine.take(pin(10, false, None), &none)), "0-9");
        assert_eq!(cpus(&machine.take(pin(10, false, Some(false)), &none)), "none");
        let both = machine.take(pin(4, false, Some(true)), &none);
        assert_eq!((cpus(&both).as_str(), both.unwrap().placed().smt.as_str()), ("0-1,8-9", "all"));
    }

    #[test]
    fn side_by_side_they_never_share_a_core_that_was_to_be_one_programs_own() {
        let machine = two_sockets();
        let mut taken = BTreeSet::new();
        let first = machine.take(pin(2, false, Some(false)), &taken).unwrap();
        assert_eq!((show_list(&first.cpus), show_list(&first.taken)), ("0-1".into(), "0-1,8-9".into()));
        taken.extend(&first.taken);
        let second = machine.take(pin(2, false, None), &taken).unwrap();
        assert_eq!((show_list(&second.cpus), show_list(&second.taken)), ("2-3".into(), "2-3".into()));
        taken.extend(&second.taken);
        let third = machine.take(pin(5, false, None), &taken).unwrap();
        assert_eq!(show_list(&third.cpus), "4-7,12");
        assert!(third.cpus.is_disjoint(&taken));
        taken.extend(&third.taken);
        assert_eq!(cpus(&machine.take(pin(2, false, Some(false)), &taken)), "none");
    }

    #[test]
    fn local_cores_are_of_one_node_with_its_memory() {
        let machine = two_sockets();
        let first = machine.take(pin(3, true, None), &BTreeSet::new()).unwrap();
        assert_eq!((show_list(&first.cpus), first.mem), ("0-2".into(), Some(0)));
        let second = machine.take(pin(4, true, Some(false)), &first.taken).unwrap();
        assert_eq!((show_list(&second.cpus), second.mem), ("4-7".into(), Some(1)));
        assert_eq!(machine.take(pin(9, true, None), &BTreeSet::new()), None);
        assert_eq!(
            machine.lacks(pin(9, true, None)),
            "it asks for 9 cores of one NUMA node, and its worker may use 8 cores with 16 threads, 4 cores in the largest NUMA node"
        );
    }

    #[test]
    fn cores_of_ones_own_come_with_their_threads_and_of_one_node_where_they_can() {
        let machine = two_sockets();
        let own = |cores, smt| Pin { own: Own::Cores, ..pin(cores, false, smt) };
        let mut taken = BTreeSet::new();
        let mut take = |pin| {
            let cores = machine.take(pin, &taken)?;
            assert!(cores.taken.is_disjoint(&taken) && cores.cpus.is_subset(&cores.taken));
            taken.extend(&cores.taken);
            Some((cores.placed().cpus, show_list(&cores.taken), cores.placed().smt))
        };
        let said = |cpus: &str, taken: &str, smt: &str| Some((cpus.into(), taken.into(), smt.into()));
        assert_eq!(take(own(3, None)), said("0-2", "0-2,8-10", "one-per-core"));
        assert_eq!(take(own(2, Some(true))), said("4-5,12-13", "4-5,12-13", "all"), "not core 3 and another");
        assert_eq!(take(own(1, Some(false))), said("3", "3,11", "one-per-core"), "the node that is fuller");
        assert_eq!(take(own(3, None)), None);
        assert_eq!(take(own(2, None)), said("6-7", "6-7,14-15", "one-per-core"));
        assert_eq!(take(own(1, None)), None, "no thread of anybody's core is given away");
        let whole = machine.take(own(5, None), &BTreeSet::new());
        assert_eq!(cpus(&whole), "0-4", "no node has as many");
        let local = Pin { local: true, ..own(3, None) };
        let first = machine.take(local, &BTreeSet::new()).unwrap();
        let second = machine.take(local, &first.taken).unwrap();
        assert_eq!((first.mem, second.mem, cpus(&Some(second))), (Some(0), Some(1), "4-6".into()));
    }

    #[test]
    fn a_socket_is_one_programs_own_however_little_of_it_that_uses() {
        let machine = two_sockets();
        let own = |cores, local, smt| Pin { own: Own::Socket, ..pin(cores, local, smt) };
        let first = machine.take(own(0, false, None), &BTreeSet::new()).unwrap();
        assert_eq!((first.placed().cpus.as_str(), first.placed().smt.as_str()), ("0-3,8-11", "all"));
        assert_eq!((first.mem, first.package), (None, Some(0)));
        let second = machine.take(own(2, true, None), &first.taken).unwrap();
        assert_eq!((second.placed().cpus.as_str(), second.mem, second.package), ("4-5", Some(1), Some(1)));
        assert_eq!(show_list(&second.taken), "4-7,12-15");
        assert_eq!(
            machine.take(own(1, false, None), &first.taken.union(&second.taken).copied().collect()),
            None
        );
        assert_eq!(cpus(&machine.take(own(0, false, Some(false)), &BTreeSet::new())), "0-3");
        assert_eq!(machine.take(own(1, false, None), &[3, 15].into()), None, "somebody is on each");
        let five = own(5, false, None);
        assert_eq!(machine.take(five, &BTreeSet::new()), None);
        assert!(
            machine
                .lacks(five)
                .starts_with("it asks for 5 cores of one socket, and its worker may use 8 cores")
        );
        assert!(machine.lacks(five).ends_with("4 cores in the largest socket"));
    }

    #[test]
    fn a_mask_that_leaves_out_threads_and_a_system_without_topology_will_do() {
        let machine = two_sockets();
        let (_folder, kernel) = recorded(&[("sys/x", "")]);
        let bare = Topology::read(&kernel, &[4, 5].into());
        assert_eq!((bare.by_socket(), bare.cores()), (vec![2], 2));
        assert_eq!(cpus(&bare.take(pin(2, false, Some(false)), &BTreeSet::new())), "4-5");
        assert_eq!(bare.take(pin(1, true, None), &BTreeSet::new()), None);
        assert!(bare.lacks(pin(1, true, None)).contains("does not say"));
        assert_ne!(machine, bare);
    }
}
