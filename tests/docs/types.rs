//! Objects as a script meets them have the fields that the types file gives them.

use std::collections::{BTreeMap, BTreeSet};

use super::{META, campaign_folder, run};

/// Prints `CLASS FIELD…`, a line for each object.
const SCRIPT: &str = r#"
local harness = require "harness"
local function show(class, object)
  local names = { class }
  for name in pairs(object) do if type(name) == "string" then names[#names + 1] = name end end
  print(table.concat(names, " "))
end
local function ran(task) return await(submit(task)) end
local function raised(task)
  local ok, problem = pcall(await, submit(task))
  assert(not ok)
  return problem
end
local pool = spawn { slots = 1 }
show("harness.Worker", pool.workers[1])
show("harness.Here", ran(function()
  local fields = {}
  for name, value in pairs(require("harness").worker) do fields[name] = type(value) end
  return fields
end))
show("harness.Error", raised(function() error { code = 1 } end))
local bad = submit(exec { cmd = { "false" } })
show("harness.Error", raised(call { print, bad }))
show("harness.Error", select(2, pcall(map, function() error "of an item" end, { 1 })))
local killed = "kill -9 $$"
show("harness.ExecRecord", ran(exec { cmd = { "true" }, name = "n", params = { p = 1 } }))
show("harness.ExecRecord", ran(exec { shell = killed }))
show("harness.ExecRecord", ran(exec { cmd = { "true" }, smt = false }))
show("harness.ExecRecord", ran(exec { cmd = { "true" }, launcher = "env R={ranks}" }))
show("harness.Measurement", ran(measure { cmd = { "true" }, runs = 1, launcher = "env R={ranks}" }))
local no_build = submit(compile { cmd = { "sh", "-c", killed }, output = "none" })
show("harness.CompileRecord", await(no_build))
show("harness.CompileRecord", ran(compile { sources = { "kernels/triad.c" }, name = "n", params = { p = 1 } }))
show("harness.ExecRecord", ran(exec { cmd = { no_build } }))
show("harness.CompileRecord", ran(compile { cmd = { "cc", no_build }, output = "none" }))
local m = ran(measure { cmd = { "echo", "1" }, runs = 8, name = "n", params = { p = 1 },
  metrics = { x = { "(%d)", unit = "m" } }, counters = { "task-clock" } })
show("harness.Measurement", m)
show("harness.Metric", m.metrics.x)
local around = ran(measure { cmd = { "true" }, runs = 1, setup = "true", prepare = "true", conclude = "true", cleanup = "false" })
show("harness.Measurement", around)
show("harness.HookTimes", around.hooks)
show("harness.Summary", m.stats)
show("harness.Interval", m.stats.ci)
show("harness.Measurement", ran(measure { shell = killed }))
show("harness.Measurement", ran(measure { cmd = { "false" } }))
show("harness.Measurement", ran(measure { cmd = { no_build } }))
local function twin(flags)
  return submit(measure { cmd = { submit(compile { sources = { "kernels/triad.c" }, flags = flags }), 10, 1 }, runs = 1 })
end
await(twin {})
show("harness.Measurement", await(twin { "-DUNUSED" }))
pool:close()
show("harness.Pool", pool)
"#;

/// Fields of a class and of those it inherits from, and whether they may be absent.
fn fields(class: &str) -> BTreeMap<String, bool> {
    let mut fields = BTreeMap::new();
    let mut inside = false;
    for line in META.lines() {
        if let Some(rest) = line.strip_prefix("---@class ") {
            let (name, parent) = rest.split_once(" : ").unwrap_or((rest, ""));
            inside = name == class;
            if inside && !parent.is_empty() {
                fields.extend(self::fields(parent));
            }
        } else if let Some(rest) = line.strip_prefix("---@field ").filter(|_| inside) {
            let name = rest.split(' ').next().unwrap();
            fields.insert(name.trim_end_matches('?').to_owned(), name.ends_with('?'));
        }
    }
    assert!(!fields.is_empty(), "the types file has no {class}");
    fields
}

#[test]
fn objects_have_the_fields_that_are_documented() {
    let folder = campaign_folder();
    let output = run(folder.path(), SCRIPT);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let mut problems = BTreeSet::new();
    let mut seen = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let (class, there) = line.split_once(' ').unwrap();
        let there: BTreeSet<String> = there.split(' ').map(str::to_owned).collect();
        for (field, optional) in fields(class) {
            if !optional && !there.contains(&field) {
                problems.insert(format!("{class}.{field}: documented as always there, and is not"));
            }
        }
        seen.entry(class.to_owned()).or_default().extend(there);
    }
    for (class, there) in &seen {
        let documented = fields(class).into_keys().collect();
        let only_there =
            there.difference(&documented).map(|field| format!("{class}.{field}: not documented"));
        problems.extend(only_there);
        let only_documented = documented.difference(there);
        problems.extend(only_documented.map(|field| format!("{class}.{field}: documented, and never there")));
    }
    assert_eq!(seen.len(), 11);
    let problems: Vec<String> = problems.into_iter().collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
