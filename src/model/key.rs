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

/// Fingerprints of the parts of a recipe: where two recipes of one name differ, they say in what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RecipeParts {
    /// Program, arguments, folder, standard input and output; of a call the function and its arguments.
    pub command: u32,
    /// `env`.
    pub env: u32,
    /// Content of sources and inputs.
    pub inputs: u32,
    /// Content of the program, where it is named by path.
    pub program: u32,
    /// What it depends on.
    pub depends: u32,
    /// How it is measured.
    pub protocol: u32,
    /// What is verified.
    pub verify: u32,
    /// Cores and nodes.
    pub place: u32,
}

impl RecipeParts {
    /// What differs, for people.
    pub fn differences(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let pairs = [
            ("command", self.command, other.command),
            ("env", self.env, other.env),
            ("source or input files", self.inputs, other.inputs),
            ("the program file", self.program, other.program),
            ("what it depends on", self.depends, other.depends),
            ("how it is measured", self.protocol, other.protocol),
            ("verify", self.verify, other.verify),
            ("cores or nodes", self.place, other.place),
        ];
        pairs.into_iter().filter(|(_, ours, theirs)| ours != theirs).map(|(name, ..)| name)
    }
}

/// One number for all tasks of this kind, name and params: what a script changes about them leaves it as it is. It is
/// kept in the index of a journal, so it is the same in every run.
pub fn namesakes(kind: Kind, name: &str, params: Option<&serde_json::Value>) -> u64 {
    let params = params.map(ToString::to_string).unwrap_or_default();
    Hash::of(format!("{}\0{name}\0{params}", kind.word()).as_bytes()).first_half()
}

/// The same for what may have no name, which is known by its command then; none if nothing is known of that either. Tasks of
/// one such number are versions of one thing.
pub fn versions(
    kind: Kind,
    name: Option<&str>,
    params: Option<&serde_json::Value>,
    parts: Option<&RecipeParts>,
) -> Option<u64> {
    match (name, parts) {
        (Some(name), _) => Some(namesakes(kind, name, params)),
        (None, Some(RecipeParts { command, .. })) => {
            let params = params.map(ToString::to_string).unwrap_or_default();
            Some(Hash::of(format!("{}\0{command}\0\0{params}", kind.word()).as_bytes()).first_half())
        }
        (None, None) => None,
    }
}

/// The hash of a recipe. serde_json sorts the keys of objects, so equal recipes give equal text.
pub fn recipe_key(recipe: &Recipe) -> Hash {
    let text = serde_json::to_vec(recipe).unwrap_or_default();
    Hash::of(&text)
}
