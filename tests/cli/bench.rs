//! `harness bench`: commands measured without a script.

use serde_json::{Value, json};

use crate::support::{Folder, Ran};

fn bench(folder: &Folder, args: &[&str]) -> Ran {
    folder.run(&[&["bench"], args].concat())
}

fn left_behind(folder: &Folder) -> Vec<String> {
    let names = std::fs::read_dir(folder.path("")).unwrap().flatten();
    let mut names: Vec<_> = names.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "cache");
    names.sort();
    names
}

#[test]
fn one_command_is_measured_where_one_stands_and_leaves_nothing_behind() {
    let folder = Folder::new();
    folder.write("words", "a b c\n");
    let ran = bench(&folder, &["-r", "7", "grep -q 'a b' words"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
    assert!(ran.stdout.starts_with("grep -q 'a b' words: median "), "{ran:#?}");
    assert!(ran.stdout.contains(", n = 7, fixed") && ran.stdout.lines().count() == 1, "{ran:#?}");
    assert_eq!(left_behind(&folder), ["words"]);
}

#[test]
fn several_are_compared_with_the_first_and_exported_as_hyperfine_does() {
    let folder = Folder::new();
    let ran = bench(
        &folder,
        &[
            "-w",
            "0",
            "-M",
            "8",
            "-L",
            "t",
            "0.001,0.1",
            "-n",
            "nap {t}",
            "sleep {t}",
            "--export-json",
            "o.json",
            "--export-csv",
            "o.csv",
        ],
    );
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [base, slow] = lines.as_slice() else { panic!("{ran:#?}") };
    assert!(base.starts_with("nap 0.001: median ") && base.contains(", n = 8, "), "{ran:#?}");
    assert!(slow.starts_with("nap 0.1: slower, 0.") && slow.contains(", 8 rounds"), "{ran:#?}");
    let exported: Value = serde_json::from_str(&folder.read("o.json")).unwrap();
    let results = exported["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for (result, t) in results.iter().zip(["0.001", "0.1"]) {
        assert_eq!(result["command"], format!("nap {t}"));
        assert_eq!(result["parameters"], json!({ "t": t }));
        assert_eq!(result["exit_codes"], json!([0, 0, 0, 0, 0, 0, 0, 0]));
        let times: Vec<f64> =
            result["times"].as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
        assert_eq!(times.len(), 8);
        let mean = times.iter().sum::<f64>() / 8.0;
        let of = |name: &str| result[name].as_f64().unwrap_or_else(|| panic!("{name}: {result:#}"));
        assert!((of("mean") - mean).abs() < 1e-12 && of("min") <= of("median") && of("median") <= of("max"));
        assert!(
            of("min") >= t.parse().unwrap() && of("stddev") > 0.0 && of("user") >= 0.0 && of("system") >= 0.0
        );
    }
    let rows = folder.read("o.csv");
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows[0], "command,mean,stddev,median,user,system,min,max,parameter_t");
    assert!(rows.len() == 3 && rows[2].starts_with("nap 0.1,0.1") && rows[2].ends_with(",0.1"), "{rows:?}");
}

#[test]
fn a_command_that_fails_has_no_figure() {
    let folder = Folder::new();
    let ran = bench(&folder, &["false", "--export-json", "o.json"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(ran.stdout, "false: nonzero_exit: warm-up run 1: exit code 1\n");
    assert_eq!(ran.stderr, "harness bench: with --ignore-failure (-i) any exit code will do\n");
    assert_eq!(serde_json::from_str::<Value>(&folder.read("o.json")).unwrap(), json!({ "results": [] }));
    // The others have theirs, whichever place it had.
    for commands in [["false", "true"], ["true", "false"]] {
        let ran = bench(&folder, &[&["-r", "7", "--export-json", "o.json"], &commands[..]].concat());
        assert_eq!(ran.code, Some(1), "{ran:#?}");
        let mut lines: Vec<&str> = ran.stdout.lines().collect();
        lines.sort_unstable();
        assert!(
            lines.len() == 2 && lines[0] == "false: nonzero_exit: warm-up run 1: exit code 1",
            "{ran:#?}"
        );
        assert!(lines[1].starts_with("true: median ") && lines[1].contains(", n = 7, fixed"), "{ran:#?}");
        let exported: Value = serde_json::from_str(&folder.read("o.json")).unwrap();
        let results = exported["results"].as_array().unwrap();
        assert_eq!((results.len(), &results[0]["command"]), (1, &json!("true")));
    }
    let ran = bench(&folder, &["-r", "7", "no-such-program", "true", "sleep 0"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [gone, base, other] = lines.as_slice() else { panic!("{ran:#?}") };
    assert!(
        gone.starts_with("no-such-program: spawn_failed: warm-up run 1: program `no-such-program`"),
        "{ran:#?}"
    );
    assert!(base.starts_with("true: median ") && other.starts_with("sleep 0: "), "{ran:#?}");
    assert!(
        base.contains(", n = 7, ") && other.contains(", 7 rounds"),
        "as many as asked, odd or not: {ran:#?}"
    );
    let ran = bench(&folder, &["-M", "7", "true", "false", "sleep 0"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert!(
        ran.stdout.starts_with("true: median ") && ran.stdout.contains("\nfalse: nonzero_exit: "),
        "{ran:#?}"
    );
    let ran = bench(&folder, &["-M", "3", "true"]);
    assert!(ran.code == Some(0) && ran.stdout.contains(", n = 3 "), "{ran:#?}");
    let ran = bench(&folder, &["-i", "-r", "1", "false", "--export-json", "o.json"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let exported: Value = serde_json::from_str(&folder.read("o.json")).unwrap();
    assert_eq!(
        (&exported["results"][0]["exit_codes"], &exported["results"][0]["stddev"]),
        (&json!([null]), &Value::Null)
    );
}

#[test]
fn what_cannot_be_meant_is_said() {
    let folder = Folder::new();
    let said = |args: &[&str]| {
        let ran = bench(&folder, args);
        assert_eq!(ran.code, Some(2), "{ran:#?}");
        ran.stderr
    };
    assert_eq!(
        said(&["echo a | wc"]),
        "harness bench: `echo a | wc`: `|` is the shell's, and none is started; ask for one with --shell\n"
    );
    assert_eq!(
        said(&["--export-json", "out", "--export-csv", "out", "true"]),
        "harness bench: --export-json and --export-csv both name out: one would be lost; give each its own\n"
    );
    assert!(said(&[]).contains("COMMAND"));
    assert_eq!(said(&["-r", "0", "true"]), "harness: --runs: expected a whole number from 1, got '0'\n");
    assert_eq!(
        said(&["-L", "var", "1,2", "sleep {vra}"]),
        "harness bench: `sleep {vra}`: there is no list for {vra} (did you mean {var}?)\n"
    );
    assert_eq!(
        said(&["-r", "5", "--max-time", "1 s", "true"]),
        "harness bench: --runs of one command are all done, and --max-time ends none of them: give one of the two, or --max-runs \
         in the place of --runs\n"
    );
    let ran = bench(&folder, &["-r", "1", "true", "--export-csv", "nowhere/o.csv"]);
    assert!(ran.code == Some(73) && ran.stderr.starts_with("harness bench: cannot write "), "{ran:#?}");
    assert_eq!(ran.stdout, "", "known before anything is measured");
    let detached = "harness bench: `bash` would be measured as a command: a shell is named --shell=bash\n";
    assert_eq!(said(&["-S", "bash", "cat words"]), detached);
    assert!(said(&["-S", "none", "true"]).contains("--shell=none"));
    assert!(said(&["echo $HOME"]).contains("`$HOME` is the shell's"));
    folder.write("mine", "precious\n");
    let ran = bench(&folder, &["-r", "1", "true", "--journal", "mine"]);
    let text = "harness bench: journal mine: this is no journal of harness (its first line is not a header) and was left as it \
                is; name another file with --journal\n";
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(4), "", text));
    assert_eq!((folder.read("mine").as_str(), left_behind(&folder)), ("precious\n", vec!["mine".to_owned()]));
    std::fs::remove_file(folder.path("mine")).unwrap();
    let ran = bench(&folder, &["-r", "1", "--shell", "echo a | grep -q a", "--journal", "kept"]);
    assert_eq!((ran.code, left_behind(&folder)), (Some(0), vec!["kept".to_owned()]), "{ran:#?}");
}

#[test]
fn a_journal_of_several_commands_has_their_names() {
    let folder = Folder::new();
    let args = ["-r", "3", "-n", "base: one", "-n", "the % other", "true", "sleep 0", "--journal", "kept"];
    let ran = bench(&folder, &args);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let [one, other] = lines.as_slice() else { panic!("{ran:#?}") };
    assert!(one.starts_with("base: one: median ") && other.starts_with("the % other: "), "{ran:#?}");
    let shown = folder.run(&["show", "kept"]);
    assert!(
        shown.stdout.contains("base: one base") && shown.stdout.contains("base: one #2 the % other"),
        "{shown:#?}"
    );
}
