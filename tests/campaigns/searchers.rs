//! Searches that a program decides, over several runs of their script: they go on where they were killed, with a
//! program that has heard everything again, and with the real Optuna.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Ended, run, support};

/// Far longer than a killed process takes to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(60);

/// Draws at random, and looks near the best: it decides by its seed and what it is told. Each that is started writes its number
/// and what it hears into files of its own. `SEED` and `HELLO` are put in.
const TUNER: &str = r#"
import json, os, random, sys
heard = open("heard.%d" % os.getpid(), "w")
for line in sys.stdin:
    heard.write(line)
    heard.flush()
    said = json.loads(line)
    if said["do"] == "hello":
        draw, values, best = random.Random(SEED), said["space"][0]["values"], None
        answer = HELLO
    elif said["do"] == "ask":
        near = [x for x in values if best and abs(x - best[1]) < 20]
        answer = {"params": {"x": draw.choice(near or values)}}
    elif said["do"] == "tell":
        answer = {}
        if said["state"] == "ok" and (not best or said["values"][0] < best[0]):
            best = (said["values"][0], said["params"]["x"])
    else:
        break
    print(json.dumps(answer), flush=True)
"#;

/// Where `kill` lies it ends itself with SIGKILL in its seventh trial.
const SEARCH: &str = r#"
local harness = require "harness"
local search = harness.search
local result = search.run {
  space = { x = harness.sweep.range(1, 1000) },
  strategy = search.external { cmd = { "python3", "tuner.py" } },
  budget = 14,
  in_flight = arg[1] and tonumber(arg[1]) or 1,
  confirm = false,
  evaluate = function(p, trial)
    if trial.id == 7 and os.remove "kill" then os.execute "kill -9 $PPID" end
    return measure { name = "f", params = p, shell = ("echo f: $(( (%d - 700) * (%d - 700) ))"):format(p.x, p.x),
      metrics = { f = "f: (%d+)" }, objective = "f", runs = 1, warmup = 0, exclusive = false }
  end,
}
for _, trial in ipairs(result.trials) do print(trial.id, trial.point.x, trial.value) end
"#;

fn campaign(seed: &str, hello: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("tuner.py"), TUNER.replace("SEED", seed).replace("HELLO", hello)).unwrap();
    fs::write(home.path().join("search.lua"), SEARCH).unwrap();
    home
}

fn searched(home: &Path, in_flight: &str) -> Ended {
    run(home, "search.lua", &[in_flight], home)
}

fn killed_in_the_seventh_trial(home: &Path, in_flight: &str) {
    fs::write(home.join("kill"), "").unwrap();
    assert_eq!(searched(home, in_flight).code, None, "it was to be killed");
    for program in programs(home) {
        let until = Instant::now() + GONE_WITHIN;
        while Path::new("/proc").join(&program).exists() {
            assert!(Instant::now() < until, "tuner {program} was left behind");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Measurements that were done, in all runs.
fn measured(home: &Path) -> usize {
    let journal = fs::read_to_string(home.join("journal")).unwrap();
    journal.matches("\"type\":\"measurement\"").count()
}

/// All there is comes from the journal.
fn asks_nobody_again(home: &Path, in_flight: &str, before: &Ended) {
    let again = searched(home, in_flight);
    assert_eq!(again.stdout, before.stdout, "{}", again.stderr);
    assert_eq!(measured(home), 14);
    assert_eq!(programs(home).len(), 2);
}

/// The numbers of the programs that were started.
fn programs(home: &Path) -> Vec<String> {
    let names = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| Some(name.strip_prefix("heard.")?.to_owned())).collect()
}

const SEED: &str = "said['seed']";
const PLAIN: &str = "{'protocol': 1}";

#[test]
fn a_killed_search_goes_on_with_a_program_that_hears_everything_again() {
    let (whole, home) = (campaign(SEED, PLAIN), campaign(SEED, PLAIN));
    let expected = searched(whole.path(), "1");
    assert_eq!(expected.code, Some(0), "{}", expected.stderr);
    killed_in_the_seventh_trial(home.path(), "1");
    assert_eq!(programs(home.path()).len(), 1);
    let second = searched(home.path(), "1");
    assert_eq!(second.stdout, expected.stdout, "{}", second.stderr);
    assert_eq!(measured(home.path()), 14, "six of them before");
    assert_eq!(programs(home.path()).len(), 2);
    asks_nobody_again(home.path(), "1", &expected);
}

/// What ends at once or is known already is told in the same order too, however long a question took.
#[test]
fn what_was_not_waited_for_comes_in_the_same_order_again() {
    let home = campaign(SEED, PLAIN);
    let search = r#"
local harness = require "harness"
local search = harness.search
local result = search.run {
  space = { x = harness.sweep.range(1, 12) },
  strategy = search.external { cmd = { "python3", "tuner.py" } },
  budget = 9,
  in_flight = 3,
  confirm = false,
  evaluate = function(p)
    if p.x % 3 == 0 then return nil, "failed" end
    if p.x % 3 == 1 then return (p.x - 7) ^ 2 end
    return measure { name = "f", params = p, shell = "echo f: " .. p.x, metrics = { f = "f: (%d+)" }, objective = "f",
      runs = 1, warmup = 0, exclusive = false }
  end,
}
for _, trial in ipairs(result.trials) do print(trial.id, trial.point.x, trial.status, trial.value) end
"#;
    fs::write(home.path().join("search.lua"), search).unwrap();
    let first = searched(home.path(), "3");
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    for _ in 0..3 {
        let again = searched(home.path(), "3");
        assert_eq!(again.stdout, first.stdout, "{}", again.stderr);
    }
    assert_eq!(programs(home.path()).len(), 1, "all there is comes from the journal");
}

/// Which of several trials ends first nobody knows before: the journal does afterwards.
#[test]
fn so_does_one_with_several_trials_under_way() {
    let home = campaign(SEED, PLAIN);
    killed_in_the_seventh_trial(home.path(), "3");
    let second = searched(home.path(), "3");
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    asks_nobody_again(home.path(), "3", &second);
}

#[test]
fn a_program_that_decides_otherwise_has_to_say_so() {
    let home = campaign("os.getpid()", PLAIN);
    killed_in_the_seventh_trial(home.path(), "1");
    let second = searched(home.path(), "1");
    assert_eq!(second.code, Some(1), "{}", second.stdout);
    let expected =
        ["search.lua:4: search.external: `python3 tuner.py`: line 2, ", "in the run that the journal has"];
    for text in expected {
        assert!(second.stderr.contains(text), "no `{text}` in\n{}", second.stderr);
    }
    let home = campaign("os.getpid()", "{'protocol': 1, 'deterministic': False}");
    killed_in_the_seventh_trial(home.path(), "1");
    let first = programs(home.path());
    let second = searched(home.path(), "1");
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let started = programs(home.path()).into_iter().find(|program| !first.contains(program)).unwrap();
    let heard = fs::read_to_string(home.path().join(format!("heard.{started}"))).unwrap();
    let words: Vec<&str> =
        heard.lines().filter_map(|line| line.split("\"do\":\"").nth(1)?.split('"').next()).collect();
    assert_eq!(words[..6], ["hello", "tell", "tell", "tell", "tell", "tell"], "{heard}");
}

/// In a Python that has none, for which a module stands that cannot be had.
#[test]
fn without_optuna_it_says_what_to_do() {
    const SCRIPT: &str = r#"
        local search = require("harness").search
        search.new({ space = { x = { 1, 2 } }, strategy = "optuna" }):ask()"#;
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("search.lua"), SCRIPT).unwrap();
    fs::write(home.path().join("optuna.py"), "raise ImportError(\"No module named 'optuna'\")").unwrap();
    let ended = run(home.path(), "search.lua", &[], home.path());
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let expected =
        "No module named 'optuna': install it there, or name another Python: search.optuna { python = ";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

/// The real one, by each kind of sampler; killed and gone on with, too.
#[test]
fn optuna() {
    const SCRIPT: &str = r#"
        local harness = require "harness"
        local search, sweep = harness.search, harness.sweep
        local python = arg[1]
        local space = { tile = sweep.pow2(4, 512), unroll = { 1, 2, 4, 8 }, flags = { "-O1", "-O2", "-O3" } }
        local function cost(p)
          return 1000 + math.tointeger((math.log(p.tile, 2) - 6) ^ 2 // 1 | 0) * 100 + p.unroll * 10 + (p.flags == "-O3" and 0 or 50)
        end
        local function evaluate(p, trial)
          if trial.id == 12 and os.remove "kill" then os.execute "kill -9 $PPID" end
          if p.unroll == 8 then return nil, "failed" end
          return measure { name = "f", params = p, shell = "echo f: " .. cost(p), metrics = { f = "f: (%d+)" }, objective = "f",
            runs = 1, warmup = 0, exclusive = false }
        end
        for _, sampler in ipairs { "tpe", "cmaes", "random" } do
          local result = search.run { name = sampler, space = space, budget = 30, in_flight = 2, confirm = false, evaluate = evaluate,
            start = { { tile = 4, unroll = 1, flags = "-O1" } }, strategy = search.optuna { python = python, sampler = sampler } }
          print(sampler, #result.trials > 12, result.best.value <= 1200, result.best.value)
        end
        local two = search.run { name = "two", space = space, minimise = "time", maximise = "rate", at_most = { bytes = 300 }, budget = 60,
          strategy = search.optuna { python = python, settings = { population_size = 10 } },
          evaluate = function(p)
            if p.unroll == 1 then return nil, "failed" end
            return { time = cost(p), rate = p.unroll, bytes = p.tile }
          end }
        print("two", #two.trials, #two.front > 1, two.search)
        local function fails(o, objectives)
          local s = search.new { space = space, minimise = objectives, strategy = search.optuna(o) }
          print(select(2, pcall(s.ask, s)))
        end
        fails { python = python, settings = { startup = 3 } }
        fails({ python = python, sampler = "cmaes" }, { "a", "b" })"#;
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/optuna");
    let asked = Command::new(fetched).arg("--there").output().unwrap();
    if !asked.status.success() {
        return support::skip("there is no Optuna: tools/optuna fetches it");
    }
    let python = String::from_utf8(asked.stdout).unwrap();
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("optuna.lua"), SCRIPT).unwrap();
    fs::write(home.path().join("kill"), "").unwrap();
    assert_eq!(run(home.path(), "optuna.lua", &[python.trim()], home.path()).code, None);
    let second = run(home.path(), "optuna.lua", &[python.trim()], home.path());
    assert_eq!(second.code, Some(0), "{}{}", second.stdout, second.stderr);
    let expected = [
        "tpe\ttrue\ttrue\t",
        "cmaes\ttrue\ttrue\t",
        "random\ttrue\ttrue\t",
        "two\t60\ttrue\tsearch of 60 trials (",
        " failed, ",
        " infeasible, ",
        "'settings': TPESampler has no 'startup'; it has ",
        "sampler 'cmaes' looks for one objective, and there are 2: nsga2, nsga3 and tpe take several",
    ];
    for text in expected {
        assert!(second.stdout.contains(text), "no `{text}` in\n{}{}", second.stdout, second.stderr);
    }
    let third = run(home.path(), "optuna.lua", &[python.trim()], home.path());
    assert_eq!(third.stdout, second.stdout, "{}", third.stderr);
}
