//! docs/api.md is made from the types file: `make api` writes it, this test says when it is stale.

use std::fmt::Write;
use std::fs;

use super::{META, pages, root};

/// What the types file says, in its order.
#[derive(Default)]
struct Reference<'a> {
    aliases: Vec<Alias<'a>>,
    classes: Vec<Class<'a>>,
}

struct Alias<'a> {
    name: &'a str,
    text: Vec<&'a str>,
    /// Of one written on several lines all of them.
    types: String,
}

#[derive(Default)]
struct Class<'a> {
    name: &'a str,
    parent: Option<&'a str>,
    text: Vec<&'a str>,
    fields: Vec<Field<'a>>,
    functions: Vec<Function<'a>>,
}

/// A field or a parameter.
struct Field<'a> {
    name: &'a str,
    of: &'a str,
    text: &'a str,
}

struct Function<'a> {
    /// `harness.spawn(options)`
    call: &'a str,
    text: Vec<&'a str>,
    parameters: Vec<Field<'a>>,
    returns: Vec<&'a str>,
}

fn parse(meta: &str) -> Reference<'_> {
    let mut reference = Reference::default();
    let (mut text, mut parameters, mut returns) = (Vec::new(), Vec::new(), Vec::new());
    for (number, line) in meta.lines().enumerate() {
        let class = reference.classes.last_mut();
        let odd = format!("lua/meta/harness.lua:{}: what is `{line}`?", number + 1);
        if let Some(rest) = line.strip_prefix("---@class ") {
            let (name, parent) = (class_name(rest), rest.split_once(" : ").map(|(_, parent)| parent));
            let text = std::mem::take(&mut text);
            reference.classes.push(Class { name, parent, text, ..Class::default() });
        } else if let Some(rest) = line.strip_prefix("---@field ") {
            class.expect(&odd).fields.push(field(rest));
        } else if let Some(rest) = line.strip_prefix("---@alias ") {
            let (name, types) = rest.split_once(' ').unwrap_or((rest, ""));
            let text = std::mem::take(&mut text);
            reference.aliases.push(Alias { name, text, types: types.to_owned() });
        } else if let Some(rest) = line.strip_prefix("---|") {
            let types = &mut reference.aliases.last_mut().expect(&odd).types;
            let joint = if types.is_empty() { "" } else { " | " };
            *types += &format!("{joint}{}", rest.trim());
        } else if let Some(rest) = line.strip_prefix("---@param ") {
            parameters.push(field(rest));
        } else if let Some(rest) = line.strip_prefix("---@return ") {
            returns.push(rest);
        } else if let Some(rest) = line.strip_prefix("function ") {
            let function = Function {
                call: rest.strip_suffix(" end").expect(&odd),
                text: std::mem::take(&mut text),
                parameters: std::mem::take(&mut parameters),
                returns: std::mem::take(&mut returns),
            };
            class.expect(&odd).functions.push(function);
        } else if let Some(rest) = line.strip_prefix("--- ") {
            text.push(rest);
        } else if line.starts_with("---@")
            && !["---@meta", "---@generic ", "---@overload "].iter().any(|known| line.starts_with(known))
        {
            panic!("{odd}");
        }
    }
    reference
}

/// `name? type what it is`
fn field(rest: &str) -> Field<'_> {
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let (of, text) = rest.split_at(end_of_type(rest));
    Field { name, of, text: text.trim() }
}

/// A type ends at a blank that is in no brackets and continues no list.
fn end_of_type(text: &str) -> usize {
    let (mut depth, mut before) = (0, ' ');
    for (at, c) in text.char_indices() {
        match c {
            '(' | '{' | '<' | '[' => depth += 1,
            ')' | '}' | '>' | ']' => depth -= 1,
            ' ' if depth == 0 && !matches!(before, ':' | '|' | ',') => return at,
            _ => {}
        }
        before = if c == ' ' { before } else { c };
    }
    text.len()
}

/// As code in a cell of a table.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// A type that is a class or a list of it, as what leads there.
fn link(of: &str) -> Option<String> {
    let class = of.trim_end_matches('?').trim_end_matches("[]");
    let mut classes = META.lines().filter_map(|line| line.strip_prefix("---@class "));
    classes.any(|rest| class_name(rest) == class).then(|| format!("[`{of}`](#{})", anchor(class)))
}

/// The name in `NAME : PARENT`.
fn class_name(rest: &str) -> &str {
    rest.split_once(" : ").map_or(rest, |(name, _)| name)
}

/// Where a class is. Its heading is more than its name: `harness.spawn(options)` and `harness.SpawnOptions` would be one place.
fn anchor(class: &str) -> String {
    place(&format!("class {class}"))
}

fn table(page: &mut String, head: &str, fields: &[Field<'_>]) {
    if fields.is_empty() {
        return;
    }
    let _ = writeln!(page, "\n| {head} | type | |\n|---|---|---|");
    for Field { name, of, text } in fields {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            code(name),
            link(of).unwrap_or_else(|| code(of)),
            text.replace('|', "\\|")
        );
    }
}

/// A call as its heading shows it. Methods are shown on an object: `future:wait(timeout)`.
fn shown(call: &str) -> String {
    match call.split_once(':') {
        Some((object, rest)) => format!("{}:{rest}", object.to_lowercase()),
        None => call.to_owned(),
    }
}

/// What a page of Markdown calls the place of this heading.
pub fn place(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Where everything is: functions by their names, then classes.
fn contents(page: &mut String, module: &[&Class<'_>], objects: &[&Class<'_>], tables: &[&Class<'_>]) {
    let calls = module.iter().flat_map(|class| &class.functions).map(|function| {
        let call = shown(function.call);
        format!("[`{}`](#{})", call.split('(').next().unwrap_or_default(), place(&call))
    });
    let name = |class: &&Class<'_>| format!("[{}](#{})", class.name, anchor(class.name));
    let rows = [
        ("functions", calls.collect::<Vec<_>>()),
        ("objects", objects.iter().map(name).collect()),
        ("tables: options, records and their parts", tables.iter().map(name).collect()),
        ("", vec!["[Types with a name](#types-with-a-name)".to_owned()]),
    ];
    *page += "\n| | |\n|---|---|\n";
    for (what, links) in rows {
        let _ = writeln!(page, "| {what} | {} |", links.join(" · "));
    }
}

/// The section of a page that has the table of a class: there it is explained, with examples.
fn explained(class: &str) -> Option<String> {
    let mark = format!("<!-- {class} -->");
    pages().iter().find_map(|(path, text)| {
        let before = text.split_once(&mark)?.0;
        let heading = before.lines().rev().find_map(|line| {
            line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with("##"))
        })?;
        Some(format!("[{heading}]({}#{})", path.file_name()?.to_string_lossy(), place(heading)))
    })
}

fn functions(page: &mut String, class: &Class<'_>) {
    for Function { call, text, parameters, returns } in &class.functions {
        let call = shown(call);
        let _ = writeln!(page, "\n### `{call}`\n\n{}", text.join(" "));
        if !returns.is_empty() {
            let returns: Vec<_> =
                returns.iter().map(|each| link(each).unwrap_or_else(|| format!("`{each}`"))).collect();
            let _ = writeln!(page, "\nGives {}.", returns.join(", "));
        }
        table(page, "argument", parameters);
    }
}

fn page() -> String {
    let reference = parse(META);
    let mut page = String::from(
        "# API reference\n\nMade from `lua/meta/harness.lua` by `make api`; a test compares that file with what is there. \
         The guide with examples is [campaigns.md](campaigns.md).\n\n`?` after a name or a type: may be left out, or nil. \
         The functions of `harness` that a script needs most are globals too: `spawn submit await go wait as_completed \
         map call exec compile measure compare`. Everything else is in `require \"harness\"`.\n",
    );
    let (module, classes): (Vec<&Class<'_>>, Vec<_>) =
        reference.classes.iter().partition(|class| class.name == "harness");
    let (objects, tables): (Vec<&Class<'_>>, Vec<_>) =
        classes.into_iter().partition(|class| !class.functions.is_empty());
    contents(&mut page, &module, &objects, &tables);
    for class in module {
        page += "\n## harness\n";
        functions(&mut page, class);
        table(&mut page, "field", &class.fields);
    }
    for class in objects.into_iter().chain(tables) {
        let _ = writeln!(page, "\n## class {}", class.name);
        if !class.text.is_empty() {
            let _ = writeln!(page, "\n{}", class.text.join(" "));
        }
        if let Some(parent) = class.parent {
            let _ = writeln!(page, "\nWith all of [{parent}](#{}).", anchor(parent));
        }
        if let Some(section) = explained(class.name) {
            let _ = writeln!(page, "\nIn the guide: {section}.");
        }
        table(&mut page, "field", &class.fields);
        functions(&mut page, class);
    }
    page += "\n## Types with a name\n\n| name | is | |\n|---|---|---|\n";
    for Alias { name, text, types } in &reference.aliases {
        let _ = writeln!(page, "| {} | {} | {} |", code(name), code(types), text.join(" "));
    }
    page
}

#[test]
fn the_reference_is_that_of_the_types_file() {
    let (path, made) = (root().join("docs/api.md"), page());
    if std::env::var_os("HARNESS_WRITE_PAGES").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == made, "docs/api.md is not what lua/meta/harness.lua says: run `make api`");
}

#[test]
fn a_type_ends_where_its_text_begins() {
    for (rest, of, text) in [
        ("n? integer|\"auto\" how many", "integer|\"auto\"", "how many"),
        ("f fun(a: b, c: d): boolean is it?", "fun(a: b, c: d): boolean", "is it?"),
        ("t table<string, any> the point", "table<string, any>", "the point"),
        ("v? { status: string, n: number? }", "{ status: string, n: number? }", ""),
    ] {
        let field = field(rest);
        assert_eq!((field.of, field.text), (of, text), "{rest}");
    }
}
