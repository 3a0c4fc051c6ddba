//! Every `tests/lua/<module>/<topic>.lua` runs in the real binary, with local workers, a journal and a cache of its own.
//!
//! A script without a header is a test as users write them: `harness test` runs it, and has to say that it passed.
//! What is tested of the others is how a campaign ends and what it says, which a test cannot see of itself. They run as
//! campaigns and pass if they end as their header says: `--! args --size=3`, `--! exit 75` (0 unless said), `--! says LINE`
//! (a whole line on stderr) and `--! prints LINE` (on stdout), each as often as needed. The first line `interrupt me` that one
//! prints is answered with SIGINT. Modules for the scripts lie in `tests/lua/<module>/lua`. What is killed and run again lies
//! below, in Rust.
//!
//! A script has ended when nobody holds its output any more: a process it left behind fails it too.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)] // starts the real binary

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Far longer than any of them takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);
/// What no user should ever read, whatever the script did.
const INTERNAL: [&str; 6] =
    ["[harness]/", "panicked at", "deserialize", "untagged", "runtime error:", "mlua"];

/// How a campaign has to end.
#[derive(Default)]
struct Header {
    args: Vec<String>,
    exit: i32,
    says: Vec<String>,
    prints: Vec<String>,
}

impl Header {
    /// None of a script that has none: it is a test.
    fn read(script: &Path) -> Option<Self> {
        let mut header = None::<Self>;
        let text = std::fs::read(script).unwrap();
        let text = String::from_utf8_lossy(&text);
        for line in text.lines().filter_map(|line| line.strip_prefix("--! ")) {
            let header = header.get_or_insert_default();
            match line.split_once(' ').unwrap_or((line, "")) {
                ("args", rest) => header.args = rest.split_whitespace().map(str::to_owned).collect(),
                ("exit", rest) => header.exit = rest.parse().unwrap(),
                ("says", rest) => header.says.push(rest.to_owned()),
                ("prints", rest) => header.prints.push(rest.to_owned()),
                (word, _) => panic!("{}: unknown header '{word}'", script.display()),
            }
        }
        header
    }
}

struct Ended {
    /// None if a signal ended it.
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs a script as a campaign.
fn run(script: &Path, args: &[String], home: &Path) -> Result<Ended, String> {
    let journal = home.join("journal");
    let options = ["--start", "local", "--slots", "2", "--seed", "7", "--journal", journal.to_str().unwrap()];
    harness(&options, script, args, home)
}

/// Runs a script by `harness OPTIONS SCRIPT ARGS` to its end, or says that it found none.
fn harness(options: &[&str], script: &Path, args: &[String], home: &Path) -> Result<Ended, String> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_harness"))
        .args(options)
        .arg(script.file_name().unwrap())
        .args(args)
        .current_dir(script.parent().unwrap())
        .env("HARNESS_CACHE", home.join("cache"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let root = Pid::from_child(&child);
    let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (told, ends) = channel();
    let told_too = told.clone();
    let stdout = thread::spawn(move || {
        let (mut text, mut asked) = (String::new(), false);
        for line in BufReader::new(out).split(b'\n').map_while(Result::ok) {
            if line == b"interrupt me" && !std::mem::replace(&mut asked, true) {
                kill_process(root, Signal::INT).unwrap();
            }
            text.push_str(&String::from_utf8_lossy(&line));
            text.push('\n');
        }
        let _ = told.send(());
        text
    });
    let stderr = thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text).unwrap();
        let _ = told_too.send(());
        String::from_utf8_lossy(&text).into_owned()
    });
    let deadline = Instant::now() + LIMIT;
    let late = (0..2).any(|_| {
        let left = deadline.saturating_duration_since(Instant::now());
        ends.recv_timeout(left) == Err(RecvTimeoutError::Timeout)
    });
    if late {
        let ended_itself = child.try_wait().unwrap();
        child.kill().unwrap(); // its keeper ends what is left
        child.wait().unwrap();
        return Err(match ended_itself {
            Some(status) => format!("left a process behind that holds its output ({status})"),
            None => {
                format!(
                    "did not end in {} s\n{}{}",
                    LIMIT.as_secs(),
                    stdout.join().unwrap(),
                    stderr.join().unwrap()
                )
            }
        });
    }
    let code = child.wait().unwrap().code();
    Ok(Ended { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() })
}

fn check(script: &Path) -> Result<(), String> {
    let home = tempfile::tempdir().unwrap();
    match Header::read(script) {
        Some(header) => campaign(script, &header, home.path()),
        None => test(script, home.path()),
    }
}

/// `harness test` runs it, and it passes.
fn test(script: &Path, home: &Path) -> Result<(), String> {
    let ended = harness(&["test", "--slots", "2", "--seed", "7", "--timeout", "100 s"], script, &[], home)?;
    let name = script.file_name().unwrap().to_str().unwrap();
    let passed = ended.stdout.starts_with(&format!("ok    {name}, ")) && ended.stderr.is_empty();
    match ended.code {
        Some(0) if passed => Ok(()),
        code => Err(format!("exit code {code:?}\n{}{}", ended.stdout, ended.stderr)),
    }
}

/// It runs as a campaign, and ends as it should.
fn campaign(script: &Path, header: &Header, home: &Path) -> Result<(), String> {
    let ended = run(script, &header.args, home)?;
    let output = format!("--- stdout\n{}--- stderr\n{}", ended.stdout, ended.stderr);
    if ended.code != Some(header.exit) {
        return Err(format!("exit code {:?}, not {}\n{output}", ended.code, header.exit));
    }
    let has = |text: &str, line: &String| text.lines().any(|said| said == line);
    if let Some(line) = header.says.iter().find(|line| !has(&ended.stderr, line)) {
        return Err(format!("does not say `{line}`\n{output}"));
    }
    if let Some(line) = header.prints.iter().find(|line| !has(&ended.stdout, line)) {
        return Err(format!("does not print `{line}`\n{output}"));
    }
    match INTERNAL.iter().find(|word| output.contains(*word)) {
        Some(word) => Err(format!("shows `{word}`, which is ours\n{output}")),
        None => Ok(()),
    }
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_script = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "lua");
    let mut scripts: Vec<PathBuf> = entries.filter(is_script).collect();
    scripts.sort();
    scripts
}

/// The scripts of a folder run side by side: most of them wait most of the time.
fn check_folder(folder: &str) {
    let scripts = scripts(folder);
    assert!(!scripts.is_empty());
    let problems: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = scripts.iter().map(|script| (script, scope.spawn(|| check(script)))).collect();
        let ended = running.into_iter().map(|(script, running)| (script, running.join().unwrap()));
        ended.filter_map(|(script, ended)| Some(format!("{}: {}", script.display(), ended.err()?))).collect()
    });
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

macro_rules! folders {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check_folder(stringify!($name));
            }
        )*

        #[test]
        fn no_folder_is_forgotten() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lua");
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let mut found: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
            found.sort();
            assert_eq!(found, [$(stringify!($name)),*]);
        }
    };
}

folders! { again args calls compare compile dl exec flow measure modules options pools recipes results search slots state }

/// A second run is answered from the journal of the first, in the order recorded, and asks for nothing again.
#[test]
fn a_second_run_takes_the_same_decisions() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("search.lua");
    let source = |tail: &str| {
        format!(
            "local function trial(x)
           return submit(measure {{ cmd = {{ 'sh', '-c', 'sleep 0.0' .. (x * 7 % 4) .. '; echo v ' .. x }},
             params = {{ x = x }}, runs = 1, warmup = 0, exclusive = false, metrics = {{ v = 'v (%d+)' }}, objective = 'v' }})
         end
         local list, order = {{ trial(1), trial(2), trial(3) }}, {{}}
         for _, m in as_completed(list) do
           order[#order + 1] = m.params.x
           if #list < 6 then list[#list + 1] = trial(m.params.x * 2 + #list) end
         end
         print(table.concat(order, ' '))
         {tail}"
        )
    };
    std::fs::write(&script, source("")).unwrap();
    let first = run(&script, &[], dir.path()).unwrap();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    assert!(first.stderr.starts_with("harness: 6 tasks: 6 ok\n"), "{}", first.stderr);
    // One more trial at the end: only that one runs.
    std::fs::write(&script, source("assert(await(trial(100)).ok)")).unwrap();
    let second = run(&script, &[], dir.path()).unwrap();
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    let expected = "harness: 7 tasks (6 from the journal): 7 ok\n";
    assert!(second.stderr.starts_with(expected), "{}", second.stderr);
    assert_eq!(first.stdout, second.stdout);
}

/// What both runs of a search print: how it ended, without what harness says on stderr.
fn search_script(in_flight: u32, dies_after: &str) -> String {
    format!(
        r#"local harness = require "harness"
        local path, told = {{}}, 0
        local result = harness.search.run {{
          name = "resumed",
          space = {{ a = harness.sweep.range(0, 9), b = harness.sweep.range(0, 9) }},
          strategy = "genetic",
          budget = 60,
          in_flight = {in_flight},
          confirm = false,
          evaluate = function(p, trial)
            local v = (p.a - 7) ^ 2 + (p.b - 2) ^ 2 + 1
            local r = await(submit(measure {{ params = p, shell = "echo v=" .. math.tointeger(v), runs = 1, warmup = 0,
              exclusive = false, metrics = {{ v = "v=(%d+)" }}, objective = "v" }}))
            told = told + 1
            path[told] = ("%d: %d %d %s"):format(trial.id, p.a, p.b, r.stats.median)
            local died = harness.fs.exists "died"
            if not died and told == {dies_after} then
              assert(harness.fs.write("died", table.concat(path, "\n")))
              os.execute "kill -9 $PPID"
            end
            return r
          end,
        }}
        print(table.concat(path, "\n"))
        print(result)
        "#
    )
}

/// A search that was killed goes on where it was: the same points in the same order as far as it had come, and with one
/// trial at a time the same end as if nothing had happened.
#[test]
fn a_killed_search_goes_on_as_it_began() {
    for in_flight in [1, 3] {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("search.lua");
        std::fs::write(&script, search_script(in_flight, "25")).unwrap();
        let killed = run(&script, &[], dir.path()).unwrap();
        assert_eq!(killed.code, None, "{}{}", killed.stdout, killed.stderr);
        let way = std::fs::read_to_string(dir.path().join("died")).unwrap();
        assert_eq!(way.lines().count(), 25);
        let resumed = run(&script, &[], dir.path()).unwrap();
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        assert!(resumed.stdout.starts_with(&way), "{way}\n--- and then\n{}", resumed.stdout);
        assert!(
            resumed.stderr.contains("60 tasks (") && !resumed.stderr.contains("(0 from"),
            "{}",
            resumed.stderr
        );
        let again = run(&script, &[], dir.path()).unwrap();
        assert!(
            again.stderr.starts_with("harness: 60 tasks (60 from the journal): 60 ok"),
            "{}",
            again.stderr
        );
        assert_eq!(again.stdout, resumed.stdout);
        if in_flight == 1 {
            let other = tempfile::tempdir().unwrap();
            let script = other.path().join("search.lua");
            std::fs::write(&script, search_script(1, "-1")).unwrap();
            assert_eq!(run(&script, &[], other.path()).unwrap().stdout, resumed.stdout);
        }
    }
}
