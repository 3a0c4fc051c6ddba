//! The GPUs of an attempt: from the numbers the core hands out to what its programs see.
//!
//! The names of a node's GPUs are its worker's word; they stand in variables which the batch system sets too, and which
//! a task may set itself. Decides nothing about who gets which.

use std::collections::{BTreeMap, BTreeSet};

use super::tasks::Live;
use super::workers::Worker;
use crate::core::GpuSet;
use crate::model::{Arg, CommandSpec, Gpus, MOST_GPUS, WorkerId};

/// The GPUs of each node by name: the place of a name is its number, the same for all workers of the node, of
/// whatever pools and times.
#[derive(Debug, Default)]
pub(super) struct GpuNames(BTreeMap<String, Vec<String>>);

impl GpuNames {
    /// The numbers of a worker's GPUs. Those that find no number any more, and those named twice, it does not have.
    pub(super) fn number(&mut self, host: &str, gpus: &mut Gpus) -> GpuSet {
        let names = self.0.entry(host.to_owned()).or_default();
        let mut numbers = BTreeSet::new();
        gpus.ids.retain(|id| {
            let known = names.iter().position(|name| name == id);
            let number = known.unwrap_or(names.len());
            if number == names.len() && number < MOST_GPUS {
                names.push(id.clone());
            }
            number < MOST_GPUS && numbers.insert(number as u16)
        });
        numbers.into_iter().collect()
    }

    /// Those that were granted on a worker's node.
    fn named(&self, worker: &Worker, granted: GpuSet) -> Gpus {
        let names = self.0.get(worker.host()).map_or(&[][..], Vec::as_slice);
        let ids: Vec<String> =
            granted.iter().filter_map(|number| names.get(usize::from(number)).cloned()).collect();
        assert_eq!(ids.len(), usize::from(granted.len()), "a GPU of {} has no name", worker.host());
        Gpus { vendor: worker.gpus.vendor, ids }
    }
}

impl Live {
    /// Notes the GPUs of the try that begins.
    pub(super) fn grant(
        &mut self,
        members: &[WorkerId],
        granted: &[GpuSet],
        workers: &BTreeMap<WorkerId, Worker>,
        names: &GpuNames,
    ) {
        let of = |(id, set): (&WorkerId, &GpuSet)| {
            let worker = workers.get(id)?;
            Some((worker.host().to_string(), names.named(worker, *set)))
        };
        let gpus: Vec<_> = members.iter().zip(granted).filter_map(of).collect();
        if gpus != self.rare.granted.gpus {
            self.rare.granted.gpus = gpus;
        }
    }
}

/// Lets a command see its GPUs. Variables that the author has set stay his.
pub(super) fn show(granted: &[(String, Gpus)], command: &mut CommandSpec) {
    let Some((_, own)) = granted.first() else { return };
    if command.launch.is_some() && granted.iter().any(|(_, gpus)| gpus != own) {
        return show_by_node(granted, command);
    }
    for (name, value) in own.variables() {
        command.env.entry(name.into()).or_insert(value);
    }
}

/// The environment of a launcher is the same for all nodes. Where their GPUs have different names each rank looks up
/// those of its node, before it becomes the program. On a node that is none of them it would see all GPUs.
fn show_by_node(granted: &[(String, Gpus)], command: &mut CommandSpec) {
    let mut line = String::from("case \"$(uname -n)\" in ");
    for (host, gpus) in granted {
        let variables = gpus.variables().into_iter().filter(|(name, _)| !command.env.contains_key(*name));
        let words: Vec<String> = variables.map(|(name, value)| format!("{name}='{value}'")).collect();
        line.push_str(&format!("'{host}') export {};; ", words.join(" ")));
    }
    let hosts: Vec<&str> = granted.iter().map(|(host, _)| host.as_str()).collect();
    line.push_str(&format!(
        "*) echo \"harness: this rank runs on $(uname -n), which is none of the nodes whose GPUs it was given ({}): does \
         the launcher obey the nodes it was told, and does a container give it another host name?\" >&2; exit 1;; \
         esac; exec \"$@\"",
        hosts.join(", ")
    ));
    let mut words = vec!["/bin/sh", "-c", &line, "harness"];
    let shell = command.shell.take();
    if let Some(shell) = &shell {
        words.extend(["/bin/sh", "-c", shell]);
    }
    command.argv.splice(0..0, words.into_iter().map(|word| Arg::Text(word.into())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LaunchSpec, Vendor};

    fn on(host: &str, ids: &[&str]) -> (String, Gpus) {
        let ids = ids.iter().map(|id| id.to_string()).collect();
        (host.into(), Gpus { vendor: Some(Vendor::Nvidia), ids })
    }

    #[test]
    fn a_number_is_the_same_gpu_to_all_workers_of_a_node() {
        let mut names = GpuNames::default();
        let mut number = |host: &str, ids: &[&str]| {
            let (_, mut gpus) = on(host, ids);
            let numbers: Vec<u16> = names.number(host, &mut gpus).iter().collect();
            assert_eq!(numbers.len(), gpus.ids.len());
            numbers
        };
        assert_eq!(number("a", &["2", "3"]), [0, 1]);
        assert_eq!(number("a", &["3"]), [1]);
        assert_eq!(number("b", &["3"]), [0]);
        assert_eq!(number("a", &["0", "3", "0"]), [1, 2]);
        let many: Vec<String> = (0..100).map(|id| format!("GPU-{id}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(number("a", &many).len(), MOST_GPUS - 3);
    }

    #[test]
    fn a_program_sees_its_own_unless_it_was_told_otherwise() {
        let mut command = CommandSpec::default();
        show(&[], &mut command);
        assert_eq!(command, CommandSpec::default());
        show(&[on("a", &["1", "2"])], &mut command);
        assert_eq!(command.env["CUDA_VISIBLE_DEVICES"], "1,2");
        show(&[on("a", &["3"])], &mut command);
        assert_eq!(command.env["CUDA_VISIBLE_DEVICES"], "1,2");
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // what it says on stderr is asked
    fn a_rank_on_a_node_it_was_not_given_does_not_begin() {
        let mut command = CommandSpec {
            argv: vec![Arg::Text(b"true".into())],
            launch: Some(LaunchSpec::default()),
            ..CommandSpec::default()
        };
        show(&[on("a", &["0"]), on("b", &["1"])], &mut command);
        let Some(Arg::Text(line)) = command.argv.get(2) else { panic!("{command:?}") };
        let line = String::from_utf8_lossy(line);
        let ended =
            std::process::Command::new("/bin/sh").args(["-c", &line, "harness", "true"]).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{said}");
        let host = crate::machine::hostname();
        let text = format!(
            "harness: this rank runs on {host}, which is none of the nodes whose GPUs it was given (a, b): "
        );
        assert!(said.starts_with(&text), "{said}");
    }

    #[test]
    fn ranks_see_those_of_their_node() {
        let launched = || CommandSpec {
            argv: vec![Arg::Text(b"prog".into()), Arg::Text(b"x".into())],
            launch: Some(LaunchSpec::default()),
            ..CommandSpec::default()
        };
        let mut same = launched();
        show(&[on("a", &["1"]), on("b", &["1"])], &mut same);
        assert_eq!((same.argv.len(), same.env["CUDA_VISIBLE_DEVICES"].as_str()), (2, "1"));

        let mut differ = launched();
        show(&[on("a", &["0"]), on(&crate::machine::hostname(), &["1", "3"])], &mut differ);
        assert!(differ.env.is_empty());
        let words: Vec<String> = differ
            .argv
            .iter()
            .map(|arg| match arg {
                Arg::Text(text) => String::from_utf8_lossy(text).replace("prog", "printenv"),
                other => panic!("{other:?}"),
            })
            .map(|word| if word == "x" { "CUDA_VISIBLE_DEVICES".into() } else { word })
            .collect();
        let said = crate::process::ask(&words, std::time::Duration::from_secs(10)).unwrap();
        assert_eq!(said.trim(), "1,3");
    }
}
