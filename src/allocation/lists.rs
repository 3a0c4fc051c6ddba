//! Lists of hosts as batch systems write them: a host to a line with or without counts, words in pairs, host files
//! of Open MPI and Hydra. Pure; what cannot be read is an error that names the line.

use std::collections::HashMap;

use super::Node;
use super::slurm::expand;

/// A host to a line, once for each slot (PBS, Torque, Cobalt, PJM, LSF's host file).
pub(super) fn lines(text: &str) -> Result<Vec<Node>, String> {
    let mut hosts = Hosts::default();
    for line in meaningful(text) {
        hosts.add(name(line)?, Some(1));
    }
    Ok(hosts.nodes)
}

/// `HOST SLOTS QUEUE PROCESSORS` to a line (SGE).
pub(super) fn columns(text: &str) -> Result<Vec<Node>, String> {
    let mut hosts = Hosts::default();
    for line in meaningful(text) {
        let mut words = line.split_whitespace();
        let (Some(host), Some(slots)) = (words.next(), words.next()) else {
            return Err(format!("`{line}` is not `HOST SLOTS …`"));
        };
        hosts.add(name(host)?, Some(number(slots)?));
    }
    Ok(hosts.nodes)
}

/// `HOST SLOTS HOST SLOTS …` (LSF).
pub(super) fn pairs(text: &str) -> Result<Vec<Node>, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut hosts = Hosts::default();
    for pair in words.chunks(2) {
        let [host, slots] = pair else { return Err(format!("`{}` has no number", pair[0])) };
        hosts.add(name(host)?, Some(number(slots)?));
    }
    Ok(hosts.nodes)
}

/// What people write for `mpirun --hostfile`: `node1 slots=4` (Open MPI), `node1:4` (Hydra), `node1`, comments.
pub(super) fn host_file(text: &str) -> Result<Vec<Node>, String> {
    let mut hosts = Hosts::default();
    for line in meaningful(text) {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let (named, mut slots) = match first.rsplit_once(':') {
            // An address of IPv6 has no slots behind it.
            Some((named, slots)) if !named.contains(':') => (named, Some(number(slots)?)),
            _ => (first, None),
        };
        for word in words {
            match word.split_once('=') {
                Some(("slots", value)) => slots = Some(number(value)?),
                // Limits and interfaces that say nothing of where workers go.
                Some(_) => {}
                None => return Err(format!("`{word}` in `{line}` is not KEY=VALUE: a host to a line")),
            }
        }
        for host in expand(named)? {
            hosts.add(name(&host)?, slots);
        }
    }
    Ok(hosts.nodes)
}

/// Hosts with commas or blanks between them, brackets allowed (Flux).
pub(super) fn words(text: &str) -> Result<Vec<Node>, String> {
    let mut hosts = Hosts::default();
    for word in text.split_whitespace() {
        for host in expand(word)? {
            hosts.add(name(&host)?, None);
        }
    }
    Ok(hosts.nodes)
}

/// One entry to a host, its slots summed up.
#[derive(Default)]
pub(super) struct Hosts {
    pub(super) nodes: Vec<Node>,
    /// Where each is among them.
    places: HashMap<String, usize>,
}

impl Hosts {
    pub(super) fn add(&mut self, host: &str, slots: Option<u32>) {
        match self.places.get(host) {
            Some(place) => {
                let node = &mut self.nodes[*place];
                node.cores = node.cores.zip(slots).map(|(had, more)| had.saturating_add(more)).or(slots);
            }
            None => {
                self.places.insert(host.to_string(), self.nodes.len());
                self.nodes.push(Node { host: host.to_string(), cores: slots });
            }
        }
    }
}

fn meaningful(text: &str) -> impl Iterator<Item = &str> {
    // Editors of Windows begin a text so.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).filter(|line| !line.is_empty())
}

/// Whatever is to start something on a host would take an option for one.
fn name(host: &str) -> Result<&str, String> {
    if host.starts_with('-') { Err(format!("`{host}` is no name of a host")) } else { Ok(host) }
}

fn number(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(nodes: Result<Vec<Node>, String>) -> String {
        let show = |node: &Node| match node.cores {
            Some(cores) => format!("{}:{cores}", node.host),
            None => node.host.clone(),
        };
        nodes.map_or_else(|error| error, |nodes| nodes.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn slots_of_one_host_add_up_wherever_they_stand() {
        assert_eq!(shown(lines("n1\nn2\nn1\n\nn1\n")), "n1:3 n2:1");
        assert_eq!(shown(pairs("h1 16 h2 16 h1 2")), "h1:18 h2:16");
        assert_eq!(
            shown(columns("c1.x.org 8 all.q@c1 UNDEFINED\nc2.x.org 4 all.q@c2 <NULL>")),
            "c1.x.org:8 c2.x.org:4"
        );
    }

    #[test]
    fn host_files_of_both_dialects() {
        let open_mpi = "# two nodes\nnode1 slots=4 max_slots=8\nnode2   slots=2 # spare\nnode3";
        assert_eq!(shown(host_file(open_mpi)), "node1:4 node2:2 node3");
        assert_eq!(shown(host_file("node1:4 binding=user\nnode2:2\n")), "node1:4 node2:2");
        assert_eq!(shown(host_file("node[1-3,07]")), "node1 node2 node3 node07");
    }

    #[test]
    fn what_is_no_list_is_named() {
        assert_eq!(
            shown(host_file("node1 node2")),
            "`node2` in `node1 node2` is not KEY=VALUE: a host to a line"
        );
        assert_eq!(shown(host_file("node1:x")), "`x` is not a number");
        assert_eq!(shown(host_file("\u{feff}node1\nnode2\n")), "node1 node2");
        assert_eq!(shown(host_file("node1\n-oProxyCommand=x\n")), "`-oProxyCommand=x` is no name of a host");
        assert_eq!(shown(pairs("h1 16 h2")), "`h2` has no number");
        assert_eq!(shown(columns("h1")), "`h1` is not `HOST SLOTS …`");
    }
}
