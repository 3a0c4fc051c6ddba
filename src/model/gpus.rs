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
    /// Those of a pool: of what its worker finds, and how many it was told to use. Those are the first ones; only where
    /// nothing was found, neither devices nor a list of them, they are believed to be there, under the names 0, 1, …
    /// A list alone may be left over from elsewhere: it counts where somebody says that there are GPUs.
    pub fn of_pool(found: Option<&Self>, told: Option<u32>) -> Self {
        let told = told.map(|count| MOST_GPUS.min(count as usize));
        match (found, told) {
            (None, told) => {
                let ids = (0..told.unwrap_or(0)).map(|number| number.to_string());
                Self { vendor: None, ids: ids.collect() }
            }
            (Some(Self { vendor: None, .. }), None) => Self::default(),
            (Some(found), told) => {
                let ids = found.ids.iter().take(told.unwrap_or(MOST_GPUS)).cloned();
                Self { vendor: found.vendor, ids: ids.collect() }
            }
        }
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
        let nvidia = of(Some(Vendor::Nvidia), &["GPU-a", "GPU-c"]);
        assert_eq!(shown(&nvidia), "CUDA_VISIBLE_DEVICES=GPU-a,GPU-c");
        let amd = of(Some(Vendor::Amd), &["2", "3"]);
        assert_eq!(
            shown(&amd),
            "CUDA_VISIBLE_DEVICES=0,1 ROCR_VISIBLE_DEVICES=2,3 HIP_VISIBLE_DEVICES=0,1 GPU_DEVICE_ORDINAL=0,1"
        );
        let unseen = of(None, &["2"]);
        assert_eq!(
            shown(&unseen),
            "CUDA_VISIBLE_DEVICES=2 ROCR_VISIBLE_DEVICES=2 HIP_VISIBLE_DEVICES=0 GPU_DEVICE_ORDINAL=0"
        );
    }

    #[test]
    fn a_number_that_was_told_takes_of_what_is_there_and_no_more() {
        let ids = |found: Option<&Gpus>, told| Gpus::of_pool(found, told).ids.join(" ");
        let seen = of(Some(Vendor::Nvidia), &["4", "7"]);
        assert_eq!(ids(Some(&seen), None), "4 7");
        assert_eq!(ids(Some(&seen), Some(1)), "4");
        assert_eq!(ids(Some(&seen), Some(3)), "4 7", "the job was given no others");
        let listed = of(None, &["2", "3"]);
        assert_eq!(ids(Some(&listed), None), "");
        assert_eq!(ids(Some(&listed), Some(1)), "2");
        assert_eq!(ids(Some(&of(None, &[])), Some(2)), "", "the list says that there is none");
        assert_eq!((ids(None, None), ids(None, Some(3))), (String::new(), "0 1 2".into()));
    }
}
