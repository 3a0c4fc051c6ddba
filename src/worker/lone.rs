//! Do calls come one by one? Between many at once there are moments when none is under way, so it takes some in a row.

/// So many comings and ends in a row, each alone.
const OFTEN: u32 = 4;

/// How often in a row a call came or ended while no other was under way.
#[derive(Default)]
pub(super) struct Lone {
    row: u32,
}

impl Lone {
    /// So many calls have come and ended since it was last told, and so much is under way, commands too.
    pub(super) fn heed(&mut self, news: u32, under_way: usize) {
        self.row = if news == 1 && under_way <= 1 { self.row.saturating_add(1) } else { 0 };
    }

    /// Do they come one by one?
    pub(super) fn is_often(&self) -> bool {
        self.row >= OFTEN
    }

    /// Something else begins.
    pub(super) fn forget(&mut self) {
        self.row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_one_by_one_only_if_several_did() {
        let mut lone = Lone::default();
        let mut heeded = |news, under_way| {
            lone.heed(news, under_way);
            lone.is_often()
        };
        // One call after the other: it comes (one under way) and ends (none).
        let one_by_one: Vec<bool> = (0..6).map(|n| heeded(1, (n + 1) % 2)).collect();
        assert_eq!(one_by_one, [false, false, false, true, true, true]);
        assert!(!heeded(1, 2), "a second one beside it");
        assert!(!heeded(1, 1) && !heeded(1, 0), "the last ones of many");
        assert!((0..8).all(|_| !heeded(2, 0)), "one came and went unseen, or two ended");
        (0..4).for_each(|n| _ = heeded(1, n % 2));
        lone.forget();
        lone.heed(1, 0);
        assert!(!lone.is_often());
    }
}
