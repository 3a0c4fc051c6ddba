//! `report.html`: journals as one page that needs nothing else, neither a network nor a server.
//!
//! Rust says what there is ([`data`]), as JSON in the page; `js/` draws it, with the chart library in `echarts/` (renewed by
//! `tools/echarts`). Everything in a journal may be written by a stranger: in the page it is data within a script element
//! that no browser runs, with no `<` in it; the scripts make text of it, never markup; and the page's own policy lets no
//! script run but those with its nonce, and nothing be fetched. Knows neither files nor who looks at the page.

mod comparisons;
mod data;
mod failures;
mod figures;
mod rows;

use super::Campaign;
use crate::model::Hash;

pub use data::Data;

/// How every page begins: what has this was written by `harness report`, and may be replaced by it.
pub const MARKER: &str = r#"<meta name="generator" content="harness report">"#;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("report.css");
/// In the order they are loaded.
const SCRIPTS: [&str; 12] = [
    include_str!("echarts/echarts.min.js"),
    include_str!("js/base.js"),
    include_str!("js/campaign.js"),
    include_str!("js/charts.js"),
    include_str!("js/runs.js"),
    include_str!("js/parameters.js"),
    include_str!("js/search.js"),
    include_str!("js/tasks.js"),
    include_str!("js/table.js"),
    include_str!("js/summary.js"),
    include_str!("js/sections.js"),
    include_str!("js/report.js"),
];

/// What a page is about.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The campaigns.
    pub campaigns: &'a [Campaign],
    /// Somebody writes to one of the journals.
    pub running: bool,
    /// Now, s since 1970.
    pub written_unix_s: f64,
    /// The page asks its server for what is newer than this state; none if it has no server.
    pub state: Option<&'a str>,
}

impl Told<'_> {
    /// As the page's scripts read it.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Data::of(self))
    }

    /// The whole page.
    pub fn page(&self) -> serde_json::Result<String> {
        let json = self.json()?;
        let title = match self.campaigns {
            [campaign] => data::script_name(campaign),
            campaigns => format!("{} campaigns", campaigns.len()),
        };
        // Whoever writes into a journal cannot know the hash of all that will be in the page. A page is the same each
        // time it is made of the same.
        let nonce = Hash::of(json.as_bytes()).to_string();
        let scripts = SCRIPTS.map(|script| format!("<script nonce=\"{nonce}\">\n{script}\n</script>"));
        let connect = if self.state.is_some() { "'self'" } else { "'none'" };
        Ok(filled(
            TEMPLATE,
            &[
                ("nonce", &nonce),
                ("connect", connect),
                ("title", &text_in_html(&format!("{title} – harness report"))),
                ("css", STYLE),
                ("data", &json_in_html(&json)),
                ("scripts", &scripts.join("\n")),
            ],
        ))
    }
}

/// The template with its places filled. What is put in is not looked at again.
fn filled(template: &str, places: &[(&str, &str)]) -> String {
    let mut page =
        String::with_capacity(template.len() + places.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        page.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        page.extend(places.iter().find(|(place, _)| *place == name).map(|(_, text)| *text));
        rest = after;
    }
    page + rest
}

/// JSON that ends no script element and begins no comment: `<` stands only within strings, where an escape says the same.
fn json_in_html(json: &str) -> String {
    json.replace('<', "\\u003c")
}

fn text_in_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests;
