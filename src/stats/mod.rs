//! What a series of timings says, and what it does not: summaries, exact intervals, warnings.
//!
//! Pure functions over slices of finite numbers; each names its source. They never drop a sample, never
//! assume a normal distribution, and give no interval where the samples are too few for one.
//!
//! * \[LB10\] Le Boudec, *Performance Evaluation of Computer and Communication Systems*, EPFL Press 2010
//! * \[HB15\] Hoefler & Belli, *Scientific Benchmarking of Parallel Computing Systems*, SC'15
//! * \[CR65\] Chow & Robbins, *On the asymptotic theory of fixed-width sequential confidence intervals*, 1965
//! * \[MW47\] Mann & Whitney, *On a test of whether one of two random variables is stochastically larger than the other*,
//!   Annals of Mathematical Statistics 18, 1947; \[L75\] Lehmann, *Nonparametrics*, Holden-Day 1975
//! * \[BM00\] Brunner & Munzel, *The nonparametric Behrens–Fisher problem*, Biometrical Journal 42, 2000
//! * \[KW52\] Kruskal & Wallis, *Use of ranks in one-criterion variance analysis*, J. American Statistical Association 47, 1952
//! * \[HL63\] Hodges & Lehmann, *Estimates of location based on rank tests*, Annals of Mathematical Statistics 34, 1963
//! * \[BH95\] Benjamini & Hochberg, *Controlling the false discovery rate*, J. Royal Statistical Society B 57, 1995;
//!   \[BY01\] Benjamini & Yekutieli, *The control of the false discovery rate in multiple testing under dependency*,
//!   Annals of Statistics 29, 2001; \[RB07\] Reiner-Benaim, *FDR control by the BH procedure for two-sided correlated tests
//!   with implications to gene expression data analysis*, Biometrical Journal 49, 2007
//! * \[B82\] Berger, *Multiparameter hypothesis testing and acceptance sampling*, Technometrics 24, 1982
//! * \[KJ13\] Kalibera & Jones, *Rigorous Benchmarking in Reasonable Time*, ISMM'13
//! * \[F08\] Friedrich, Kempe, Liebscher & Winkler, *Complexity penalized M-estimation*, J. Computational and Graphical
//!   Statistics 17, 2008; \[ASV\] airspeed velocity, `asv/step_detect.py`
//! * \[AS64\] Abramowitz & Stegun, *Handbook of Mathematical Functions*, 1964
//! * \[FD81\] Freedman & Diaconis, *On the histogram as a density estimator: L₂ theory*, ZWG 57, 1981

mod bins;
mod blocks;
mod compare;
mod dip;
mod discoveries;
mod flags;
mod random;
mod ranksum;
mod sessions;
mod steps;
mod summary;

pub use bins::{Bin, bins};
pub use blocks::{Across, across, slow};
pub use compare::{Chances, Found, compare, look_due, order};
pub use discoveries::adjusted;
pub use flags::{Series, flags};
pub use sessions::{Change, FEWEST_RUNS, FEWEST_SESSIONS, change};
pub use steps::{LONGEST, steps};
pub use summary::{precise_enough, summary};

#[cfg(test)]
pub(crate) use random::Random;
#[cfg(test)]
mod reference_tests;
