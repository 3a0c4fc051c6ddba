//! `harness new` and `harness init`: what they make works, and nothing that is there is written over.

use crate::support::{Folder, no_compiler};

#[test]
fn a_new_folder_is_checked_tested_and_runs() {
    if no_compiler() {
        return;
    }
    let folder = Folder::new();
    let made = folder.run(&["new", "deep/tuning"]);
    let next = "next: cd deep/tuning && harness check campaign.lua && harness test && harness campaign.lua\n";
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""), "{made:?}");
    assert!(made.stdout.ends_with(next), "{made:?}");
    for line in made.stdout.lines().filter_map(|line| line.strip_prefix("wrote ")) {
        assert!(folder.path(line).is_file(), "{line}");
    }
    let there = |args: &[&str]| {
        let mut command = folder.harness(args);
        command.current_dir(folder.path("deep/tuning"));
        crate::support::Running::start(command).end(crate::support::LIMIT)
    };
    let checked = there(&["check", "campaign.lua"]);
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    let tested = there(&["test"]);
    assert_eq!(tested.code, Some(0), "{tested:?}");
    assert!(tested.stdout.contains("2 tests in 1 file: 2 passed, 0 failed;"), "{tested:?}");
    let ran = there(&["-q", "--start", "local", "campaign.lua", "--size=1", "--steps=1"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let rows = folder.read("deep/tuning/results.csv");
    assert_eq!(rows.lines().count(), 5, "{rows}");
    for left in [".gitignore", ".luarc.json", ".emmyrc.json", ".harness/types/harness.lua"] {
        assert!(folder.path("deep/tuning").join(left).is_file(), "{left}");
    }
    assert!(folder.read("deep/tuning/.gitignore").lines().any(|line| line == "*.journal"));
}

#[test]
fn what_is_there_stays() {
    let folder = Folder::new();
    folder.write("mine/notes", "precious");
    folder.write("file", "precious");
    for (name, said) in [
        (
            "mine",
            "harness: new: mine is there already, and nothing in it is written over: name another folder, or `harness init \
             mine` gives it what an editor needs\n",
        ),
        ("file", "harness: new: file is there already, and no folder: name another one\n"),
    ] {
        let ran = folder.run(&["new", name]);
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(2), "", said));
    }
    assert_eq!((folder.read("mine/notes").as_str(), folder.read("file").as_str()), ("precious", "precious"));
    assert_eq!(std::fs::read_dir(folder.path("mine")).unwrap().count(), 1);
    // An empty folder is as good as none.
    std::fs::create_dir(folder.path("empty")).unwrap();
    assert_eq!(folder.run(&["new", "empty"]).code, Some(0));
    assert!(folder.path("empty/campaign.lua").is_file());
}

#[test]
fn init_equips_a_folder_and_changes_nothing_in_it() {
    let folder = Folder::new();
    folder.write("old/.gitignore", "*.o\n");
    folder.write("old/.luarc.json", "{}");
    let ran = folder.run(&["init", "old"]);
    let said = "wrote old/.harness/types/harness.lua\nkept old/.luarc.json: add \".harness/types\" to the workspace's \
                \"library\" in it\nwrote old/.emmyrc.json\nkept old/.gitignore: add \"*.journal\" and \"*.journal.*\" to it\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), said, ""));
    assert_eq!(folder.read("old/.gitignore"), "*.o\n");
    assert_eq!(folder.run(&["init"]).code, Some(0));
    let again = folder.run(&["init"]);
    let said =
        "wrote ./.harness/types/harness.lua\nkept ./.luarc.json\nkept ./.emmyrc.json\nkept ./.gitignore\n";
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), said), "{again:?}");
    let ran = folder.run(&["init", "none"]);
    let said =
        "harness: init: there is no folder none: name the one your campaigns are in: `harness init FOLDER`\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(2), "", said));
}
