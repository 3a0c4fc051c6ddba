//! What this node is: name, cores, memory, processor, GPUs, what of it moves figures, and whether the kernel ran out
//! of memory.
//!
//! Everything is asked from the kernel when called. The room judges nothing and knows no tasks.

pub mod busy;
pub mod counters;
pub mod energy;
pub mod environment;
mod gpus;
mod kernel;
mod memory;
pub mod peak;
mod topology;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::system::uname;
use rustix::thread::sched_getaffinity;

use crate::model::{Env, Hash};

pub use gpus::gpus;
#[cfg(test)]
pub use kernel::recorded;
pub use kernel::{Kernel, show_list};
pub use memory::{OomWatch, Taken, killed_for_memory, memory_bytes, taken_bytes};
pub use topology::{Cores, Topology};

/// Seconds since 1970.
pub fn unix_seconds() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64()
}

/// `gethostname`.
pub fn hostname() -> String {
    uname().nodename().to_string_lossy().into_owned()
}

/// Is this what every machine calls itself (`localhost`, 127.0.0.1), or an address of this one? Asks no name server.
pub fn is_here(host: &str) -> bool {
    if ["localhost", "localhost.localdomain"].iter().any(|name| host.eq_ignore_ascii_case(name)) {
        return true;
    }
    let Ok(address) = host.parse::<IpAddr>() else { return false };
    // The kernel binds to its own addresses only.
    let is_own =
        || !address.is_unspecified() && !address.is_multicast() && UdpSocket::bind((address, 0)).is_ok();
    address.is_loopback() || is_own()
}

/// What of this node and of this process's surroundings stays as it is.
pub fn environment() -> Env {
    let mpi = loaded_library("libmpi").map(|path| path.display().to_string());
    let described = environment::describe(&Kernel::here(), |name| std::env::var(name).ok());
    Env { host: Some(hostname()), mpi, ..described }
}

/// The CPUs this thread may use.
pub fn affinity() -> BTreeSet<u32> {
    let status = Kernel::here().text("proc/thread-self/status").unwrap_or_default();
    kernel::field(&status, "Cpus_allowed_list").and_then(kernel::parse_list).unwrap_or_default()
}

/// Cores this process may use: its affinity mask.
pub fn cores() -> u32 {
    let mask = sched_getaffinity(None).map(|mask| mask.count());
    // More CPUs than the fixed-size mask holds: ask the standard library.
    mask.unwrap_or_else(|_| std::thread::available_parallelism().map_or(1, |n| n.get() as u32))
}

/// The file of a shared library this process has loaded, by how its name begins.
pub fn loaded_library(prefix: &str) -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let files = maps.lines().filter_map(|line| Some(Path::new(&line[line.find('/')?..])));
    let is_it =
        |path: &&Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
    files.filter(is_it).map(Path::to_path_buf).next()
}

/// Names this build of the executable: root and workers must run the same.
pub fn build_id() -> String {
    let size = fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
    format!("{}-{size}", env!("CARGO_PKG_VERSION"))
}

/// `model name` of the processor, for people and records; none where the kernel does not say it.
pub fn cpu_name() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// What `-march=native` means here: name, stepping and features of the processor. Equal on nodes that
/// can run each other's binaries.
pub fn cpu_model() -> String {
    describe_cpu(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

fn describe_cpu(cpuinfo: &str) -> String {
    // x86 | arm64 | POWER
    let identity = ["vendor_id", "cpu family", "model", "model name", "stepping"];
    let identity = identity.iter().chain(&["CPU implementer", "CPU part", "CPU variant", "cpu"]);
    let first = cpuinfo.split("\n\n").next().unwrap_or_default();
    let field = |name: &str| {
        first.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim())
        })
    };
    let words: Vec<&str> = identity.filter_map(|name| field(name)).collect();
    // Virtual machines hide features of the same model.
    let features = field("flags").or(field("Features")).unwrap_or_default();
    format!("{} {} {}", std::env::consts::ARCH, words.join(" "), Hash::of(features.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_machine_calls_itself_is_here_and_others_are_not() {
        for here in ["localhost", "LocalHost", "127.0.0.1", "127.0.1.1", "::1"] {
            assert!(is_here(here), "{here}");
        }
        // Addresses kept for documentation, which nobody has; names are nobody's business here.
        for elsewhere in ["203.0.113.77", "2001:db8::77", "0.0.0.0", "::", "224.0.0.1", "node7", ""] {
            assert!(!is_here(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn the_same_model_with_other_features_is_another_processor() {
        let cpu = |flags: &str| {
            describe_cpu(&format!(
                "vendor_id\t: X\nmodel name\t: Y 1\nflags\t\t: {flags}\n\nvendor_id\t: Z\n"
            ))
        };
        assert!(cpu("avx avx2").contains("X Y 1"));
        assert_eq!(cpu("avx avx2"), cpu("avx avx2"));
        assert_ne!(cpu("avx avx2"), cpu("avx"));
    }

    #[test]
    fn this_machine_has_a_name_cores_and_memory() {
        assert!(!hostname().is_empty());
        assert!(cores() >= 1);
        assert!(memory_bytes() > 1 << 20);
    }
}
