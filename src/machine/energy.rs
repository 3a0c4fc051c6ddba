//! What the packages of this node consume, from RAPL's counters below /sys/class/powercap.
//!
//! They count whole packages, whoever computes there, and begin anew at their range. Pure readers over a [`Kernel`]; who
//! may ask for them is decided elsewhere.

use super::kernel::Kernel;
use crate::model::Energy;

const ZONES: &str = "sys/class/powercap";
/// No package takes more (W). A run that might have emptied a counter's range twice says nothing.
const MOST_W: f64 = 1000.0;

/// The counters of this node.
#[derive(Clone, Debug)]
pub struct Rapl {
    kernel: Kernel,
    packages: Vec<Zone>,
    memory: Vec<Zone>,
}

#[derive(Clone, Debug)]
struct Zone {
    path: String,
    range_uj: f64,
}

/// Counters at a moment, µJ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    packages: Vec<Option<f64>>,
    memory: Vec<Option<f64>>,
}

impl Rapl {
    /// Finds them, all or those of one package, or says why there are none.
    pub fn find(kernel: Kernel, package: Option<u32>) -> Result<Self, String> {
        let (mut packages, mut memory, mut forbidden) = (Vec::new(), Vec::new(), false);
        for name in kernel.names(ZONES).iter().filter(|name| name.starts_with("intel-rapl:")) {
            let folder = format!("{ZONES}/{name}");
            let kind = kernel.text(format!("{folder}/name")).unwrap_or_default();
            let list = match kind.as_str() {
                "dram" => &mut memory,
                package if package.starts_with("package") => &mut packages,
                // Cores and graphics are parts of a package, `psys` is more than all of them.
                _ => continue,
            };
            if package.is_some_and(|package| !is_of(&kernel, name, package)) {
                continue;
            }
            let path = format!("{folder}/energy_uj");
            let Some(range_uj) = kernel.value(format!("{folder}/max_energy_range_uj")) else { continue };
            if kernel.value::<f64>(&path).is_some() {
                list.push(Zone { path, range_uj });
            } else {
                forbidden |= kernel.has(&path);
            }
        }
        if !packages.is_empty() {
            return Ok(Self { kernel, packages, memory });
        }
        Err(match forbidden {
            true => format!(
                "/{ZONES}/intel-rapl:*/energy_uj may only be read by root: `chmod a+r` on them (root)"
            ),
            false => format!(
                "there are no energy counters below /{ZONES}: `modprobe intel_rapl_msr` (root); a virtual machine has none"
            ),
        })
    }

    /// What they say now.
    pub fn read(&self) -> Reading {
        let values = |zones: &[Zone]| zones.iter().map(|zone| self.kernel.value(&zone.path)).collect();
        Reading { packages: values(&self.packages), memory: values(&self.memory) }
    }

    /// What was consumed from one reading to another, `elapsed_s` later.
    pub fn between(&self, before: &Reading, after: &Reading, elapsed_s: f64) -> Energy {
        let sum = |zones: &[Zone], before: &[Option<f64>], after: &[Option<f64>]| {
            let used = zones.iter().zip(before.iter().zip(after));
            let used = used.map(|(zone, (before, after))| zone.used(*before, *after, elapsed_s));
            let used: Option<Vec<f64>> = used.collect();
            used.filter(|used| !used.is_empty()).map(|used| used.iter().sum::<f64>() / 1e6)
        };
        Energy {
            pkg_j: sum(&self.packages, &before.packages, &after.packages),
            dram_j: sum(&self.memory, &before.memory, &after.memory),
        }
    }
}

/// Is the zone this package, or a part of it?
fn is_of(kernel: &Kernel, zone: &str, package: u32) -> bool {
    let whole: Vec<&str> = zone.splitn(3, ':').take(2).collect();
    let name = kernel.text(format!("{ZONES}/{}/name", whole.join(":"))).unwrap_or_default();
    let mut words = name.split('-'); // package-0, and package-0-die-1 where a package has several
    words.next() == Some("package") && words.next().and_then(|number| number.parse().ok()) == Some(package)
}

impl Zone {
    fn used(&self, before: Option<f64>, after: Option<f64>, elapsed_s: f64) -> Option<f64> {
        if elapsed_s * MOST_W * 1e6 > self.range_uj {
            return None;
        }
        let used = after? - before?;
        Some(if used < 0.0 { used + self.range_uj } else { used })
    }
}

#[cfg(test)]
mod tests {
    use super::super::kernel::recorded;
    use super::*;

    /// Two packages with memory, as a two-socket Xeon has them.
    fn tree<'a>(package0: &'a str, package1: &'a str, dram: &'a str) -> Vec<(&'static str, &'a str)> {
        vec![
            ("sys/class/powercap/intel-rapl/enabled", "1"),
            ("sys/class/powercap/intel-rapl:0/name", "package-0\n"),
            ("sys/class/powercap/intel-rapl:0/energy_uj", package0),
            ("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "262143328850\n"),
            ("sys/class/powercap/intel-rapl:0:0/name", "dram\n"),
            ("sys/class/powercap/intel-rapl:0:0/energy_uj", dram),
            ("sys/class/powercap/intel-rapl:0:0/max_energy_range_uj", "65712999613\n"),
            ("sys/class/powercap/intel-rapl:0:1/name", "core\n"),
            ("sys/class/powercap/intel-rapl:0:1/energy_uj", "99\n"),
            ("sys/class/powercap/intel-rapl:1/name", "package-1\n"),
            ("sys/class/powercap/intel-rapl:1/energy_uj", package1),
            ("sys/class/powercap/intel-rapl:1/max_energy_range_uj", "262143328850\n"),
        ]
    }

    #[test]
    fn packages_are_added_and_a_counter_that_began_anew_goes_on() {
        let (_a, kernel) = recorded(&tree("1000000\n", "262143000000\n", "5000000\n"));
        let rapl = Rapl::find(kernel, None).unwrap();
        let before = rapl.read();
        let (_b, kernel) = recorded(&tree("3500000\n", "671150\n", "5250000\n"));
        let after = Rapl::find(kernel, None).unwrap().read();
        let energy = rapl.between(&before, &after, 1.0);
        assert!((energy.pkg_j.unwrap() - 3.5).abs() < 1e-9, "{energy:?}");
        assert!((energy.dram_j.unwrap() - 0.25).abs() < 1e-9);
        let long = rapl.between(&before, &after, 100.0);
        assert_eq!(long.dram_j, None, "it may have gone round twice");
        assert!(long.pkg_j.is_some());
    }

    #[test]
    fn who_has_one_package_counts_that_alone() {
        let joules = |package| {
            let (_a, kernel) = recorded(&tree("1000000\n", "2000000\n", "5000000\n"));
            let rapl = Rapl::find(kernel, Some(package))?;
            let before = rapl.read();
            let (_b, kernel) = recorded(&tree("2000000\n", "9000000\n", "5500000\n"));
            let after = Rapl::find(kernel, Some(package))?.read();
            let energy = rapl.between(&before, &after, 1.0);
            Ok::<_, String>((energy.pkg_j, energy.dram_j))
        };
        assert_eq!(joules(0), Ok((Some(1.0), Some(0.5))));
        assert_eq!(joules(1), Ok((Some(7.0), None)), "its memory is not counted here");
        assert!(joules(2).unwrap_err().contains("there are no energy counters"));
    }

    #[test]
    fn why_there_is_none_is_said() {
        let (_folder, kernel) = recorded(&[("sys/class/powercap/intel-rapl/enabled", "1")]);
        assert!(Rapl::find(kernel, None).unwrap_err().contains("modprobe intel_rapl_msr"));
        // What may not be read looks like one without a figure: root reads everything.
        let (_folder, kernel) = recorded(&tree("", "", ""));
        assert!(Rapl::find(kernel, None).unwrap_err().contains("may only be read by root"));
    }
}
