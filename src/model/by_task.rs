//! A map by task: tasks are numbered in order, and those numbered together come and go at about the same time.
//!
//! So neighbours share a page, which is found by a hash and is in the processor's cache for all of them, and goes when the last of
//! them does. An entry costs what it is, and no more: a hash map of its own entries takes half as much again, and a
//! miss in the cache for each that is looked up.

use rustc_hash::FxHashMap;

use super::TaskId;

/// Entries of a page.
const PAGE: usize = 64;

/// What is known of each of some tasks.
#[derive(Clone, Debug)]
pub struct ByTask<T> {
    pages: FxHashMap<u64, Page<T>>,
}

#[derive(Clone, Debug)]
struct Page<T> {
    taken: usize,
    entries: Box<[Option<T>]>,
}

impl<T> Default for ByTask<T> {
    fn default() -> Self {
        Self { pages: FxHashMap::default() }
    }
}

impl<T> ByTask<T> {
    /// What is known of this one.
    pub fn get(&self, task: TaskId) -> Option<&T> {
        let (page, at) = place(task);
        self.pages.get(&page)?.entries[at].as_ref()
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, task: TaskId) -> Option<&mut T> {
        let (page, at) = place(task);
        self.pages.get_mut(&page)?.entries[at].as_mut()
    }

    /// This is known now; what was known before.
    pub fn insert(&mut self, task: TaskId, value: T) -> Option<T> {
        let (page, at) = place(task);
        let page = self.pages.entry(page).or_insert_with(Page::empty);
        let before = page.entries[at].replace(value);
        page.taken += usize::from(before.is_none());
        before
    }

    /// Nothing is known any more; what was.
    pub fn remove(&mut self, task: TaskId) -> Option<T> {
        let (number, at) = place(task);
        let page = self.pages.get_mut(&number)?;
        let removed = page.entries[at].take()?;
        page.taken -= 1;
        if page.taken == 0 {
            self.pages.remove(&number);
        }
        Some(removed)
    }

    /// All of them, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.pages.values().flat_map(|page| page.entries.iter().flatten())
    }
}

impl<T> Page<T> {
    fn empty() -> Self {
        Self { taken: 0, entries: (0..PAGE).map(|_| None).collect() }
    }
}

/// The page of a task, and where it is there.
fn place(task: TaskId) -> (u64, usize) {
    (task.0 / PAGE as u64, (task.0 % PAGE as u64) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn holds_what_a_map_holds() {
        let (mut tasks, mut plain) = (ByTask::default(), BTreeMap::new());
        let mut x = 88172645463325252u64;
        for step in 0..20_000u64 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            // Most are near each other; some are as far off as can be.
            let task = if x.is_multiple_of(97) { u64::MAX - x % 3 } else { step / 8 + x % 200 };
            let before = match (x >> 32) % 3 {
                0 => (tasks.remove(TaskId(task)), plain.remove(&task)),
                _ => (tasks.insert(TaskId(task), step), plain.insert(task, step)),
            };
            assert_eq!(before.0, before.1);
            assert_eq!(tasks.get(TaskId(task)), plain.get(&task));
            assert_eq!(tasks.get_mut(TaskId(task ^ 64)), plain.get_mut(&(task ^ 64)));
        }
        let mut values: Vec<u64> = tasks.values().copied().collect();
        values.sort_unstable();
        let mut expected: Vec<u64> = plain.values().copied().collect();
        expected.sort_unstable();
        assert_eq!(values, expected);
        for task in plain.keys() {
            tasks.remove(TaskId(*task));
        }
        assert!(tasks.pages.is_empty());
    }
}
