//! What a series of timings says, and what it does not: summaries, exact intervals, warnings.
//!
//! Pure functions over slices of finite numbers; each names its source. They never drop a sample, never
//! assume a normal distribution, and give no interval where the samples are too few for one.
//!
//! * \[LB10\] Le Boudec, *Performance Evaluation of Computer and Communication Systems*, EPFL Press 2010
//! * \[HB15\] Hoefler & Belli, *Scientific Benchmarking of Parallel Computing Systems*, SC'15
//! * \[CR65\] Chow & Robbins, *On the asymptotic theory of fixed-width sequential confidence intervals*, 1965
//! * \[HF96\] Hyndman & Fan, *Sample Quantiles in Statistical Packages*, The American Statistician 50, 1996

mod blocks;
mod compare;
mod dip;
mod flags;
mod random;
mod summary;

pub use blocks::{Across, across, slow};
pub use compare::{Chances, Found, compare, look_due, order};
pub use flags::{Series, flags};
pub use summary::{precise_enough, summary};

#[cfg(test)]
pub(crate) use random::Random;
#[cfg(test)]
mod reference_tests;
