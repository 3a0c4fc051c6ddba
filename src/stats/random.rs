//! Numbers from a seed, the same on every machine: the orders of comparisons, and everything that tests draw, so that a
//! failing case can be had again.

/// SplitMix64 (Steele, Lea & Flood, OOPSLA'14).
pub struct Random(pub u64);

impl Random {
    /// 64 of them.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.bits() % limit
    }

    /// The numbers below `of` in any order (Fisher & Yates).
    pub fn permutation(&mut self, of: usize) -> Vec<usize> {
        let mut items: Vec<usize> = (0..of).collect();
        for last in (1..of).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
        items
    }
}

/// What only tests draw; those in `tests/` include this file.
#[cfg(test)]
#[allow(dead_code, reason = "no target draws all of it")]
impl Random {
    /// One of so many.
    pub fn index(&mut self, of: usize) -> usize {
        self.below(of as u64) as usize
    }

    /// True `n` times in 1000.
    pub fn permille(&mut self, n: u64) -> bool {
        self.below(1000) < n
    }

    /// In (0, 1).
    pub fn uniform(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Standard normal (Box & Muller 1958).
    pub fn gauss(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
