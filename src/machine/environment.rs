//! What of a node can move a figure: what stays as it is ([`describe`]), what moves ([`Sensors`]), and what is wrong
//! with it for whoever measures ([`noise`]).
//!
//! Pure readers over a [`Kernel`]: tests give them recorded trees. A reading is some dozen small files, far below a
//! millisecond on most nodes, and is never made while a sample runs. What is not there is none, never 0.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::kernel::{Kernel, field, parse_list};
use super::topology::Topology;
use crate::model::Env;

const CPUS: &str = "sys/devices/system/cpu";

/// Frequencies of so many CPUs are read at the most: each may have to be asked.
const MOST_FREQUENCIES: usize = 8;

/// The surroundings of what runs on this node.
pub fn describe(kernel: &Kernel, variable: impl Fn(&str) -> Option<String>) -> Env {
    let cpuinfo = kernel.text("proc/cpuinfo").unwrap_or_default();
    let online = kernel.list(format!("{CPUS}/online"));
    let topology = online.map(|online| Topology::read(kernel, &online));
    Env {
        cpu_model: field(&cpuinfo, "model name").map(str::to_owned),
        microcode: field(&cpuinfo, "microcode").map(str::to_owned),
        sockets: topology.as_ref().map(|topology| topology.by_socket().len() as u32),
        cores: topology.as_ref().map(|topology| topology.cores() as u32),
        kernel: kernel.text("proc/sys/kernel/osrelease"),
        cmdline: kernel.text("proc/cmdline"),
        libc: libc_version(kernel),
        governor: governors(kernel),
        boost: boost(kernel),
        smt: kernel.value::<u32>(format!("{CPUS}/smt/active")).map(|active| active == 1),
        aslr: kernel.value("proc/sys/kernel/randomize_va_space"),
        swap_used_bytes: swap_used(kernel),
        thp: kernel.text("sys/kernel/mm/transparent_hugepage/enabled").and_then(|text| chosen(&text)),
        numa_balancing: kernel.value("proc/sys/kernel/numa_balancing"),
        load1: load1(kernel),
        cgroup_cpu_max: quota(kernel).map(|quota| quota.text),
        modules: variable("LOADEDMODULES")
            .map(|list| list.split(':').filter(|module| !module.is_empty()).map(str::to_owned).collect()),
        slurm: slurm(&variable),
        gpu: kernel
            .text("proc/driver/nvidia/version")
            .and_then(|text| Some(BTreeMap::from([("driver".to_owned(), text.lines().next()?.to_owned())]))),
        ..Env::default()
    }
}

/// The library that this process uses is the one that programs without their own get.
fn libc_version(kernel: &Kernel) -> Option<String> {
    let maps = kernel.text("proc/self/maps")?;
    let mut files = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    let file =
        Path::new(files.find(|path| {
            path.contains("/libc.so") || path.contains("/libc-") || path.contains("/ld-musl")
        })?);
    if file.to_string_lossy().contains("musl") {
        return Some(format!("musl ({})", file.display()));
    }
    // It says its version in its text.
    let text = kernel.bytes(file.strip_prefix("/").unwrap_or(file))?;
    let version = regex::bytes::Regex::new(r"GNU C Library [^\n]{0,99}version ([0-9.]*[0-9])").ok()?;
    Some(format!("glibc {}", String::from_utf8_lossy(version.captures(&text)?.get(1)?.as_bytes())))
}

fn slurm(variable: &impl Fn(&str) -> Option<String>) -> Option<BTreeMap<String, String>> {
    let names = [("job", "SLURM_JOB_ID"), ("step", "SLURM_STEP_ID"), ("partition", "SLURM_JOB_PARTITION")];
    let found: BTreeMap<String, String> =
        names.iter().filter_map(|(name, from)| Some(((*name).to_owned(), variable(from)?))).collect();
    (!found.is_empty()).then_some(found)
}

/// `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let inside = text.split_once('[')?.1.split_once(']')?.0;
    Some(inside.to_owned())
}

/// Of all CPUs; several where they differ.
fn governors(kernel: &Kernel) -> Option<String> {
    let policies = kernel.numbered(&format!("{CPUS}/cpufreq"), "policy");
    let found = policies.iter().filter_map(|(_, policy)| kernel.text(format!("{policy}/scaling_governor")));
    let found: BTreeSet<String> = found.collect();
    (!found.is_empty()).then(|| found.into_iter().collect::<Vec<_>>().join(" "))
}

fn boost(kernel: &Kernel) -> Option<bool> {
    let no_turbo = kernel.value::<u32>(format!("{CPUS}/intel_pstate/no_turbo"));
    let boost = kernel.value::<u32>(format!("{CPUS}/cpufreq/boost"));
    no_turbo.map(|off| off == 0).or(boost.map(|on| on == 1))
}

fn swap_used(kernel: &Kernel) -> Option<u64> {
    let text = kernel.text("proc/meminfo")?;
    let of = |name| field(&text, name)?.strip_suffix(" kB")?.trim().parse::<u64>().ok();
    Some(of("SwapTotal")?.saturating_sub(of("SwapFree")?) * 1024)
}

fn load1(kernel: &Kernel) -> Option<f64> {
    kernel.text("proc/loadavg")?.split_whitespace().next()?.parse().ok()
}

/// How much CPU a control group may use.
struct Quota {
    /// As the kernel says it: `max` or quota and period.
    text: String,
    /// CPUs; none if it is not limited.
    cpus: Option<f64>,
}

/// That of our control group, or of the first one above it that limits.
fn quota(kernel: &Kernel) -> Option<Quota> {
    let groups = kernel.text("proc/self/cgroup")?;
    let mut found = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { continue };
        let is_v1 = controllers.split(',').any(|controller| controller == "cpu");
        if !controllers.is_empty() && !is_v1 {
            continue;
        }
        let base = if is_v1 { "sys/fs/cgroup/cpu" } else { "sys/fs/cgroup" };
        for folder in Path::new(group.trim_start_matches('/')).ancestors() {
            let folder = Path::new(base).join(folder);
            let text = match is_v1 {
                false => kernel.text(folder.join("cpu.max")),
                true => kernel.text(folder.join("cpu.cfs_quota_us")).map(|quota| {
                    let period = kernel.text(folder.join("cpu.cfs_period_us")).unwrap_or_default();
                    if quota.starts_with('-') { format!("max {period}") } else { format!("{quota} {period}") }
                }),
            };
            let Some(text) = text else { continue };
            let mut figures = text.split_whitespace().map(str::parse::<f64>);
            let cpus = match (figures.next(), figures.next()) {
                (Some(Ok(quota)), Some(Ok(period))) if period > 0.0 => Some(quota / period),
                _ => None,
            };
            if cpus.is_some() {
                return Some(Quota { text, cpus });
            }
            found.get_or_insert(Quota { text, cpus });
        }
    }
    found
}

/// Something about a node that moves figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Noise {
    /// In one word, for a flag.
    pub what: &'static str,
    /// For people, with what mends it.
    pub text: String,
}

/// What is wrong with the node whatever runs there.
pub fn noise(kernel: &Kernel) -> Vec<Noise> {
    let mut found = Vec::new();
    if let Some(governor) = governors(kernel).filter(|governor| governor != "performance") {
        let text = format!(
            "the frequency governor is `{governor}`, so that the clock follows the load: \
             `cpupower frequency-set -g performance` (root), or `--cpu-freq=performance` where Slurm allows it"
        );
        found.push(Noise { what: "governor", text });
    }
    if let Some(Quota { text, cpus: Some(cpus) }) = quota(kernel) {
        let text = format!(
            "the control group may use {cpus:.2} CPUs (cpu.max is `{text}`) and is stopped when they are used up: \
             run where there is no such limit (of a container, a service or a batch job)"
        );
        found.push(Noise { what: "cpu_quota", text });
    }
    let nodes = kernel.text("sys/devices/system/node/has_memory").and_then(|text| parse_list(&text));
    let balances = kernel.value::<u32>("proc/sys/kernel/numa_balancing").is_some_and(|mode| mode & 1 == 1);
    if balances && nodes.is_some_and(|nodes| nodes.len() > 1) {
        let text = "the kernel moves memory between NUMA nodes (kernel.numa_balancing is 1): \
             `sysctl kernel.numa_balancing=0` (root)";
        found.push(Noise { what: "numa_balancing", text: text.into() });
    }
    found
}

/// Where what moves is read on this node: looked for once.
#[derive(Clone, Debug)]
pub struct Sensors {
    kernel: Kernel,
    frequencies: Vec<String>,
    temperatures: Vec<String>,
    throttles: Vec<String>,
}

/// What moves, at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Mean frequency, Hz.
    pub freq_hz: Option<f64>,
    /// The hottest sensor, °C.
    pub temp_c: Option<f64>,
    /// Load average over a minute.
    pub load1: Option<f64>,
    /// Times it was throttled, of all cores and packages.
    pub throttles: Option<u64>,
    /// Pressure of CPU, memory and I/O: seconds in which something waited.
    pub pressure_s: [Option<f64>; 3],
    /// CPU time used by everybody, s.
    pub busy_s: Option<f64>,
    /// CPU time that the hypervisor gave to others, s.
    pub steal_s: Option<f64>,
    /// CPU time of this process and all its descendants that ended, s.
    pub ours_s: Option<f64>,
}

impl Sensors {
    /// Those that can be read.
    pub fn find(kernel: Kernel) -> Self {
        let readable = |path: &String| kernel.value::<f64>(path).is_some();
        let policies = kernel.numbered(&format!("{CPUS}/cpufreq"), "policy");
        let frequencies = policies.iter().map(|(_, policy)| format!("{policy}/scaling_cur_freq"));
        let frequencies = frequencies.filter(readable).take(MOST_FREQUENCIES).collect();
        let mut throttles = Vec::new();
        for (cpu, folder) in kernel.numbered(CPUS, "cpu") {
            // Threads of a core, and cores of a package, tell the same: the first speaks for all.
            for (name, kin) in [("core", "thread_siblings_list"), ("package", "core_siblings_list")] {
                let kin = kernel.list(format!("{folder}/topology/{kin}"));
                let path = format!("{folder}/thermal_throttle/{name}_throttle_count");
                if kin.is_none_or(|kin| kin.first() == Some(&cpu)) && readable(&path) {
                    throttles.push(path);
                }
            }
        }
        let temperatures = temperatures(&kernel).into_iter().filter(readable).collect();
        Self { frequencies, temperatures, throttles, kernel }
    }

    /// What they say now.
    pub fn read(&self) -> Moment {
        let values = |paths: &[String]| -> Vec<f64> {
            paths.iter().filter_map(|path| self.kernel.value::<f64>(path)).collect()
        };
        let frequencies = values(&self.frequencies);
        let throttles = values(&self.throttles);
        let cpu = self.kernel.text("proc/stat").and_then(|text| cpu_seconds(&text));
        Moment {
            freq_hz: mean(&frequencies).map(|khz| khz * 1e3),
            temp_c: values(&self.temperatures).into_iter().reduce(f64::max).map(|milli| milli / 1e3),
            load1: load1(&self.kernel),
            throttles: (!throttles.is_empty()).then(|| throttles.iter().sum::<f64>() as u64),
            pressure_s: ["cpu", "memory", "io"]
                .map(|what| pressure(&self.kernel.text(format!("proc/pressure/{what}"))?)),
            busy_s: cpu.map(|(busy, _)| busy),
            steal_s: cpu.map(|(_, steal)| steal),
            ours_s: self.kernel.text("proc/self/stat").and_then(|text| own_seconds(&text)),
        }
    }
}

/// Sensors of processors: of a mainboard or a disk nobody wants to know here.
fn temperatures(kernel: &Kernel) -> Vec<String> {
    let mut found = Vec::new();
    for (_, zone) in kernel.numbered("sys/class/thermal", "thermal_zone") {
        if kernel
            .text(format!("{zone}/type"))
            .is_some_and(|kind| kind == "x86_pkg_temp" || kind.starts_with("cpu"))
        {
            found.push(format!("{zone}/temp"));
        }
    }
    for (_, chip) in kernel.numbered("sys/class/hwmon", "hwmon") {
        let name = kernel.text(format!("{chip}/name")).unwrap_or_default();
        // The first of each is that of the package (coretemp) or the one that cooling goes by (k10temp).
        if found.is_empty() && ["coretemp", "k10temp", "zenpower"].contains(&name.as_str()) {
            found.push(format!("{chip}/temp1_input"));
        }
    }
    found
}

/// What the kernel counts time of processes in, on every architecture clusters have.
const TICKS_PER_S: f64 = 100.0;

/// Busy and stolen seconds, of the first line of /proc/stat.
fn cpu_seconds(text: &str) -> Option<(f64, f64)> {
    let line = text.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let at = |place: usize| ticks.get(place).copied();
    let busy = at(0)? + at(1)? + at(2)? + at(5).unwrap_or(0.0) + at(6).unwrap_or(0.0);
    Some((busy / TICKS_PER_S, at(7).unwrap_or(0.0) / TICKS_PER_S))
}

/// User and system time of a process and of its children that ended, of its `stat`.
fn own_seconds(stat: &str) -> Option<f64> {
    // The second field, its name, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().map(|word| word.parse::<f64>().unwrap_or(0.0)).sum::<f64>();
    Some(ticks / TICKS_PER_S)
}

/// `some … total=` of a pressure file, s.
fn pressure(text: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = line.split_whitespace().find_map(|word| word.strip_prefix("total="))?;
    Some(total.parse::<f64>().ok()? / 1e6)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
