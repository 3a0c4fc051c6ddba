//! GPUs of a node, and how a program is told which of them are its own.
//!
//! They are named as the vendor's variable wants them: by number or by UUID. Knows neither nodes nor tasks.

use serde::{Deserialize, Serialize};

/// So many of a node are used at the most.
pub const MOST_GPUS: usize = 64;

/// What programs and libraries look for their GPUs in.
pub const GPU_VARIABLES: [&str; 4] =
    ["CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL"];

/// Whose they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vendor {
    /// CUDA's.
    Nvidia,
    /// ROCm's.
    Amd,
}

/// Some GPUs of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpus {
    /// None if nobody has seen them.
    pub vendor: Option<Vendor>,
    /// Their names.
    pub ids: Vec<String>,
}

impl Gpus {
    /// The first `count` of them; what is not there is believed to be, under the names 0, 1, …
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(MOST_GPUS);
        let numbered = || (0..count).map(|number| number.to_string()).collect();
        let ids = self.ids.get(..count).map_or_else(numbered, <[String]>::to_vec);
        Self { vendor: self.vendor, ids }
    }

    /// Those at these places.
    pub fn at(&self, places: impl Iterator<Item = u16>) -> Self {
        let ids = places.filter_map(|place| self.ids.get(usize::from(place)).cloned());
        Self { vendor: self.vendor, ids: ids.collect() }
    }

    /// The variables with which a program sees these and no others.
    ///
    /// What ROCm's driver shows is counted anew, from 0, by the libraries above it, which choose among that again: given
    /// the same numbers once more they would find nothing.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let names = self.ids.join(",");
        let counted: Vec<String> = (0..self.ids.len()).map(|number| number.to_string()).collect();
        let counted = counted.join(",");
        let [cuda, rocr, hip, ordinal] = GPU_VARIABLES;
        match self.vendor {
            Some(Vendor::Nvidia) => vec![(cuda, names)],
            // Frameworks that know CUDA's name only read it there too.
            Some(Vendor::Amd) => {
                vec![(cuda, counted.clone()), (rocr, names), (hip, counted.clone()), (ordinal, counted)]
            }
            None => vec![(cuda, names.clone()), (rocr, names), (hip, counted.clone()), (ordinal, counted)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vendor: Option<Vendor>, ids: &[&str]) -> Gpus {
        Gpus { vendor, ids: ids.iter().map(|id| id.to_string()).collect() }
    }

    fn shown(gpus: &Gpus) -> String {
        let lines: Vec<String> =
            gpus.variables().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        lines.join(" ")
    }

    #[test]
    fn each_vendor_has_its_variables() {
        let nvidia = of(Some(Vendor::Nvidia), &["GPU-a", "GPU-b", "GPU-c"]).at([0, 2].into_iter());
        assert_eq!(shown(&nvidia), "CUDA_VISIBLE_DEVICES=GPU-a,GPU-c");
        let amd = of(Some(Vendor::Amd), &["2", "3"]);
        assert_eq!(
            shown(&amd),
            "CUDA_VISIBLE_DEVICES=0,1 ROCR_VISIBLE_DEVICES=2,3 HIP_VISIBLE_DEVICES=0,1 GPU_DEVICE_ORDINAL=0,1"
        );
        let unseen = of(None, &[]).first(3).at([2].into_iter());
        assert_eq!(
            shown(&unseen),
            "CUDA_VISIBLE_DEVICES=2 ROCR_VISIBLE_DEVICES=2 HIP_VISIBLE_DEVICES=0 GPU_DEVICE_ORDINAL=0"
        );
    }

    #[test]
    fn a_number_that_was_told_takes_names_that_are_known() {
        let seen = of(Some(Vendor::Nvidia), &["4", "7"]);
        assert_eq!(seen.first(1).ids, ["4"]);
        assert_eq!(seen.first(3).ids, ["0", "1", "2"]);
        assert_eq!(seen.first(1000).ids.len(), MOST_GPUS);
    }
}
