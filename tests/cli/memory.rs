//! What `maxrss_bytes` says: the program's memory, and not that of whoever started it.

use serde_json::Value;

use crate::support::{Folder, no_compiler, skip};

/// The kernel counts pages roughly, and two runs are not the same.
const ROUGHLY: u64 = 1 << 20;
/// What a program is shown with that needs less. A build for debugging has code that is several times as large, and
/// grows with every line of ours: it must only stay well below what the program here touches.
const FLOOR: u64 = if cfg!(debug_assertions) { 40 << 20 } else { 8 << 20 };

const CAMPAIGN: &str = r#"
local harness = require "harness"
local pool <close> = spawn { workers = 1, slots = 1 }
local function look(name, options)
  options.name, options.runs, options.objective = name, 3, "maxrss_bytes"
  local m = await(submit(measure(options)))
  assert(m.ok, tostring(m))
  print(m)
  return m
end
look("small", { cmd = { "/bin/true" } })
local size = await(submit(function()
  harness.worker.state.kept = { ("x"):rep(1 << 20):rep(1 << 10), ("y"):rep(1 << 20):rep(1 << 10) }
  return harness.fs.read("/proc/self/status"):match "VmRSS:%s+(%d+)" * 1024
end))
assert(size > 2 << 30, size)
look("beside 2 GiB", { cmd = { "/bin/true" } })
look("prints", { shell = "head -c 40000000 /dev/zero; echo; echo t=1", metrics = { t = "t=(%d)" } })
look("after its output", { cmd = { "/bin/true" } })
local program = submit(compile { sources = { "touch.c" } })
look("touches", { cmd = { program } })
local timed = await(submit(exec { cmd = { "/usr/bin/time", "-v", program } }))
print(timed.stderr:match "Maximum resident set size %(kbytes%): (%d+)")
"#;

const PROGRAM: &str = "#include <stdlib.h>\n#include <string.h>\nint main(void) {\n  volatile char *b = malloc(64 << 20);\n  \
                       memset((char *)b, 1, 64 << 20);\n  return b[12345] - 1;\n}\n";

#[test]
fn memory_is_the_programs_own() {
    if no_compiler() {
        return;
    }
    if !std::path::Path::new("/usr/bin/time").exists() {
        return skip("no /usr/bin/time (apt install time)");
    }
    let folder = Folder::with(CAMPAIGN);
    folder.write("touch.c", PROGRAM);
    let ran = folder.run(&["-q", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let journal = folder.journal("c.lua.journal");
    let of = |name: &str| {
        let found = journal.iter().find(|record| record["name"] == name).unwrap();
        let figures = found["maxrss_bytes"].as_array().unwrap().iter().filter_map(Value::as_u64);
        (figures.max().unwrap(), found["maxrss_floor_bytes"].as_u64().unwrap())
    };
    let (_, at_first) = of("small");
    for name in ["small", "beside 2 GiB", "after its output"] {
        let (largest, floor) = of(name);
        assert!(floor <= FLOOR && largest <= floor + ROUGHLY, "{name}: {largest} B, floor {floor} B");
        assert!(floor <= at_first + ROUGHLY, "{name}: floor {floor} B, and {at_first} B at first");
        let line = ran.stdout.lines().find(|line| line.starts_with(&format!("{name}: "))).unwrap();
        assert!(line.starts_with(&format!("{name}: median ≤ ")), "{line}");
    }
    let (largest, floor) = of("touches");
    let line = ran.stdout.lines().find(|line| line.starts_with("touches: median 6")).unwrap();
    assert!(!line.contains('≤') && floor <= FLOOR, "{line}");
    let timed = ran.stdout.lines().last().unwrap().parse::<u64>().unwrap() * 1024;
    assert!(largest.abs_diff(timed) <= ROUGHLY, "{largest} B here, {timed} B by /usr/bin/time");
}
