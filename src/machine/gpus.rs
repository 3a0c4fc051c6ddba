//! Which GPUs this node has for us: those the kernel shows, as far as the batch system gave them.
//!
//! Nothing is loaded or started for it, and no vendor's library is needed: drivers leave files. A variable with a list
//! of devices only ever narrows what is there. Judges nothing else and knows no tasks.

use std::fs;
use std::path::Path;

use crate::model::{GPU_VARIABLES, Gpus, MOST_GPUS, Vendor};

/// Where lists of devices stand, in the order in which they count.
const NVIDIA_LISTS: [&str; 2] = ["CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"];
const AMD_LISTS: [&str; 4] =
    ["ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "CUDA_VISIBLE_DEVICES"];
/// Slurm's own lists: of the whole node, so they say nothing where devices are hidden and counted anew.
const SLURM_LISTS: [&str; 2] = ["SLURM_STEP_GPUS", "SLURM_JOB_GPUS"];

/// Those of this node; `None` if neither a device nor a list of devices tells of any.
pub fn gpus() -> Option<Gpus> {
    seen(Path::new("/"), &|name| std::env::var(name).ok())
}

/// Those below `root`, as far as the environment gives them.
fn seen(root: &Path, env: &dyn Fn(&str) -> Option<String>) -> Option<Gpus> {
    let list = |names: &[&str]| names.iter().find_map(|name| env(name)).map(|list| named(&list));
    let (vendor, count, lists) = match (nvidia(root), amd(root)) {
        (0, 0) => {
            let ids = list(&GPU_VARIABLES).or_else(|| list(&SLURM_LISTS))?;
            return Some(Gpus { vendor: None, ids });
        }
        (0, count) => (Vendor::Amd, count, &AMD_LISTS[..]),
        (count, _) => (Vendor::Nvidia, count, &NVIDIA_LISTS[..]),
    };
    let all: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let given = list(lists).or_else(|| {
        list(&SLURM_LISTS).filter(|ids| !ids.is_empty() && ids.iter().all(|id| all.contains(id)))
    });
    let mut ids = given.unwrap_or(all);
    ids.truncate(MOST_GPUS);
    Some(Gpus { vendor: Some(vendor), ids })
}

/// The devices of a list. It ends, as for the drivers, at the first word that means none.
fn named(list: &str) -> Vec<String> {
    let none = |word: &&str| ["", "-1", "NoDevFiles", "none", "void"].contains(word);
    let words = list.split(',').map(str::trim).take_while(|word| !none(word));
    words.flat_map(range).collect()
}

/// `2-4` as Slurm writes it; every other word is a name.
fn range(word: &str) -> Vec<String> {
    let ends = word.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match ends {
        Some((first, last)) if first <= last => {
            (first..=last).take(MOST_GPUS).map(|number: u32| number.to_string()).collect()
        }
        _ => vec![word.to_string()],
    }
}

/// A device file each. They may be made when the first program asks for one: then the driver's own list counts.
fn nvidia(root: &Path) -> usize {
    let is_gpu = |name: &String| {
        let number = name.strip_prefix("nvidia").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    };
    match names(&root.join("dev")).filter(is_gpu).count() {
        0 => names(&root.join("proc/driver/nvidia/gpus")).count(),
        count => count,
    }
}

/// Nodes of the kernel's topology that compute, and whose device file is there: a container has those it may use.
fn amd(root: &Path) -> usize {
    let nodes = root.join("sys/class/kfd/kfd/topology/nodes");
    let property = |text: &str, name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    let usable = |node: &String| {
        let text = fs::read_to_string(nodes.join(node).join("properties")).unwrap_or_default();
        let file = property(&text, "drm_render_minor").unwrap_or(0);
        property(&text, "simd_count").is_some_and(|simds| simds > 0)
            && (file == 0 || root.join(format!("dev/dri/renderD{file}")).exists())
    };
    names(&nodes).filter(usable).count()
}

/// What a folder has; nothing if it is not there.
fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node(std::path::PathBuf);

    impl Node {
        /// A machine with these files, by path and content.
        fn with(name: &str, files: &[(&str, &str)]) -> Self {
            let root = std::env::temp_dir().join(format!("harness-gpus-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            for (path, content) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, content).unwrap();
            }
            Self(root)
        }

        fn sees(&self, env: &[(&str, &str)]) -> (Option<Vendor>, String) {
            let of =
                |name: &str| env.iter().find(|(other, _)| *other == name).map(|(_, value)| value.to_string());
            let Gpus { vendor, ids } = seen(&self.0, &of).unwrap_or_default();
            (vendor, ids.join(" "))
        }
    }

    impl Drop for Node {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nvidia_shows_device_files_and_the_batch_system_gives_some_of_them() {
        let files = ["nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidiactl", "nvidia-uvm", "nvidia-caps/x"];
        let files = files.map(|name| format!("dev/{name}"));
        let node = Node::with("nvidia", &files.each_ref().map(|path| (path.as_str(), "")));
        let ids = |env: &[(&str, &str)]| {
            let (vendor, ids) = node.sees(env);
            assert_eq!(vendor, Some(Vendor::Nvidia));
            ids
        };
        assert_eq!(ids(&[]), "0 1 2 3");
        assert_eq!(ids(&[("CUDA_VISIBLE_DEVICES", "2,3")]), "2 3");
        assert_eq!(ids(&[("CUDA_VISIBLE_DEVICES", "GPU-1-2, GPU-3")]), "GPU-1-2 GPU-3");
        for none in ["", "-1", "NoDevFiles"] {
            assert_eq!(ids(&[("CUDA_VISIBLE_DEVICES", none), ("SLURM_JOB_GPUS", "1")]), "", "{none:?}");
        }
        assert_eq!(ids(&[("CUDA_VISIBLE_DEVICES", "1,-1,2")]), "1", "the driver stops there too");
        assert_eq!(ids(&[("SLURM_JOB_GPUS", "0-2"), ("SLURM_STEP_GPUS", "1,2")]), "1 2");
        assert_eq!(ids(&[("SLURM_JOB_GPUS", "1-3")]), "1 2 3");
        assert_eq!(ids(&[("SLURM_JOB_GPUS", "6,7")]), "0 1 2 3", "here they are counted anew");
        assert_eq!(ids(&[("ROCR_VISIBLE_DEVICES", "0")]), "0 1 2 3", "another vendor's");
    }

    #[test]
    fn nvidia_device_files_may_be_made_later() {
        let gpu = "proc/driver/nvidia/gpus/0000:3b:00.0/information";
        let node = Node::with("proc", &[(gpu, "Model: X\n"), ("dev/nvidiactl", "")]);
        assert_eq!(node.sees(&[]), (Some(Vendor::Nvidia), "0".into()));
    }

    #[test]
    fn amd_shows_nodes_that_compute() {
        let node = |number: u32, simds: u32, minor: u32| {
            let path = format!("sys/class/kfd/kfd/topology/nodes/{number}/properties");
            (path, format!("cpu_cores_count 0\nsimd_count {simds}\ndrm_render_minor {minor}\n"))
        };
        let nodes = [node(0, 0, 0), node(1, 304, 128), node(2, 304, 129), node(3, 304, 130)];
        let mut files: Vec<(&str, &str)> =
            nodes.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        files.extend([("dev/dri/renderD128", ""), ("dev/dri/renderD129", "")]);
        let node = Node::with("amd", &files);
        assert_eq!(node.sees(&[]), (Some(Vendor::Amd), "0 1".into()), "the third is not ours to use");
        assert_eq!(node.sees(&[("ROCR_VISIBLE_DEVICES", "1"), ("CUDA_VISIBLE_DEVICES", "0")]).1, "1");
        assert_eq!(node.sees(&[("GPU_DEVICE_ORDINAL", "0")]).1, "0");
    }

    #[test]
    fn other_nodes_have_none() {
        let node = Node::with("none", &[("dev/null", ""), ("dev/dri/renderD128", "")]);
        assert_eq!(seen(&node.0, &|_| None), None);
        assert_eq!(
            node.sees(&[("CUDA_VISIBLE_DEVICES", "2,3")]),
            (None, "2 3".into()),
            "nobody has seen them"
        );
        assert!(seen(&node.0, &|_| Some("-1".into())).is_some_and(|gpus| gpus.ids.is_empty()));
    }
}
