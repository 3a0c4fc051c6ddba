//! Every `tests/lua/<module>/<topic>.lua` runs as a campaign in the real script state.
//!
//! A script passes if it ends as its header says; without one it has to run to its end:
//! `--! args --size=3`, `--! drain 2` (stop the campaign after two ends), `--! ends error|exit N|drained`,
//! `--! says TEXT` (one line of the error each).

#![allow(clippy::unwrap_used)]

#[path = "support/driver.rs"]
mod driver;

use std::path::{Path, PathBuf};

use driver::Driver;
use harness::model::{Hash, Outcome};
use harness::root::port::{self, Campaign, Index, Replay, Setup};
use harness::script::{Ended, ScriptError, ScriptState};

#[derive(Default)]
struct Header {
    args: Vec<String>,
    drain_after: Option<usize>,
    ends: Option<String>,
    says: Vec<String>,
}

impl Header {
    fn read(script: &Path) -> Self {
        let mut header = Self::default();
        let text = std::fs::read_to_string(script).unwrap_or_default();
        for line in text.lines().filter_map(|line| line.strip_prefix("--! ")) {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("args", rest) => header.args = rest.split_whitespace().map(str::to_owned).collect(),
                ("drain", rest) => header.drain_after = Some(rest.parse().unwrap()),
                ("ends", rest) => header.ends = Some(rest.to_owned()),
                ("says", rest) => header.says.push(rest.to_owned()),
                (word, _) => panic!("{}: unknown header '{word}'", script.display()),
            }
        }
        header
    }
}

struct Run {
    ended: Result<Ended, ScriptError>,
    journal: Vec<(Hash, Outcome)>,
}

/// Runs a script; `journal` is what an earlier run recorded.
fn run(script: &Path, header: &Header, journal: &[(Hash, Outcome)]) -> Run {
    let store = tempfile::tempdir().unwrap();
    let dir = script.parent().unwrap().canonicalize().unwrap();
    let replay = |(seq, (key, outcome)): (usize, &(Hash, Outcome))| {
        (*key, Replay { seq: seq as u64, outcome: Arc::new(outcome.clone()) })
    };
    let campaign = Campaign {
        script: script.to_owned(),
        dir: dir.clone(),
        args: header.args.clone(),
        seed: 7,
        ..Default::default()
    };
    let (port, end) = port::port(Setup {
        campaign,
        index: journal.iter().enumerate().map(replay).collect::<Index>(),
        artefact_present: Box::new(|_| true),
        wake: Box::new(|| {}),
    });
    let (folder, drain_after) = (store.path().to_owned(), header.drain_after);
    let driver = std::thread::spawn(move || Driver::new(end, &dir, &folder).serve(drain_after));
    let folder = store.path().to_owned();
    let add_input = Box::new(move |path: &Path| {
        let content = std::fs::read(path).map_err(|error| error.to_string())?;
        let hash = Hash::of(&content);
        let object = folder.join(hash.object_path());
        std::fs::create_dir_all(object.parent().unwrap()).unwrap();
        std::fs::write(object, content).map_err(|error| error.to_string())?;
        Ok(hash)
    });
    let ended = ScriptState::new(port, add_input).and_then(|state| state.run());
    Run { ended, journal: driver.join().unwrap() }
}

fn check(script: &Path) -> Result<(), String> {
    let header = Header::read(script);
    let Run { ended, .. } = run(script, &header, &[]);
    let (how, text) = match &ended {
        Ok(Ended::Finished) => ("finished".to_string(), String::new()),
        Ok(Ended::Exit(code)) => (format!("exit {code}"), String::new()),
        Ok(Ended::Drained) => ("drained".to_string(), String::new()),
        Err(error) => ("error".to_string(), error.to_string()),
    };
    let expected = header.ends.as_deref().unwrap_or("finished");
    if how != expected {
        return Err(format!("ended as {how}, not {expected}: {text}"));
    }
    match header.says.iter().find(|line| !text.lines().any(|said| said == line.as_str())) {
        Some(line) => Err(format!("does not say `{line}` but:\n{text}")),
        None => Ok(()),
    }
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua").join(folder);
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut scripts: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "lua")).collect();
    scripts.sort();
    scripts
}

fn check_folder(folder: &str) {
    let mut problems = Vec::new();
    let scripts = scripts(folder);
    assert!(!scripts.is_empty());
    for script in scripts {
        if let Err(problem) = check(&script) {
            problems.push(format!("{}: {problem}", script.display()));
        }
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

macro_rules! folders {
    ($($name:ident)*) => { $(
        #[test]
        fn $name() {
            check_folder(stringify!($name));
        }
    )* };
}

folders! { args compile exec flow measure modules options pools results state }

/// A second run is answered from the journal of the first, in the order recorded, and asks for nothing again.
#[test]
fn a_second_run_takes_the_same_decisions() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("search.lua");
    let source = |tail: &str| {
        format!(
            "local function trial(x)
           return submit(measure {{ cmd = {{ 'sh', '-c', 'sleep 0.0' .. (x * 7 % 4) .. '; echo v ' .. x }},
             params = {{ x = x }}, runs = 1, warmup = 0, metrics = {{ v = 'v (%d+)' }}, objective = 'v' }})
         end
         local list, order = {{ trial(1), trial(2), trial(3) }}, {{}}
         for _, m in as_completed(list) do
           order[#order + 1] = m.params.x
           if #list < 6 then list[#list + 1] = trial(m.params.x * 2 + #list) end
         end
         local out <close> = assert(io.open(arg[1], 'a'))
         out:write(table.concat(order, ' '), '\\n')
         {tail}"
        )
    };
    std::fs::write(&script, source("")).unwrap();
    let orders = dir.path().join("orders");
    let header = Header { args: vec![orders.display().to_string()], ..Header::default() };
    let first = run(&script, &header, &[]);
    assert_eq!((first.ended.unwrap(), first.journal.len()), (Ended::Finished, 6));
    // One more trial at the end: only that one runs.
    std::fs::write(&script, source("assert(await(trial(100)).ok)")).unwrap();
    let second = run(&script, &header, &first.journal);
    assert_eq!((second.ended.unwrap(), second.journal.len()), (Ended::Finished, 1));
    let text = std::fs::read_to_string(orders).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn a_missing_script_is_named() {
    let header = Header::default();
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("nothing.lua");
    let error = run(&script, &header, &[]).ended.unwrap_err();
    let expected =
        format!("cannot read the campaign `{}`: No such file or directory (os error 2)", script.display());
    assert_eq!(error.to_string(), expected);
}
