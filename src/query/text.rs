//! Rows as text: for people (table, Markdown, LaTeX) and for programs (CSV, TSV, JSON, JSON Lines).
//!
//! Programs get numbers as they are and nothing (or `null`) where nothing is available; people get six digits. What
//! would be read as markup is escaped. Knows no table.

use std::fmt::Write;

use serde_json::value::RawValue;

use super::cell::{Cell, Rows, Type};
use crate::model::human::{padded, visible};
use crate::model::markdown;

/// A column of LaTeX in which a text is longer than this (characters) has lines: flags would be wider than the page.
const LATEX_CHARS: usize = 30;
const LATEX_LONG: &str = r">{\raggedright\arraybackslash}p{0.3\linewidth}";

/// A form of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Columns that stand below each other.
    Table,
    /// RFC 4180, with a line of names.
    Csv,
    /// Columns with tabs between them; `\t`, `\n`, `\r` and `\\` in a text are escaped.
    Tsv,
    /// One list of objects.
    Json,
    /// An object to a line.
    Jsonl,
    /// A table of GitHub's Markdown.
    Markdown,
    /// A `tabular` with the rules of booktabs.
    Latex,
}

impl TextFormat {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Table, Self::Csv, Self::Json, Self::Jsonl, Self::Markdown, Self::Latex, Self::Tsv];

    /// What it is called.
    pub fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Json => "json",
            Self::Jsonl => "jsonl",
            Self::Markdown => "markdown",
            Self::Latex => "latex",
        }
    }

    /// The rows in this form.
    pub fn write(self, rows: &Rows) -> String {
        match self {
            Self::Table => table(rows),
            Self::Csv => separated(rows, ",", csv_field),
            Self::Tsv => separated(rows, "\t", tsv_field),
            Self::Json => json(rows),
            Self::Jsonl => objects(rows).into_iter().map(|object| object + "\n").collect(),
            Self::Markdown => markdown(rows),
            Self::Latex => latex(rows),
        }
    }
}

fn separated(rows: &Rows, between: &str, field: fn(&str) -> String) -> String {
    let head: Vec<String> = rows.heads.iter().map(|head| field(&head.name)).collect();
    let mut text = head.join(between) + "\n";
    for row in &rows.rows {
        for (at, cell) in row.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { between });
            text.push_str(&field(&cell.text()));
        }
        text.push('\n');
    }
    text
}

fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}

fn tsv_field(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

fn json(rows: &Rows) -> String {
    let objects = objects(rows);
    if objects.is_empty() { "[]\n".into() } else { format!("[\n{}\n]\n", objects.join(",\n")) }
}

fn objects(rows: &Rows) -> Vec<String> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let names: Vec<String> = rows.heads.iter().map(|head| quoted(&head.name)).collect();
    let value = |cell: &Cell, kind: Option<Type>| match cell {
        Cell::Null => "null".into(),
        Cell::Integer(number) => number.to_string(),
        Cell::Real(number) => serde_json::Value::from(*number).to_string(),
        Cell::Text(text) if kind == Some(Type::Json) && serde_json::from_str::<&RawValue>(text).is_ok() => {
            text.clone()
        }
        Cell::Json(text) => text.clone(),
        Cell::Text(text) => quoted(text),
    };
    let object = |row: &Vec<Cell>| {
        let fields = row.iter().zip(&rows.heads).zip(&names);
        let fields: Vec<String> =
            fields.map(|((cell, head), name)| format!("{name}:{}", value(cell, head.kind))).collect();
        format!("{{{}}}", fields.join(","))
    };
    rows.rows.iter().map(object).collect()
}

/// For people: on one line, with six digits.
fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Real(number) => short_text(*number),
        other => visible(&other.text()),
    }
}

/// Six digits, and never less than the whole part.
fn short_text(number: f64) -> String {
    let rounded: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    let whole = number.abs() >= 1e5 && number.abs() < 1e15;
    super::cell::number_text(if whole { format!("{number:.0}").parse().unwrap_or(number) } else { rounded })
}

fn numeric(rows: &Rows) -> Vec<bool> {
    (0..rows.heads.len()).map(|at| matches!(rows.kind(at), Type::Integer | Type::Real)).collect()
}

/// Names, then rows, each a list of texts.
fn lines(
    rows: &Rows,
    cell: impl Fn(&Cell, bool) -> String,
    head: impl Fn(&str) -> String,
) -> Vec<Vec<String>> {
    let numeric = numeric(rows);
    let names = rows.heads.iter().map(|it| head(&it.name)).collect();
    let line = |row: &Vec<Cell>| row.iter().zip(&numeric).map(|(it, number)| cell(it, *number)).collect();
    std::iter::once(names).chain(rows.rows.iter().map(line)).collect()
}

fn table(rows: &Rows) -> String {
    let lines = lines(rows, |cell, _| shown(cell), visible);
    let numeric = numeric(rows);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..numeric.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut one = String::new();
        for ((cell, width), number) in line.iter().zip(&widths).zip(&numeric) {
            let _ = write!(one, "{}  ", padded(cell, *width, *number));
        }
        text.push_str(one.trim_end());
        text.push('\n');
    }
    text
}

fn markdown(rows: &Rows) -> String {
    let cell = |text: &str| markdown::cell(text);
    let mut lines = lines(rows, |it, _| cell(&shown(it)), |name| cell(&visible(name)));
    let rule = numeric(rows).into_iter().map(|number| if number { "--:" } else { "---" }.into()).collect();
    lines.insert(1, rule);
    lines.iter().map(|cells| markdown::line(cells)).collect()
}

fn latex(rows: &Rows) -> String {
    let cell = |cell: &Cell, number: bool| match number {
        // A hyphen is no minus.
        true => latex_text(&shown(cell)).replace("-{}", "$-$"),
        false => latex_text(&shown(cell)),
    };
    let lines = lines(rows, cell, |name| latex_text(&visible(name)));
    let is_long = |at: usize| rows.rows.iter().any(|row| shown(&row[at]).chars().count() > LATEX_CHARS);
    let column = |(at, number)| match number {
        true => "r",
        false if is_long(at) => LATEX_LONG,
        false => "l",
    };
    let columns: String = numeric(rows).into_iter().enumerate().map(column).collect();
    let packages = if columns.contains(LATEX_LONG) { "array,booktabs" } else { "booktabs" };
    let mut text = format!("% \\usepackage{{{packages}}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n");
    for (at, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "{} \\\\", line.join(" & "));
        if at == 0 {
            text.push_str("\\midrule\n");
        }
    }
    text + "\\bottomrule\n\\end{tabular}\n"
}

fn latex_text(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\textbackslash{}"),
            '~' => escaped.push_str("\\textasciitilde{}"),
            '^' => escaped.push_str("\\textasciicircum{}"),
            '<' => escaped.push_str("\\textless{}"),
            '>' => escaped.push_str("\\textgreater{}"),
            '|' => escaped.push_str("\\textbar{}"),
            '"' => escaped.push_str("\\char34{}"),
            '\'' => escaped.push_str("\\char39{}"),
            '`' => escaped.push_str("\\char96{}"),
            // Two of them would be a dash.
            '-' => escaped.push_str("-{}"),
            // A row that begins with one would be an argument of the line above.
            '[' => escaped.push_str("{[}"),
            'µ' => escaped.push_str("$\\mu$"),
            '≤' => escaped.push_str("$\\leq$"),
            '×' => escaped.push_str("$\\times$"),
            '±' => escaped.push_str("$\\pm$"),
            '°' => escaped.push_str("$^\\circ$"),
            '…' => escaped.push_str("\\ldots{}"),
            '{' | '}' | '$' | '&' | '#' | '%' | '_' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::cell::Head;
    use super::*;

    fn rows() -> Rows {
        let head = |name: &str, kind| Head { name: name.into(), kind };
        let text = |text: &str| Cell::Text(text.into());
        Rows {
            heads: vec![
                head("name", Some(Type::Text)),
                head("ci_lo", None),
                head("params", Some(Type::Json)),
            ],
            rows: vec![
                vec![text("a, \"b\"\t\\|_50%"), Cell::Real(-0.012_345_678), text("{\"tile\":32}")],
                vec![text("--flag"), Cell::Null, Cell::Null],
                vec![Cell::Null, Cell::Real(1_732_661_234.25), Cell::Null],
            ],
        }
    }

    #[test]
    fn programs_get_everything_and_nothing_more() {
        let text = TextFormat::Csv.write(&rows());
        assert_eq!(
            text,
            "name,ci_lo,params\n\"a, \"\"b\"\"\t\\|_50%\",-0.012345678,\"{\"\"tile\"\":32}\"\n--flag,,\n,1732661234.25,\n"
        );
        let text = TextFormat::Tsv.write(&rows());
        assert_eq!(text.lines().nth(1), Some("a, \"b\"\\t\\\\|_50%\t-0.012345678\t{\"tile\":32}"));
        let parsed: serde_json::Value = serde_json::from_str(&TextFormat::Json.write(&rows())).unwrap();
        assert_eq!(parsed[0]["params"]["tile"], 32);
        assert_eq!((&parsed[1]["name"], &parsed[1]["ci_lo"]), (&"--flag".into(), &serde_json::Value::Null));
        assert_eq!(TextFormat::Jsonl.write(&rows()).lines().count(), 3);
        assert_eq!(TextFormat::Json.write(&Rows { rows: vec![], ..rows() }), "[]\n");
    }

    #[test]
    fn people_get_columns_and_no_markup_by_accident() {
        assert_eq!(
            TextFormat::Table.write(&rows()),
            "\
name                ci_lo  params
a, \"b\" \\|_50%  -0.0123457  {\"tile\":32}
--flag
               1732661234
"
        );
        assert_eq!(
            TextFormat::Markdown.write(&rows()),
            "\
| name | ci\\_lo | params |
| --- | --: | --- |
| a, \"b\" \\\\\\|\\_50% | -0.0123457 | {\"tile\":32} |
| --flag |  |  |
|  | 1732661234 |  |
"
        );
        assert_eq!(
            TextFormat::Latex.write(&rows()),
            "\
% \\usepackage{booktabs}
\\begin{tabular}{lrl}
\\toprule
name & ci\\_lo & params \\\\
\\midrule
a, \\char34{}b\\char34{} \\textbackslash{}\\textbar{}\\_50\\% & $-$0.0123457 & \\{\\char34{}tile\\char34{}:32\\} \\\\
-{}-{}flag &  &  \\\\
 & 1732661234 &  \\\\
\\bottomrule
\\end{tabular}
"
        );
    }
}
