//! The unit and the digits of a figure: four of them, and as many decimals for what stands beside it. Pure text.

use super::MeasureResult;
use super::human::bytes;

/// The kernel counts a process's pages roughly: a largest resident set so little above its floor says no more than one
/// at it (B).
const ROUGHLY_BYTES: u64 = 1 << 20;

/// Its reciprocal is a figure, too.
const SMALLEST_POWER: i32 = -300;

/// One unit and one number of decimals, for figures that stand side by side.
#[derive(Clone, Debug)]
pub struct Unit {
    name: String,
    scale: f64,
    decimals: usize,
    /// A power of ten that is written behind the digits, and is in the scale.
    power: i32,
    /// What is no more than this may be anything below.
    floor: Option<f64>,
}

impl Unit {
    /// That of what a measurement optimises, in which `figure` reads well.
    pub fn of(result: &MeasureResult, figure: f64) -> Self {
        let printed = result.metrics.get(&result.objective).map(|metric| metric.unit.as_deref());
        Self::of_objective(&result.objective, printed, result.maxrss_floor_bytes, figure)
    }

    /// That of an objective by name; `printed`: the unit of one that the program prints; `floor`: the largest resident set
    /// of a null command.
    pub fn of_objective(
        objective: &str,
        printed: Option<Option<&str>>,
        floor: Option<u64>,
        figure: f64,
    ) -> Self {
        match printed {
            Some(unit) => Self::of_metric(unit, figure),
            None if objective.ends_with("_s") => Self::of_time(figure),
            None if objective == "maxrss_bytes" => Self::of_memory(figure, floor),
            None => Self::new("", 1.0, figure),
        }
    }

    /// That of a figure a program printed.
    pub fn of_metric(unit: Option<&str>, figure: f64) -> Self {
        match unit {
            Some("s") => Self::of_time(figure),
            other => Self::new(other.unwrap_or_default(), 1.0, figure),
        }
    }

    /// Of seconds: s, ms, µs or ns.
    pub fn of_time(seconds: f64) -> Self {
        let magnitude = rounded(seconds).abs();
        match magnitude {
            0.0 => Self { decimals: 0, ..Self::new("s", 1.0, seconds) },
            x if x >= 1.0 || x.is_nan() => Self::new("s", 1.0, seconds),
            x if x >= 1e-3 => Self::new("ms", 1e3, seconds),
            x if x >= 1e-6 => Self::new("µs", 1e6, seconds),
            _ => Self::new("ns", 1e9, seconds),
        }
    }

    /// Of a largest resident set; what is no more than that of a null command may be anything below.
    pub fn of_memory(bytes: f64, floor: Option<u64>) -> Self {
        Self { floor: floor.map(at_most), ..Self::of_bytes(bytes) }
    }

    fn of_bytes(figure: f64) -> Self {
        let size = bytes(figure.max(0.0) as u64);
        let name = size.rsplit(' ').next().unwrap_or("B");
        let power = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter().position(|unit| *unit == name);
        Self::new(name, 1024f64.powi(-(power.unwrap_or(0) as i32)), figure)
    }

    /// Four digits for `figure`, of which a leading 0 is one, and as many decimals for its neighbours; very large and
    /// very small ones with a power of ten.
    fn new(name: &str, scale: f64, figure: f64) -> Self {
        let magnitude = rounded(figure * scale).abs();
        let exponent =
            if magnitude > 0.0 && magnitude.is_finite() { magnitude.log10().floor() as i32 } else { 0 };
        let power = if (-3..9).contains(&exponent) { 0 } else { exponent.max(SMALLEST_POWER) };
        let before_point = exponent - power + if exponent < power { 2 } else { 1 };
        let scale = scale * 10f64.powi(-power);
        Self { name: name.into(), scale, decimals: (4 - before_point).max(0) as usize, power, floor: None }
    }

    /// Its name; empty if there is none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A figure in it.
    pub fn digits(&self, value: f64) -> String {
        let at_most = if self.floor.is_some_and(|floor| value <= floor) { "≤ " } else { "" };
        let power = if self.power == 0 { String::new() } else { format!("e{}", self.power) };
        format!("{at_most}{:.*}{power}", self.decimals, value * self.scale)
    }

    /// The same with its name.
    pub fn with_name(&self, value: f64) -> String {
        let digits = self.digits(value);
        if self.name.is_empty() { digits } else { format!("{digits} {}", self.name) }
    }
}

/// What a largest resident set no higher than this is: at most it, with this floor.
pub fn at_most(floor: u64) -> f64 {
    (floor + ROUGHLY_BYTES) as f64
}

/// The unit that the name of a figure of ours says.
pub fn si_unit(name: &str) -> Option<&'static str> {
    let units = [("_s", "s"), ("_bytes", "B"), ("_j", "J")];
    units.iter().find(|(end, _)| name.ends_with(end)).map(|(_, unit)| *unit)
}

/// To four digits, so that 0.99999 s is 1 s and not 1000 ms.
fn rounded(figure: f64) -> f64 {
    format!("{figure:.3e}").parse().unwrap_or(figure)
}
