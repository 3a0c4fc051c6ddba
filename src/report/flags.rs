//! What flags mean, as the guide says it: the table in docs/campaigns.md is the one place.

use serde::Serialize;

const GUIDE: &str = include_str!("../../docs/campaigns.md");
const TABLE: &str = "| flag | it means | do |\n|---|---|---|\n";

/// A row of the table, in plain text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flag {
    /// As it begins in a record.
    pub name: String,
    /// What it means.
    pub means: String,
    /// What to do.
    #[serde(rename = "do")]
    pub advice: String,
}

/// Every flag that is explained.
pub fn explained() -> Vec<Flag> {
    let table = GUIDE.split_once(TABLE).map_or("", |(_, table)| table);
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.flat_map(|row| flags_of(row).unwrap_or_default()).collect()
}

/// What is said of the flag of a record: `outliers_mild:3` has a number, which is `N` in its row.
pub fn of(flag: &str) -> Option<Flag> {
    let bare = flag.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = &flag[bare.len()..];
    let known = explained()
        .into_iter()
        .find(|known| [flag, bare.trim_end_matches(':')].contains(&known.name.as_str()))?;
    let means =
        if number.is_empty() { known.means } else { known.means.replacen("N ", &format!("{number} "), 1) };
    Some(Flag { means, ..known })
}

/// A row is about all the flags in backquotes in its first cell.
fn flags_of(row: &str) -> Option<Vec<Flag>> {
    let mut cells = row.trim_matches('|').split(" | ").map(str::trim);
    let (names, means, advice) = (cells.next()?, plain(cells.next()?), plain(cells.next()?));
    let names: Vec<&str> = names.split('`').skip(1).step_by(2).filter(|name| *name != "wall_s").collect();
    // `noisy_env:psi_cpu` `…:psi_mem`
    let family = names.first()?.split(':').next()?.to_string();
    let full = |name: &&str| name.trim_end_matches(":N").replace('…', &family);
    let flag = |name: String| Flag { name, means: means.clone(), advice: advice.clone() };
    Some(names.iter().map(full).map(flag).collect())
}

/// Without the marks of Markdown: `[side by side](#side-by-side)` is `side by side`.
fn plain(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        words.push_str(before);
        let Some((shown, after)) = link.split_once("](") else { break };
        words.push_str(shown);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    (words + rest).replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_explains_every_flag() {
        let flags = explained();
        let names: Vec<&str> = flags.iter().map(|flag| flag.name.as_str()).collect();
        for name in [
            "drift",
            "autocorrelated",
            "bimodal",
            "outliers_mild",
            "outliers_severe",
            "unstable",
            "zero",
            "near_floor",
            "off_cpu",
            "shares_root",
            "side_by_side",
            "suspended",
            "cleanup_failed",
            "throttled",
            "noisy_env:governor",
            "noisy_env:steal",
            "noisy_env:psi_cpu",
            "noisy_env:psi_mem",
            "noisy_env:psi_io",
        ] {
            assert!(names.contains(&name), "{name} is not in {names:?}");
        }
        assert!(flags.iter().all(|flag| !flag.means.is_empty() && !flag.advice.is_empty()), "{flags:?}");
        let found = |name: &str| flags.iter().find(|flag| flag.name == name).unwrap();
        assert_eq!(found("shares_root").advice, "root_node; more nodes");
        assert_eq!(found("unstable").means, "largest over smallest > 1.5");
        let name = |flag: &str| of(flag).map(|flag| flag.name);
        assert_eq!(name("outliers_mild:13").as_deref(), Some("outliers_mild"));
        let means = of("outliers_mild:13").map(|flag| flag.means);
        assert_eq!(means.as_deref(), Some("13 samples beyond 1.5 or 3 interquartile ranges (Tukey)"));
        assert_eq!(name("noisy_env:psi_io").as_deref(), Some("noisy_env:psi_io"));
        assert_eq!(name("drift").as_deref(), Some("drift"));
        assert_eq!(name("unheard_of"), None);
    }
}
