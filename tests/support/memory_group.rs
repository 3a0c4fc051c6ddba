//! A control group that bounds memory.

use std::fs;
use std::path::{Path, PathBuf};

/// A control group of so much memory (B), if we may make one; removed when dropped.
pub struct MemoryGroup(pub PathBuf);

impl MemoryGroup {
    pub fn of(bytes: u64) -> Option<Self> {
        let name = format!("harness-test-{}-{bytes}", std::process::id());
        let kinds = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        kinds.iter().find_map(|(root, limit)| {
            let group = Path::new(root).join(&name);
            fs::create_dir(&group).ok()?;
            let group = Self(group);
            fs::write(group.0.join(limit), bytes.to_string()).ok().map(|()| group)
        })
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
