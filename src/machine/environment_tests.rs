//! Trees as nodes have them: a two-socket Xeon with intel_pstate under Slurm, an EPYC in a container.

use super::super::kernel::recorded;
use super::*;

const XEON: &[(&str, &str)] = &[
    (
        "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz\nmicrocode\t: 0x5003604\n\nprocessor\t: 1\nmodel name\t: other\n",
    ),
    ("proc/sys/kernel/osrelease", "4.18.0-513.el8.x86_64\n"),
    ("proc/sys/kernel/randomize_va_space", "2\n"),
    ("proc/sys/kernel/numa_balancing", "1\n"),
    ("proc/cmdline", "BOOT_IMAGE=(hd0)/vmlinuz nosmt=force\n"),
    ("proc/loadavg", "3.25 2.00 1.00 2/812 4711\n"),
    ("proc/meminfo", "MemTotal:       196608 kB\nSwapTotal:       4096 kB\nSwapFree:        1024 kB\n"),
    ("proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_7/step_0\n"),
    ("sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/step_0/cpu.max", "max 100000\n"),
    ("sys/fs/cgroup/system.slice/slurmstepd.scope/job_7/cpu.max", "max 100000\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n"),
    ("sys/devices/system/cpu/online", "0-3\n"),
    ("sys/devices/system/cpu/smt/active", "0\n"),
    ("sys/devices/system/cpu/intel_pstate/no_turbo", "0\n"),
    ("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "powersave\n"),
    ("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "2000000\n"),
    ("sys/devices/system/cpu/cpufreq/policy1/scaling_governor", "powersave\n"),
    ("sys/devices/system/cpu/cpufreq/policy1/scaling_cur_freq", "3000000\n"),
    ("sys/devices/system/cpu/cpu0/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu0/topology/core_siblings_list", "0-1\n"),
    ("sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "5\n"),
    ("sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count", "7\n"),
    ("sys/devices/system/cpu/cpu1/topology/physical_package_id", "0\n"),
    ("sys/devices/system/cpu/cpu1/topology/core_siblings_list", "0-1\n"),
    ("sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "1\n"),
    ("sys/devices/system/cpu/cpu1/thermal_throttle/package_throttle_count", "7\n"),
    ("sys/devices/system/cpu/cpu2/topology/physical_package_id", "1\n"),
    ("sys/devices/system/cpu/cpu3/topology/physical_package_id", "1\n"),
    ("sys/devices/system/node/has_memory", "0-1\n"),
    ("sys/class/thermal/thermal_zone0/type", "acpitz\n"),
    ("sys/class/thermal/thermal_zone0/temp", "90000\n"),
    ("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n"),
    ("sys/class/thermal/thermal_zone1/temp", "51000\n"),
    ("sys/class/thermal/thermal_zone2/type", "x86_pkg_temp\n"),
    ("sys/class/thermal/thermal_zone2/temp", "54500\n"),
    ("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0 total=9\n"),
    ("proc/stat", "cpu  100 20 30 1000 5 1 2 40 0 0\ncpu0 1 1 1\n"),
    ("proc/self/stat", "9 (har) ness) S 1 9 9 0 -1 0 0 0 0 0 10 20 300 70 20 0 1 0 5\n"),
];

const CONTAINER: &[(&str, &str)] = &[
    ("proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 7763 64-Core Processor\n"),
    ("proc/self/cgroup", "4:memory:/kube/pod1\n1:cpu,cpuacct:/kube/pod1\n"),
    ("sys/fs/cgroup/cpu/kube/pod1/cpu.cfs_quota_us", "-1\n"),
    ("sys/fs/cgroup/cpu/kube/pod1/cpu.cfs_period_us", "100000\n"),
    ("sys/fs/cgroup/cpu/kube/cpu.cfs_quota_us", "250000\n"),
    ("sys/fs/cgroup/cpu/kube/cpu.cfs_period_us", "100000\n"),
    ("sys/devices/system/cpu/cpufreq/boost", "0\n"),
    ("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "performance\n"),
    ("sys/class/hwmon/hwmon0/name", "nvme\n"),
    ("sys/class/hwmon/hwmon0/temp1_input", "70000\n"),
    ("sys/class/hwmon/hwmon1/name", "k10temp\n"),
    ("sys/class/hwmon/hwmon1/temp1_input", "45125\n"),
];

fn variables(name: &str) -> Option<String> {
    let known =
        [("LOADEDMODULES", "gcc/13:openmpi/5.0:"), ("SLURM_JOB_ID", "7"), ("SLURM_JOB_PARTITION", "short")];
    known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

#[test]
fn a_node_is_described_by_what_it_says() {
    let (_folder, kernel) = recorded(XEON);
    let env = describe(&kernel, variables);
    assert_eq!(env.cpu_model.as_deref(), Some("Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz"));
    assert_eq!(env.microcode.as_deref(), Some("0x5003604"));
    assert_eq!((env.sockets, env.cores, env.smt, env.boost), (Some(2), Some(4), Some(false), Some(true)));
    assert_eq!(env.governor.as_deref(), Some("powersave"));
    assert_eq!((env.aslr, env.numa_balancing, env.load1), (Some(2), Some(1), Some(3.25)));
    assert_eq!(env.thp.as_deref(), Some("always"));
    assert_eq!(env.swap_used_bytes, Some(3072 * 1024));
    assert_eq!(env.cgroup_cpu_max.as_deref(), Some("max 100000"));
    assert_eq!(env.modules, Some(vec!["gcc/13".into(), "openmpi/5.0".into()]));
    let slurm = env.slurm.unwrap();
    assert_eq!((slurm.get("job"), slurm.get("step")), (Some(&"7".to_owned()), None));
}

#[test]
fn what_is_not_there_is_none_and_not_zero() {
    let (_folder, kernel) = recorded(&[("proc/x", "")]);
    assert_eq!(describe(&kernel, |_| None), Env::default());
    assert_eq!(Sensors::find(kernel.clone()).read(), Moment::default());
    assert_eq!(noise(&kernel), []);
}

#[test]
fn what_moves_is_read_from_the_sensors_of_processors_once_each() {
    let (_folder, kernel) = recorded(XEON);
    let moment = Sensors::find(kernel).read();
    assert_eq!((moment.freq_hz, moment.temp_c), (Some(2.5e9), Some(54.5)));
    assert_eq!(moment.throttles, Some(5 + 1 + 7), "a package counts once");
    assert_eq!(moment.pressure_s, [Some(2.5), None, None]);
    assert_eq!((moment.busy_s, moment.steal_s, moment.ours_s), (Some(1.53), Some(0.4), Some(4.0)));
    let (_folder, kernel) = recorded(CONTAINER);
    assert_eq!(Sensors::find(kernel).read().temp_c, Some(45.125));
}

#[test]
fn each_noise_says_what_mends_it() {
    let told = |tree| {
        let (_folder, kernel) = recorded(tree);
        noise(&kernel)
    };
    let xeon = told(XEON);
    assert_eq!(xeon.iter().map(|noise| noise.what).collect::<Vec<_>>(), ["governor", "numa_balancing"]);
    assert!(xeon[0].text.contains("`powersave`") && xeon[0].text.contains("cpupower frequency-set"));
    let container = told(CONTAINER);
    assert_eq!(container.len(), 1);
    assert!(
        container[0].text.starts_with("the control group may use 2.50 CPUs (cpu.max is `250000 100000`)")
    );
}

#[test]
fn this_node_can_be_described_at_once() {
    let env = super::super::environment();
    assert!(
        env.kernel.is_some()
            && env.libc.is_some_and(|libc| libc.starts_with("glibc ") || libc.starts_with("musl"))
    );
    let sensors = Sensors::find(Kernel::here());
    let (first, second) = (sensors.read(), sensors.read());
    assert!(first.busy_s.is_some() && second.busy_s >= first.busy_s);
}
