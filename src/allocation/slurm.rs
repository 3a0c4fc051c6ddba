//! What Slurm gave. Only job-level variables are read: those of a step (SLURM_NTASKS, SLURM_NNODES, …) say
//! nothing inside mpirun. Its notation of lists of hosts serves others too.

use super::{AllocationError, Node};

/// More than any machine has are a mistake in the list, and would fill the memory.
const MOST_HOSTS: usize = 1 << 18;
/// No host has a longer name (B).
const LONGEST_NAME: usize = 255;

/// The nodes of the job, in Slurm's order; `None` outside a job. Of a heterogeneous job those of its first part: in the others
/// neither srun nor an MPI's launcher starts anything from there.
pub fn nodes(env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Vec<Node>>, AllocationError> {
    let list_of = |suffix: &'static str| Some((suffix, env(&format!("SLURM_JOB_NODELIST{suffix}"))?));
    let Some((suffix, list)) = ["", "_HET_GROUP_0"].into_iter().find_map(list_of) else { return Ok(None) };
    let wrong = |name: &str, value: &str| {
        let (name, value) = (format!("{name}{suffix}"), value.to_owned());
        move |reason| AllocationError::Variable { name, value, reason }
    };
    let hosts = expand(&list).map_err(wrong("SLURM_JOB_NODELIST", &list))?;
    let cores = match env(&format!("SLURM_JOB_CPUS_PER_NODE{suffix}")) {
        Some(text) => repeat(&text).map_err(wrong("SLURM_JOB_CPUS_PER_NODE", &text))?,
        None => Vec::new(),
    };
    let node = |(i, host)| Node { host, cores: cores.get(i).copied() };
    Ok(Some(hosts.into_iter().enumerate().map(node).collect::<Vec<_>>()).filter(|nodes| !nodes.is_empty()))
}

/// That not all of the job's nodes are used.
pub fn left_out(env: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let parts = env("SLURM_HET_SIZE")?.parse::<u32>().ok().filter(|parts| *parts > 1)?;
    Some(format!(
        "this job is a heterogeneous one of {parts} parts, and the nodes of the first alone are used: to have more, ask for nodes alike \
         (`sbatch -N N`)"
    ))
}

/// `4(x3),2` → 4 4 4 2.
fn repeat(text: &str) -> Result<Vec<u32>, String> {
    let mut counts = Vec::new();
    for part in text.split(',') {
        let (count, times) = match part.split_once("(x") {
            Some((count, times)) => (count, times.strip_suffix(')').ok_or("a `)` is missing")?),
            None => (part, "1"),
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is not a number"));
        let (count, times) = (number(count)?, number(times)?);
        few(counts.len().saturating_add(times as usize))?;
        counts.extend(std::iter::repeat_n(count, times as usize));
    }
    Ok(counts)
}

/// `node[1-3,07],login` → node1 node2 node3 node07 login; brackets may occur several times in a name.
pub(super) fn expand(list: &str) -> Result<Vec<String>, String> {
    let mut hosts = Vec::new();
    for name in split_outside_brackets(list)? {
        hosts.extend(expand_name(name)?);
        few(hosts.len())?;
    }
    Ok(hosts)
}

fn split_outside_brackets(list: &str) -> Result<Vec<&str>, String> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, character) in list.char_indices() {
        match character {
            '[' if inside => return Err("a `[` inside brackets".into()),
            '[' => inside = true,
            ']' if !inside => return Err("a `]` without `[`".into()),
            ']' => inside = false,
            ',' if !inside => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("a `]` is missing".into());
    }
    parts.push(&list[start..]);
    parts.retain(|part| !part.is_empty());
    Ok(parts)
}

fn expand_name(name: &str) -> Result<Vec<String>, String> {
    let (mut hosts, mut rest) = (vec![String::new()], name);
    while let Some((head, behind)) = rest.split_once('[') {
        let (ranges, tail) = behind.split_once(']').ok_or("a `]` is missing")?;
        let mut numbers = Vec::new();
        for range in ranges.split(',') {
            numbers.extend(expand_range(range)?);
            few(numbers.len())?;
        }
        few(hosts.len().saturating_mul(numbers.len()))?;
        let longest = numbers.iter().map(String::len).max().unwrap_or_default();
        if hosts.iter().any(|host| host.len() + head.len() + longest > LONGEST_NAME) {
            return Err(format!("a host of more than {LONGEST_NAME} letters"));
        }
        let with = |host: &String| -> Vec<String> {
            numbers.iter().map(|number| format!("{host}{head}{number}")).collect()
        };
        hosts = hosts.iter().flat_map(with).collect();
        rest = tail;
    }
    if hosts.len() > 1 && rest.len() > LONGEST_NAME {
        return Err(format!("a host of more than {LONGEST_NAME} letters"));
    }
    hosts.iter_mut().for_each(|host| host.push_str(rest));
    Ok(hosts)
}

/// `08-11` → 08 09 10 11: the width of the first number is kept.
fn expand_range(range: &str) -> Result<Vec<String>, String> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{text}` is not a number"));
    let (from, to, width) = (number(first)?, number(last)?, first.len());
    if to < from || to - from >= MOST_HOSTS as u64 || width > LONGEST_NAME {
        return Err(format!("`{range}` is not a range"));
    }
    Ok((from..=to).map(|n| format!("{n:0width$}")).collect())
}

fn few(hosts: usize) -> Result<(), String> {
    if hosts > MOST_HOSTS { Err(format!("more than {MOST_HOSTS} hosts")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)]) -> Result<Option<Vec<Node>>, AllocationError> {
        let get = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string());
        nodes(&get)
    }

    fn hosts(list: &str) -> String {
        expand(list).unwrap().join(" ")
    }

    #[test]
    fn node_lists_expand_in_order() {
        assert_eq!(hosts("node[1-3,07],login"), "node1 node2 node3 node07 login");
        assert_eq!(hosts("r[1-2]n[08-10]-ib"), "r1n08-ib r1n09-ib r1n10-ib r2n08-ib r2n09-ib r2n10-ib");
        assert_eq!(hosts("single"), "single");
        for bad in ["node[1-3", "node1]", "n[a-b]", "n[3-1]", "n[[1]]"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_list_of_more_than_there_can_be_is_no_list() {
        let many = "more than 262144 hosts";
        for list in ["n[1-999][1-999]", "n[1-200000,1-200000]", "n[1-200000],m[1-200000]"] {
            assert_eq!(expand(list).unwrap_err(), many);
        }
        assert_eq!(expand("n[1-262144]").unwrap().len(), 262_144);
        assert_eq!(hosts(&"[1]".repeat(200)), "1".repeat(200));
        for long in [format!("n[{}1]", "0".repeat(70_000)), "[1]".repeat(70_000)] {
            assert!(expand(&long).is_err());
        }
        assert_eq!(repeat("4(x4294967295)"), Err(many.into()));
    }

    #[test]
    fn of_a_heterogeneous_job_the_first_part_counts_and_that_is_said() {
        let parts = [
            ("SLURM_HET_SIZE", "2"),
            ("SLURM_JOB_NODELIST", "b[1-3]"),
            ("SLURM_JOB_CPUS_PER_NODE", "4(x2),2"),
            ("SLURM_JOB_NODELIST_HET_GROUP_0", "b[1-3]"),
            ("SLURM_JOB_CPUS_PER_NODE_HET_GROUP_0", "4(x2),2"),
            ("SLURM_JOB_NODELIST_HET_GROUP_1", "a1"),
            ("SLURM_JOB_CPUS_PER_NODE_HET_GROUP_1", "8"),
        ];
        let expected = [("b1", 4), ("b2", 4), ("b3", 2)].map(|(h, c)| (h.to_string(), Some(c)));
        for parts in [&parts[..], &[&parts[..1], &parts[3..]].concat()] {
            let found = job(parts).unwrap().unwrap().into_iter().map(|n| (n.host, n.cores));
            assert!(found.eq(expected.clone()));
        }
        let said = |size: &'static str| left_out(&|name| (name == "SLURM_HET_SIZE").then(|| size.into()));
        assert!(said("2").unwrap().contains("of 2 parts"));
        assert_eq!((said("1"), said("x"), left_out(&|_| None)), (None, None, None));
    }

    #[test]
    fn no_job_is_not_an_error_and_a_broken_variable_is_named() {
        assert_eq!(job(&[]).unwrap(), None);
        let text = job(&[("SLURM_JOB_NODELIST", "n[1-")]).unwrap_err().to_string();
        assert!(text.contains("SLURM_JOB_NODELIST") && text.contains("n[1-"), "{text}");
    }
}
