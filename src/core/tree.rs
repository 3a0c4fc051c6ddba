//! Which worker of a pool is the least loaded: a tournament over fixed places.
//!
//! A change costs one walk to the root (14 steps for 10 000 workers), the best is found at the root. It knows
//! nothing of workers but their keys: greater is better, 0 is closed.

/// How attractive a place is, and how many free units are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// Greater is better; 0: takes nothing.
    pub key: u64,
    /// Free units; the search leaves out places with fewer than it needs.
    pub idle: u16,
}

impl Offer {
    /// The best of both, and the most units, not necessarily of one place.
    pub fn join(self, other: Self) -> Self {
        Self { key: self.key.max(other.key), idle: self.idle.max(other.idle) }
    }
}

/// The tournament. Node 1 is the root, places are the last `width` nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Offer>,
    width: usize,
}

impl Tree {
    /// The best of the place's offers changes; the tree grows to hold it.
    pub fn set(&mut self, place: usize, offer: Offer) {
        if place >= self.width {
            self.grow(place + 1);
        }
        let mut at = self.width + place;
        if self.nodes[at] == offer {
            return;
        }
        self.nodes[at] = offer;
        while at > 1 {
            at /= 2;
            let joined = self.nodes[2 * at].join(self.nodes[2 * at + 1]);
            if self.nodes[at] == joined {
                return;
            }
            self.nodes[at] = joined;
        }
    }

    /// Nobody is at this place any more.
    pub fn close(&mut self, place: usize) {
        if place < self.width {
            self.set(place, Offer::default());
        }
    }

    /// What the place offers.
    pub fn get(&self, place: usize) -> Offer {
        if place < self.width { self.nodes[self.width + place] } else { Offer::default() }
    }

    /// The greatest key and the greatest number of idle units, not necessarily of one place.
    pub fn top(&self) -> Offer {
        self.nodes.get(1).copied().unwrap_or_default()
    }

    /// The best open place with at least `idle` free units that `fits`, and its key; the first one of equals.
    pub fn best(&self, idle: u16, mut fits: impl FnMut(usize) -> bool) -> Option<(u64, usize)> {
        let mut found = None;
        if self.width > 0 {
            self.search(1, idle, &mut fits, &mut found);
        }
        found
    }

    /// All open places with at least `idle` free units, in the order of their numbers.
    pub fn each(&self, idle: u16, mut see: impl FnMut(usize)) {
        let mut ahead = vec![1];
        while let Some(at) = ahead.pop() {
            match self.nodes.get(at) {
                Some(offer) if offer.key > 0 && offer.idle >= idle => {}
                _ => continue,
            }
            if at >= self.width {
                see(at - self.width);
            } else {
                ahead.extend([2 * at + 1, 2 * at]);
            }
        }
    }

    fn search(
        &self,
        at: usize,
        idle: u16,
        fits: &mut impl FnMut(usize) -> bool,
        found: &mut Option<(u64, usize)>,
    ) {
        let offer = self.nodes[at];
        let beaten = found.is_some_and(|(key, _)| offer.key <= key);
        if offer.key == 0 || offer.idle < idle || beaten {
            return;
        }
        if at >= self.width {
            if fits(at - self.width) {
                *found = Some((offer.key, at - self.width));
            }
            return;
        }
        let (left, right) = (2 * at, 2 * at + 1);
        let left_first = self.nodes[left].key >= self.nodes[right].key;
        let order = if left_first { [left, right] } else { [right, left] };
        order.into_iter().for_each(|child| self.search(child, idle, fits, found));
    }

    fn grow(&mut self, places: usize) {
        let width = places.next_power_of_two();
        let mut nodes = vec![Offer::default(); 2 * width];
        nodes[width..width + self.width].copy_from_slice(&self.nodes[self.width.min(self.nodes.len())..]);
        for at in (1..width).rev() {
            nodes[at] = nodes[2 * at].join(nodes[2 * at + 1]);
        }
        (self.nodes, self.width) = (nodes, width);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_scan_finds() {
        let mut tree = Tree::default();
        let mut plain: Vec<Offer> = Vec::new();
        let mut x = 88172645463325252u64;
        for step in 0..2000usize {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let place = (x % (1 + step as u64 / 20)) as usize;
            plain.resize(plain.len().max(place + 1), Offer::default());
            plain[place] = Offer { key: (x >> 20) % 50, idle: (x >> 40) as u16 % 5 };
            tree.set(place, plain[place]);
            let need = (x >> 50) as u16 % 5;
            let odd = |place: usize| place % 2 == 1;
            let expect = plain
                .iter()
                .enumerate()
                .filter(|(i, o)| o.key > 0 && o.idle >= need && odd(*i))
                .map(|(_, o)| o.key)
                .max();
            let got = tree.best(need, odd);
            assert!(got.is_none_or(|(key, place)| plain[place].key == key && odd(place)));
            assert_eq!(got.map(|(key, _)| key), expect);
            let mut each = Vec::new();
            tree.each(need, |place| each.push(place));
            let all = plain.iter().enumerate().filter(|(_, o)| o.key > 0 && o.idle >= need);
            assert!(all.map(|(place, _)| place).eq(each));
            assert_eq!(tree.top().key, plain.iter().map(|o| o.key).max().unwrap_or(0));
        }
    }
}
