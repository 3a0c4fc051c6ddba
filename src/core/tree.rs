//! Which worker of a pool is the least loaded: a tournament over fixed places.
//!
//! Eight places make a group, eight groups one of the next round, and a group is one line of the processor's cache: with
//! 100 000 workers a change walks through six of them. The best is found at the root. It knows nothing of workers but
//! their keys: greater is better, 0 is closed.

/// How attractive a place is, and how many free units are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    /// Greater is better, below 2^48; 0: takes nothing.
    pub key: u64,
    /// Free units; the search leaves out places with fewer than it needs.
    pub idle: u16,
}

impl Offer {
    /// The best of both, and the most units, not necessarily of one place.
    pub fn join(self, other: Self) -> Self {
        Packed::of(self).join(Packed::of(other)).offer()
    }
}

/// An offer in one word: the key, and below it the units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Packed(u64);

impl Packed {
    fn of(Offer { key, idle }: Offer) -> Self {
        debug_assert!(key < 1 << 48, "{key:#x}");
        Self((key << 16) | u64::from(idle))
    }

    fn offer(self) -> Offer {
        Offer { key: self.key(), idle: self.idle() }
    }

    fn key(self) -> u64 {
        self.0 >> 16
    }

    fn idle(self) -> u16 {
        self.0 as u16
    }

    fn join(self, other: Self) -> Self {
        let idle = self.idle().max(other.idle());
        Self((self.0.max(other.0) & !0xffff) | u64::from(idle))
    }
}

/// Places or groups in a group.
const WAYS: usize = 8;

/// What plays against each other.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Group([Packed; WAYS]);

impl Group {
    fn joined(&self) -> Packed {
        self.0.iter().copied().fold(Packed::default(), Packed::join)
    }
}

/// The tournament. Group 0 is the last round; behind group `g` in the round before it are those from `8 g + 1` on.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    groups: Vec<Group>,
    /// Where the first round begins, which is that of the places.
    places: usize,
    top: Packed,
}

impl Tree {
    /// The best of the place's offers changes; the tree grows to hold it.
    pub fn set(&mut self, place: usize, offer: Offer) {
        if place >= self.width() {
            self.grow(place + 1);
        }
        let (mut at, mut slot, mut new) = (self.places + place / WAYS, place % WAYS, Packed::of(offer));
        loop {
            let group = &mut self.groups[at];
            let old = std::mem::replace(&mut group.0[slot], new);
            if old == new {
                return;
            }
            // What rises is compared with what was the best so far; else somebody else may be it now.
            let joined = if old.join(new) == new { None } else { Some(group.joined()) };
            let Some(behind) = at.checked_sub(1) else {
                self.top = joined.unwrap_or_else(|| self.top.join(new));
                return;
            };
            (at, slot) = (behind / WAYS, behind % WAYS);
            new = joined.unwrap_or_else(|| self.groups[at].0[slot].join(new));
        }
    }

    /// Nobody is at this place any more.
    pub fn close(&mut self, place: usize) {
        if place < self.width() {
            self.set(place, Offer::default());
        }
    }

    /// What the place offers.
    pub fn get(&self, place: usize) -> Offer {
        let group = self.groups.get(self.places + place / WAYS);
        group.map_or(Offer::default(), |group| group.0[place % WAYS].offer())
    }

    /// The greatest key and the greatest number of idle units, not necessarily of one place.
    pub fn top(&self) -> Offer {
        self.top.offer()
    }

    /// The best open place with at least `idle` free units that `fits`, and its key; the first one of equals.
    pub fn best(&self, idle: u16, mut fits: impl FnMut(usize) -> bool) -> Option<(u64, usize)> {
        let mut found = None;
        if !self.groups.is_empty() {
            self.search(0, idle, &mut fits, &mut found);
        }
        found
    }

    /// The open places from `from` on that have free units, in the order of their numbers.
    pub fn idle(&self, from: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.next_idle(from), |place| self.next_idle(place + 1))
    }

    fn next_idle(&self, from: usize) -> Option<usize> {
        let (mut at, mut slot) = (self.places + from / WAYS, from % WAYS);
        if from >= self.width() {
            return None;
        }
        loop {
            let idle = (slot..WAYS).find(|slot| self.groups[at].0[*slot].idle() > 0);
            (at, slot) = match (idle, at.checked_sub(self.places)) {
                (Some(slot), Some(group)) => return Some(WAYS * group + slot),
                (Some(slot), None) => (WAYS * at + slot + 1, 0),
                (None, _) => {
                    let behind = at.checked_sub(1)?;
                    (behind / WAYS, behind % WAYS + 1)
                }
            };
        }
    }

    fn search(
        &self,
        at: usize,
        idle: u16,
        fits: &mut impl FnMut(usize) -> bool,
        found: &mut Option<(u64, usize)>,
    ) {
        let mut left = self.groups[at].0;
        loop {
            // The best of those that were not looked at and may have the units, the first one of equals.
            let (mut slot, mut key) = (0, 0);
            for (other, packed) in left.iter().enumerate() {
                if packed.key() > key && packed.idle() >= idle {
                    (slot, key) = (other, packed.key());
                }
            }
            if key <= found.map_or(0, |(best, _)| best) {
                return;
            }
            left[slot] = Packed::default();
            match at.checked_sub(self.places) {
                Some(group) => {
                    let place = WAYS * group + slot;
                    if fits(place) {
                        *found = Some((key, place));
                    }
                }
                None => self.search(WAYS * at + slot + 1, idle, fits, found),
            }
            if found.is_some_and(|(best, _)| best == key) {
                return; // the others have no more
            }
        }
    }

    /// So many places there are.
    fn width(&self) -> usize {
        WAYS * (self.groups.len() - self.places)
    }

    fn grow(&mut self, places: usize) {
        let mut old = std::mem::take(self);
        while self.width() < places {
            self.places = WAYS * self.places + usize::from(!self.groups.is_empty());
            self.groups.resize(WAYS * self.places + 1, Group::default());
        }
        for (new, group) in self.groups[self.places..].iter_mut().zip(old.groups.drain(old.places..)) {
            *new = group;
        }
        for at in (1..self.groups.len()).rev() {
            self.groups[(at - 1) / WAYS].0[(at - 1) % WAYS] = self.groups[at].joined();
        }
        self.top = self.groups[0].joined();
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
        for step in 0..4000usize {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let place = (x % (1 + step as u64 / 5)) as usize; // in the end four rounds
            plain.resize(plain.len().max(place + 1), Offer::default());
            let key = (x >> 20) % 50;
            plain[place] = Offer { key, idle: (x >> 40) as u16 % 5 * u16::from(key > 0) }; // closed places have none
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
            let from = (x >> 30) as usize % (plain.len() + 9);
            let all = plain.iter().enumerate().filter(|(_, o)| o.idle > 0);
            assert!(all.map(|(place, _)| place).filter(|place| *place >= from).eq(tree.idle(from)));
            assert_eq!(tree.top().key, plain.iter().map(|o| o.key).max().unwrap_or(0));
        }
    }
}
