//! What `compare{ blocks = … }` asks of the statistics: several nodes together, and which of them are slow.
//!
//! Lists of figures become what `stats` takes, its answers tables. Knows no futures and no records.

use mlua::{Lua, Table};

use super::raw::Fields;
use crate::model::Better;
use crate::stats::{self, Chances, Found};

/// The base's figures and the variant's by node, `"less"` or `"more"`, programs, rounds at the most, least effect.
type Given = (Vec<Vec<f64>>, Vec<Vec<f64>>, String, usize, usize, f64);

/// Puts both into `host`.
pub fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let across = |lua: &Lua, (bases, variants, better, sides, max_rounds, min_effect): Given| {
        let nodes: Vec<_> = bases.iter().zip(&variants).map(|(base, own)| (&base[..], &own[..])).collect();
        let chances = Chances::of(sides, max_rounds);
        let across = stats::across(&nodes, better_of(&better), chances, min_effect);
        let mut t = Fields::default();
        t.set("differs_by_node", across.differs);
        if let Found::Ratio(found) = across.found {
            super::results::set_comparison(&mut t, &found);
        }
        t.table(lua)
    };
    host.raw_set("across", lua.create_function(across)?)?;
    let slow = |_: &Lua, (bases, better): (Vec<[f64; 3]>, String)| {
        Ok(stats::slow(&bases, better_of(&better)).into_iter().map(|at| at + 1).collect::<Vec<_>>())
    };
    host.raw_set("slow", lua.create_function(slow)?)
}

fn better_of(word: &str) -> Better {
    if word == "more" { Better::More } else { Better::Less }
}
