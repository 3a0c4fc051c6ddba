//! Runs that are too short for all of it, one after another: they come to all of it, and say what is needed where they cannot.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Folder, LIMIT, Ran, Running, await_that};

/// Runs it for a time that does for all but what never ends; what ran, in order, and the end that is recorded. How long that is
/// depends on the machine: a run that did not come to what never ends (`hung`) is done again, from the same journal, with twice
/// the time.
fn run(folder: &Folder, args: &[&str]) -> (Ran, String, Value) {
    let before = folder.read("c.lua.journal");
    for seconds in [1, 2, 4, 8, 16] {
        for name in ["ran", "go", "hung", "c.lua.journal", "c.lua.journal.index"] {
            let _ = std::fs::remove_file(folder.path(name));
        }
        if !before.is_empty() {
            folder.write("c.lua.journal", &before);
        }
        let deadline = format!("{} s", seconds + 1);
        let time = ["--start", "local", "--deadline", &deadline, "--margin", "1 s"];
        let ran = folder.run(&[&time[..], args].concat());
        if ran.code != Some(75) || folder.path("hung").exists() {
            let order = folder.read("ran").split_whitespace().collect::<Vec<_>>().join(" ");
            return (ran, order, folder.journal("c.lua.journal").pop().unwrap());
        }
    }
    panic!("no time was enough to come to what never ends");
}

/// It has run for a while, as the root knows by then, when it says so.
const NEVER_ENDS: &str = "sleep 0.3; touch hung; exec sleep 1000";

/// Tasks of these names on one slot, asked for at once; those that have a file of their name never end.
fn tasks(names: &str) -> String {
    format!(
        "local pool <close> = spawn {{ slots = 1 }}
        local list = {{ submit(exec {{ shell = 'until [ -e go ]; do sleep 0.01; done' }}) }}
        for name in ('{names}'):gmatch('%S+') do
          list[#list + 1] = submit(exec {{ name = name, key = name,
            shell = 'echo ' .. name .. ' >> ran; if [ -e ' .. name .. ' ]; then {NEVER_ENDS}; fi; exit 3' }})
        end
        io.open('go', 'w'):close()
        wait(list)"
    )
}

const OTHERS_NEXT: &str =
    "Nothing that ran has ended, so the next run begins with what did not run in this one.";

#[test]
fn what_never_fits_keeps_nothing_else_from_beginning() {
    let folder = Folder::with(&tasks("a b c d"));
    folder.write("a", "");
    folder.write("c", "");
    let (ran, order, end) = run(&folder, &["c.lua"]);
    assert!(ran.code == Some(75) && ran.stderr.contains(OTHERS_NEXT), "{ran:#?}");
    assert_eq!(
        (order.as_str(), &end["gained"], end["in_vain"].as_array().unwrap().len()),
        ("a", &true.into(), 1)
    );
    // One that ended is progress, and what ran beside it keeps its turn.
    let (ran, order, end) = run(&folder, &["c.lua"]);
    assert!(ran.code == Some(75) && !ran.stderr.contains("Nothing that ran"), "{ran:#?}");
    assert_eq!(
        (order.as_str(), &end["gained"], end["in_vain"].as_array().unwrap().len()),
        ("b c", &true.into(), 0)
    );
    let (ran, order, end) = run(&folder, &["c.lua"]);
    assert!(ran.code == Some(75) && ran.stderr.contains(OTHERS_NEXT), "{ran:#?}");
    assert_eq!((order.as_str(), &end["gained"]), ("c", &true.into()));
    let (ran, order, _) = run(&folder, &["c.lua"]);
    assert_eq!((ran.code, order.as_str()), (Some(75), "d a"), "{ran:#?}");
    // Nothing is left but what does not fit: each had all of a run's time.
    let (_, order, end) = run(&folder, &["c.lua"]);
    assert_eq!((order.as_str(), &end["gained"]), ("a", &true.into()));
    let (ran, order, end) = run(&folder, &["c.lua"]);
    let said = folder.normal(&ran.stderr);
    let needs = "c.lua.journal has what was reported, but not the ends of 1 task without a `key`: those run again. Nothing that ran has ended, and the next run would be the same: what is left needs longer \
                 than the TIME that it had; give it more than TIME (`--deadline`, or `--time` of the job).\n";
    assert!(ran.code == Some(75) && said.ends_with(needs), "{said}");
    assert_eq!((order.as_str(), &end["gained"]), ("c", &false.into()));
    std::fs::remove_file(folder.path("a")).unwrap();
    std::fs::remove_file(folder.path("c")).unwrap();
    let (ran, order, _) = run(&folder, &["c.lua"]);
    assert_eq!((ran.code, order.as_str()), (Some(0), "a c"), "{ran:#?}");
}

/// How much is needed is known of what has a limit.
#[test]
fn what_has_a_timeout_is_told_what_it_needs() {
    let script = format!("await(submit(exec {{ key = 1, shell = '{NEVER_ENDS}', timeout = '1 h' }}))");
    let folder = Folder::with(&script);
    let (ran, _, end) = run(&folder, &["c.lua"]);
    assert!(
        ran.code == Some(75) && ran.stderr.contains("; give it at least 1 h 0 min (`--deadline`"),
        "{ran:#?}"
    );
    assert_eq!(end["gained"], false);
}

#[test]
fn what_is_tried_again_is_tried_again_once_by_a_chain_of_runs() {
    let folder = Folder::with(&tasks("a b c"));
    let (ran, order, _) = run(&folder, &["c.lua"]);
    assert_eq!((ran.code, order.as_str()), (Some(0), "a b c"), "{ran:#?}");
    folder.write("b", "");
    let retry = ["--retry", "failed", "c.lua"];
    let (ran, order, end) = run(&folder, &retry);
    assert_eq!((ran.code, order.as_str()), (Some(75), "a b"), "{ran:#?}");
    assert_eq!((&end["is_out_of_time"], &end["gained"]), (&true.into(), &true.into()));
    let (ran, order, _) = run(&folder, &retry);
    assert_eq!((ran.code, order.as_str()), (Some(75), "b"), "{ran:#?}");
    let again = "harness: run again where the script asks for it, though recorded: 2 nonzero_exit (--retry)\n\
                 harness: tried again by the runs that this one goes on from, and not once more: 1 nonzero_exit (--retry); a run \
                 without it in between begins anew\n";
    assert!(ran.stderr.starts_with(again) && ran.stderr.contains(OTHERS_NEXT), "{ran:#?}");
    let (ran, order, _) = run(&folder, &retry);
    assert_eq!((ran.code, order.as_str()), (Some(75), "c b"), "{ran:#?}");
    std::fs::remove_file(folder.path("b")).unwrap();
    let (ran, order, _) = run(&folder, &retry);
    assert_eq!((ran.code, order.as_str()), (Some(0), "b"), "{ran:#?}");
    // It came to its end: from here on all of them are tried again, those of longest ago first.
    let (ran, order, _) = run(&folder, &retry);
    assert_eq!((ran.code, order.as_str()), (Some(0), "a c b"), "{ran:#?}");
}

/// Where nobody says when the job ends, TERM does; Ctrl-C is somebody who may want all of it anew.
#[test]
fn what_a_job_without_a_known_end_tried_again_is_not_tried_once_more() {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for (signal, in_job, goes_on) in
        [(Signal::TERM, true, true), (Signal::INT, true, false), (Signal::TERM, false, false)]
    {
        let folder = Folder::with(&tasks("a b c"));
        assert_eq!(folder.run(&["c.lua"]).code, Some(0));
        folder.write("b", "");
        for asked in ["no-slurm/squeue", "no-slurm/scontrol"] {
            folder.write(asked, "#!/bin/sh\nexit 1\n");
            std::fs::set_permissions(folder.path(asked), Permissions::from_mode(0o755)).unwrap();
        }
        let run = |signalled: bool| {
            let _ = (std::fs::remove_file(folder.path("ran")), std::fs::remove_file(folder.path("go")));
            let mut command = folder.harness(&["--start", "local", "--retry", "failed", "c.lua"]);
            if in_job {
                let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path("no-slurm").display());
                command.env("PATH", path).env("SLURM_JOB_ID", "17").env("SLURM_JOB_NODELIST", host.trim());
            }
            let running = Running::start(command);
            if signalled {
                await_that("b runs", || folder.read("ran").contains('b'));
                running.signal(signal);
            }
            let ran = running.end(LIMIT);
            let order = folder.read("ran").split_whitespace().collect::<Vec<_>>().join(" ");
            (ran, order, folder.journal("c.lua.journal").pop().unwrap())
        };
        let (ran, order, end) = run(true);
        assert_eq!((ran.code, order.as_str()), (Some(75), "a b"), "{ran:#?}");
        assert_eq!(end["is_out_of_time"], goes_on, "{signal:?} {in_job}");
        std::fs::remove_file(folder.path("b")).unwrap();
        let (ran, order, _) = run(false);
        let expected = if goes_on { "b c" } else { "b c a" };
        assert_eq!((ran.code, order.as_str()), (Some(0), expected), "{signal:?} {in_job}: {ran:#?}");
    }
}

#[test]
fn what_a_script_tried_again_that_asked_to_be_run_again_is_not_tried_once_more() {
    let folder = Folder::with(&format!("{} os.exit(tonumber(arg[1]))", tasks("a b")));
    let order = |args: &[&str], code: i32| {
        let _ = (std::fs::remove_file(folder.path("ran")), std::fs::remove_file(folder.path("go")));
        let ran = folder.run(&[&["--start", "local"], args].concat());
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        folder.read("ran").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(order(&["c.lua", "0"], 0), "a b");
    assert_eq!(order(&["--retry", "failed", "c.lua", "75"], 75), "a b");
    assert_eq!(order(&["--retry", "failed", "c.lua", "0"], 0), "");
    assert_eq!(order(&["--retry", "failed", "c.lua", "0"], 0), "a b");
}

#[test]
fn a_script_that_asks_to_be_run_again_has_not_come_to_its_end() {
    let folder = Folder::with("await(submit(exec { key = 1, cmd = { 'true' } })) os.exit(75)");
    assert_eq!(folder.run(&["-q", "c.lua", "x"]).code, Some(75));
    let end = folder.journal("c.lua.journal").pop().unwrap();
    assert_eq!((&end["how"], &end["exit_code"]), (&"stopped".into(), &75.into()));
    let status = folder.run(&["status", "c.lua"]).stdout;
    let said = "\n  the script did not come to its end: it asked to be run again (exit code 75)\n  `harness ";
    assert!(status.contains(said) && status.contains("c.lua x` goes on from there"), "{status}");
    assert_eq!(folder.run(&["-q", "--retry", "failed", "c.lua", "x"]).code, Some(75));
    assert!(
        folder.run(&["status", "c.lua"]).stdout.contains("`harness --retry failed "),
        "what goes on from there"
    );
}

#[test]
fn each_run_names_its_script() {
    let folder = Folder::new();
    for name in ["a.lua", "b.lua"] {
        folder
            .write(name, "await(submit(exec { key = 1, cmd = { 'true' } })) if arg[1] then os.exit(75) end");
        assert_eq!(folder.run(&["-q", "--journal", "j", name]).code, Some(0));
    }
    let scripts = folder.run(&["query", "j", "select script from sessions order by session"]).stdout;
    let names: Vec<&str> = scripts.lines().skip(1).filter_map(|line| line.rsplit('/').next()).collect();
    assert_eq!(names, ["a.lua", "b.lua"]);
    assert_eq!(folder.run(&["-q", "--journal", "j", "b.lua", "x"]).code, Some(75));
    let status = folder.run(&["status", "j"]).stdout;
    assert!(
        status.contains("/b.lua: not running; 3 runs in ")
            && status.contains(" --journal j b.lua x` goes on"),
        "{status}"
    );
}

#[test]
fn who_only_asks_for_the_usage_leaves_no_journal_and_is_no_run() {
    let script = "local args = require 'harness'.args { n = { 1, 'how many' } }
        await(submit(exec { key = args.n, cmd = { 'true' } }))";
    let folder = Folder::with(script);
    let help = |args: &[&str]| {
        let ran = folder.run(args);
        assert!(ran.code == Some(0) && ran.stdout.starts_with("usage: harness c.lua"), "{ran:#?}");
    };
    let files = || {
        let names = std::fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names.join(" ")
    };
    help(&["c.lua", "--help"]);
    assert_eq!(files(), "c.lua cache");
    assert_eq!(folder.run(&["-q", "c.lua"]).code, Some(0));
    let before = folder.read("c.lua.journal");
    help(&["c.lua", "--help"]);
    help(&["--fresh", "c.lua", "--help"]);
    assert_eq!((folder.read("c.lua.journal"), files().as_str()), (before, "c.lua c.lua.journal cache"));
    // What only looks so is a run.
    folder.write("c.lua", format!("submit(exec {{ key = 9, cmd = {{ 'true' }} }})\n{script}"));
    help(&["c.lua", "--help"]);
    assert_eq!(folder.journal("c.lua.journal").iter().filter(|line| line["type"] == "end").count(), 2);
}
