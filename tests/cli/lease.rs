//! While something is measured on a node, nothing else of ours runs there, travels there or says that it lives: seen in
//! what everything that runs writes into one file as it begins and ends, and by what is measured itself, which looks
//! whether worker and keeper of its node slept all the time.

use std::collections::BTreeMap;

use crate::support::{Folder, Ran, skip};

/// Two nodes with a store each: what is built on one travels to the other.
const WORKERS: &str = r#"
mkdir first 2>/dev/null && export HARNESS_CACHE="$PWD/here" && exec "$HARNESS" "$@"
export HARNESS_CACHE="$PWD/there"
exec unshare --uts sh -c 'hostname elsewhere && exec "$0" "$@"' "$HARNESS" "$@""#;

/// What is measured: writes that it begins and ends, and whether its keeper (its parent) or its worker was awake
/// meanwhile. With `shared` it goes on until they were.
const PROGRAM: &str = r#"#!/bin/sh
sleeps() {
  while read -r name count; do
    case $name in voluntary_ctxt_switches:) echo "$count" ;; esac
  done <"/proc/$1/status"
}
read -r _ _ _ worker _ <"/proc/$PPID/stat"
host=$(hostname)
echo "begin measure $host" >>"$1"
before="$(sleeps $PPID) $(sleeps $worker)"
if [ "$2" = shared ]; then
  i=0
  while [ "$before" = "$(sleeps $PPID) $(sleeps $worker)" ] && [ $i -lt 2000 ]; do
    sleep 0.01
    i=$((i + 1))
  done
else
  sleep 0.15
fi
after="$(sleeps $PPID) $(sleeps $worker)"
echo "end measure $host" >>"$1"
if [ "$before" = "$after" ]; then echo woken 0; else echo woken 1; fi
"#;

const CAMPAIGN: &str = r#"
local harness = require "harness"
local log, program = arg[1], assert(harness.fs.read "program")
local pool <close> = spawn { workers = 2, slots = 3, placement = "warn" }
local hosts = {}
for i, worker in ipairs(pool.workers) do hosts[i] = worker.host end

-- 4 MiB, so that it is under way for a while.
local BUILD = [[echo "begin compile $(hostname)" >>"$1"
printf "%s#%s\n" "$2" "$3" >program; head -c 4194304 /dev/zero >>program; chmod +x program
sleep 0.03; echo "end compile $(hostname)" >>"$1"]]
local function build(i, host)
  return submit(compile { cmd = { "sh", "-c", BUILD, "sh", log, program, i }, output = "program", inputs = { "program" }, host = host })
end
local function noted(kind)
  local host = harness.worker.host
  local function note(what)
    local file <close> = assert(io.open(log, "a"))
    file:write(what, " ", kind, " ", host, "\n")
  end
  note "begin"
  local until_s = harness.now() + 0.03
  repeat until harness.now() > until_s
  note "end"
end
local RUN = [[echo "begin exec $(hostname)" >>"$1"; sleep 0.03; echo "end exec $(hostname)" >>"$1"]]

local function measured(i, host, how, exclusive)
  return await(submit(measure {
    params = { i = i, how = how },
    cmd = { build(i, hosts[i % 2 + 1]), log, how },
    host = host,
    exclusive = exclusive,
    runs = 2,
    metrics = { woken = "woken (%d)" },
  }))
end

local flows = {}
for f = 1, 4 do
  flows[f] = go(function()
    for n = 1, 2 do
      local i = f * 10 + n
      local others = { submit(call { noted, "call" }), submit(exec { cmd = { "sh", "-c", RUN, "sh", log } }) }
      local m = measured(i, hosts[f % 2 + 1], "alone")
      assert(m.ok, tostring(m))
      print("alone", ("%d %d"):format(table.unpack(m.metrics.woken.value)))
      wait(others)
    end
  end)
end
wait(flows)
for _, flow in ipairs(flows) do await(flow) end
local m = measured(100, hosts[1], "shared", false)
print("shared", m.ok and ("%d %d"):format(table.unpack(m.metrics.woken.value)) or m.reason)
"#;

/// What ran beside a measurement on its node, by what all wrote as they began and ended.
fn beside_a_measurement(log: &str) -> Vec<String> {
    let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut found = Vec::new();
    for line in log.lines() {
        let [what, kind, host] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let here = open.entry(host).or_default();
        if what == "end" {
            let at = here.iter().position(|open| *open == kind).unwrap_or_else(|| panic!("{line} in {log}"));
            here.remove(at);
            continue;
        }
        if !here.is_empty() && (kind == "measure" || here.contains(&"measure")) {
            found.push(format!("{kind} began beside {} on {host}", here.join(", ")));
        }
        here.push(kind);
    }
    assert!(open.values().all(Vec::is_empty), "{open:?}");
    found
}

fn campaign() -> Option<(Folder, Ran)> {
    let folder = Folder::with(CAMPAIGN);
    folder.write("program", PROGRAM);
    let log = folder.path("log").display().to_string();
    let mut command = folder.harness_with_worker(WORKERS, &["-q", "c.lua", &log]);
    // Ten of them would be in each run.
    command.env("HARNESS_LIMITS", "heartbeat=0.015");
    let ran = folder.finish(command);
    if ran.stderr.contains("unshare: ") {
        skip("another host name needs root and unshare");
        return None;
    }
    Some((folder, ran))
}

#[test]
fn a_measurement_has_its_node_to_itself() {
    let Some((folder, ran)) = campaign() else { return };
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let expected = format!("{}shared\t1 1\n", "alone\t0 0\n".repeat(8));
    assert_eq!(ran.stdout, expected, "woken meanwhile: {ran:#?}");
    let log = folder.read("log");
    assert_eq!(beside_a_measurement(&log), [""; 0], "{log}");
    // All of it was mixed: 8 of each kind, and each measurement with a warm-up run.
    for (kind, runs) in [("measure", 3 * 9), ("compile", 9), ("call", 8), ("exec", 8)] {
        assert_eq!(log.matches(&format!("begin {kind} ")).count(), runs, "{kind} in {log}");
    }
    let first = log.find("begin measure").unwrap();
    let between = &log[first..log.rfind("begin measure").unwrap()];
    for kind in ["compile", "call", "exec"] {
        assert!(between.contains(&format!("begin {kind} ")), "{log}");
    }
}

#[test]
fn what_runs_beside_a_measurement_is_seen() {
    let log = "begin compile a\nbegin measure b\nend compile a\nbegin measure a\nbegin call a\nend call a\nend measure \
               a\nbegin exec b\nend exec b\nend measure b\nbegin exec a\nbegin measure a\nend exec a\nend measure a\n";
    let expected = [
        "call began beside measure on a",
        "exec began beside measure on b",
        "measure began beside exec on a",
    ];
    assert_eq!(beside_a_measurement(log), expected);
}
