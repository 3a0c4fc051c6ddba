//! What a series of timings says, and what it does not: summaries, exact intervals, warnings.
//!
//! Pure functions over slices of finite numbers; each names its source. They never drop a sample, never
//! assume a normal distribution, and give no interval where the samples are too few for one.
//!
//! * \[LB10\] Le Boudec, *Performance Evaluation of Computer and Communication Systems*, EPFL Press 2010
//! * \[HB15\] Hoefler & Belli, *Scientific Benchmarking of Parallel Computing Systems*, SC'15
//! * \[CR65\] Chow & Robbins, *On the asymptotic theory of fixed-width sequential confidence intervals*, 1965
//! * \[HF96\] Hyndman & Fan, *Sample Quantiles in Statistical Packages*, The American Statistician 50, 1996

mod flags;
mod summary;

pub use flags::{Series, flags};
pub use summary::{LEVEL, RANK_LEVEL, median_interval, precise_enough, quantile, ranks, summary};

/// Series the tests draw from; seeded, so that a test that passes once passes always.
#[cfg(test)]
mod draw {
    /// SplitMix64 (Steele, Lea & Flood, OOPSLA'14).
    pub struct Random(pub u64);

    impl Random {
        fn bits(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
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
}
