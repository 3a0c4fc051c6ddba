//! What an edited script or source puts in the place of something: everything that looks at a journal tells it apart.

use crate::said;
use crate::support::Folder;

/// A campaign whose `m` prints this figure.
fn script(figure: u32) -> String {
    format!(
        "local pool <close> = spawn {{ slots = 1 }}
        local function prints(name, text)
          return await(submit(measure {{ name = name, params = {{ n = 1 }}, cmd = {{ 'echo', 'x: ' .. text }}, runs = 8,
            objective = 'x', metrics = {{ x = 'x: (%d+)' }} }}))
        end
        prints('m', {figure})
        prints('other', 7)"
    )
}

fn run(folder: &Folder, figure: u32) {
    folder.write("c.lua", script(figure));
    let ran = folder.run(&["-q", "--start", "local", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}

/// Measured, edited, measured again.
fn edited() -> Folder {
    let folder = Folder::new();
    run(&folder, 1);
    run(&folder, 2);
    folder
}

#[track_caller]
fn says(folder: &Folder, args: &[&str], stdout: &str, stderr: &str) {
    said(folder, folder.run(args), 0, stdout, stderr);
}

const WITHOUT: &str = "harness: export: without 1 measurement of an earlier version of the script or its sources (--all: with them)\n";

#[test]
fn questions_tell_versions_apart() {
    let folder = edited();
    let all = "select name, median, session, current from measurements order by session, name";
    says(&folder, &["query", all], "name,median,session,current\nm,1,1,0\nother,7,1,1\nm,2,2,1\n", "");
    let samples =
        "select median(metrics->>'x') as x, count(*) as n from samples where current and name = 'm'";
    says(&folder, &["query", samples], "x,n\n2,8\n", "");
    let silent = "select count(*) as n from measurements";
    let note = "harness: query: 1 record is outdated, as a later version of the script or its sources was recorded: `where \
                current` leaves out what is\n";
    says(&folder, &["query", silent], "n\n3\n", note);
    says(&folder, &["query", "select count(*) as n from env"], "n\n1\n", "");
    // The edit undone: the old record answers again.
    run(&folder, 1);
    says(&folder, &["query", all], "name,median,session,current\nm,1,1,1\nother,7,1,1\nm,2,2,0\n", "");
}

#[test]
fn exports_have_what_is_current_unless_all_is_asked_for() {
    let folder = edited();
    let rows = |args: &[&str], stderr: &str| {
        let ran = folder.run(&[&["export", "-o", "-"], args].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), stderr), "{ran:#?}");
        ran.stdout.lines().count()
    };
    assert_eq!(rows(&["--format", "csv"], WITHOUT), 1 + 2);
    assert_eq!(rows(&["--format", "csv", "--all"], ""), 1 + 3);
    assert_eq!(rows(&["--format", "csv", "--rows", "samples"], WITHOUT), 1 + 2 * 8);
    let of_table = WITHOUT.replace("measurement", "row");
    assert_eq!(rows(&["--format", "csv", "--rows", "tasks"], &of_table), 1 + 2);
    assert_eq!(rows(&["--format", "csv", "--rows", "tasks", "--all"], ""), 1 + 3);
    assert_eq!(rows(&["--format", "csv", "--rows", "sessions"], ""), 1 + 2);
    assert_eq!(rows(&["--format", "markdown"], WITHOUT), 2 + 2);
    let commands = |args: &[&str], stderr: &str| {
        let ran = folder.run(&[&["export", "-o", "-", "--format", "hyperfine"], args].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), stderr), "{ran:#?}");
        ran.stdout.matches("\"command\"").count()
    };
    assert_eq!((commands(&[], WITHOUT), commands(&["--all"], "")), (2, 3));
    // All that is recorded is in both, and says what it is.
    says(
        &folder,
        &["export", "-o", "all.sqlite"],
        "",
        "harness: export: wrote all.sqlite: 10 tables of 3 tasks\n",
    );
    let database = rusqlite::Connection::open(folder.path("all.sqlite")).unwrap();
    let outdated =
        database.query_row("select count(*) from runs where not current", (), |row| row.get::<_, i64>(0));
    assert!(outdated.unwrap() >= 8);
    says(&folder, &["export", "-o", "c.trace"], "", "harness: export: wrote c.trace: 3 tasks\n");
    assert_eq!(
        folder.read("c.trace").matches(r#""standing":"outdated""#).count(),
        3,
        "waiting, its end, and the run"
    );
}

#[test]
fn status_show_and_report_leave_out_what_is_outdated_and_say_so() {
    let folder = edited();
    let status = folder.run(&["status", "c.lua"]).stdout;
    assert!(status.contains("\n  recorded: 2 ok (2 measures); and 1 outdated task\n"), "{status}");
    let table = folder.run(&["show", "c.lua"]).stdout;
    assert!(
        table.contains(": 2 tasks recorded: 2 ok; ")
            && table.contains("; 1 outdated task left out (--all)\n"),
        "{table}"
    );
    let lines = |table: &str| {
        table.lines().filter(|line| line.contains(" n=1 ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&table).len(), 2, "{table}");
    let table = folder.run(&["show", "c.lua", "--all"]).stdout;
    assert!(lines(&table).len() == 3 && lines(&table)[0].contains("  8  outdated"), "{table}");
    let one = folder.run(&["show", "c.lua", "m"]).stdout;
    assert!(one.contains("median 2") && one.contains(" of run 2\n") && !one.contains("outdated"), "{one}");
    let key = &lines(&table)[0][..8];
    let one = folder.run(&["show", "c.lua", key]).stdout;
    let version =
        "\n  version       outdated: a later one of the script or its sources is recorded under its name\n";
    assert!(one.contains("median 1") && one.contains(version), "{one}");
    assert_eq!(folder.run(&["report", "c.lua"]).code, Some(0));
    let page = folder.read("c.lua.html");
    assert!(page.contains(r#""ended":{"ok":2},"outdated":1}"#), "no word of it in the page");
    assert_eq!(page.matches(r#""name":"m","params""#).count(), 1);
    // What an edit left alone is of the script as it was then, and has no base in common with what came after it.
    let data = page.split(r#"id="data">"#).nth(1).and_then(|rest| rest.split("</script>").next()).unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let rows = data["measurements"].as_array().unwrap().iter();
    let scripts: Vec<_> = rows.map(|row| (row["name"].as_str().unwrap(), row["script"].as_u64())).collect();
    assert_eq!(scripts, [("other", Some(0)), ("m", Some(1))]);
}
