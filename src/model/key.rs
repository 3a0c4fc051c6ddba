//! The recipe key: what was asked, as a hash. It answers "is it there already" at submit.

use serde::{Deserialize, Serialize};

use super::{Hash, Kind};

/// All that makes two requests the same request (architecture, Durability).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Kind of task.
    pub kind: Kind,
    /// `name` of the task.
    pub name: Option<String>,
    /// `params` of the task, keys sorted.
    pub params: Option<serde_json::Value>,
    /// `key` of the task.
    pub key: Option<String>,
    /// The specification as JSON, dependencies replaced by their recipe keys, files by their content.
    pub spec: serde_json::Value,
    /// Which of several identical submissions, from 0.
    pub ordinal: u32,
}

/// The hash of a recipe. serde_json sorts the keys of objects, so equal recipes give equal text.
pub fn recipe_key(recipe: &Recipe) -> Hash {
    let text = serde_json::to_vec(recipe).unwrap_or_default();
    Hash::of(&text)
}
