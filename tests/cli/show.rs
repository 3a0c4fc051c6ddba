//! `harness show`: tables and single tasks of real journals.

use crate::says;
use crate::support::Folder;
use crate::terminal::Terminal;

const CAMPAIGN: &str = "
local runs = {}
for _, n in ipairs { 10, 9 } do
  runs[#runs + 1] = submit(measure { name = 'nap with a long name', params = { n = n }, cmd = { 'sleep', '0.00' .. n },
    runs = 8, warmup = 1, env = { DEPTH = tostring(n) } })
end
runs[#runs + 1] = submit(measure { name = 'bad', params = { n = 1 }, shell = 'echo it broke >&2; exit 3', runs = 2 })
runs[#runs + 1] = submit(measure { name = 'bad', params = { n = 2 }, shell = 'echo it broke >&2; exit 3', runs = 2 })
runs[#runs + 1] = submit(exec { name = 'said', key = 'said', shell = 'echo hello; echo warned >&2' })
runs[#runs + 1] = submit(call { function() error 'no such thing' end, name = 'raises', key = 'r' })
runs[#runs + 1] = submit(compile { name = 'broken', cmd = { 'sh', '-c', 'echo prog.c:3: error: no such type; exit 1' }, output = 'x' })
wait(runs)
";

/// A campaign that has ended.
fn ended() -> Folder {
    let folder = Folder::with(CAMPAIGN);
    let ran = folder.run(&["-q", "--start", "local", "--slots", "1", "c.lua"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    folder
}

fn show(folder: &Folder, args: &[&str]) -> String {
    let ran = folder.run(&[&["show", "c.lua"], args].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:#?}");
    ran.stdout
}

/// The names in the table, in order.
fn names(table: &str) -> Vec<&str> {
    let row = regex::Regex::new(r"^[0-9a-f]{8}  (.+? n=\d+)").unwrap();
    table.lines().filter_map(|line| Some(row.captures(line)?.get(1)?.as_str())).collect()
}

#[test]
fn a_journal_is_a_table_with_its_failures_below() {
    let folder = ended();
    let table = show(&folder, &[]);
    let normal = folder.normal(&table);
    assert!(normal.starts_with("DIR/c.lua: 7 tasks recorded: 3 ok, 1 error, 2 nonzero_exit, 1 compile_failed; 1 run, the last of "), "{normal}");
    let title = table.lines().find(|line| line.starts_with("key ")).unwrap();
    assert!(
        title.contains("  name ")
            && title.contains("median")
            && title.contains("95 % CI")
            && title.contains("speed-up"),
        "{title}"
    );
    let mut found = names(&table);
    found.sort();
    assert_eq!(found, ["nap with a long name n=10", "nap with a long name n=9"]);
    assert!(
        normal.contains(
            "\nspeed-up of nap with a long name: over the first of this name, nap with a long name n="
        ),
        "{normal}"
    );
    for failed in [
        "  2 x measure bad n=1, bad n=2 on HOST: nonzero_exit: ",
        "  call raises on HOST: error: c.lua:10: no such thing",
        "  compile broken on HOST: compile_failed: ",
    ] {
        assert!(normal.contains(failed), "{failed} in {normal}");
    }
    assert!(!table.contains('\x1b'), "plain where nobody looks");
    assert_eq!(
        names(&show(&folder, &["--sort", "name"])),
        ["nap with a long name n=9", "nap with a long name n=10"]
    );
    assert_eq!(names(&show(&folder, &["--name", "*n=9"])), ["nap with a long name n=9"]);
    assert!(names(&show(&folder, &["--status", "nonzero_exit,error"])).is_empty());
    let no_order = folder.run(&["show", "c.lua", "--status", "broken"]);
    assert_eq!(no_order.code, Some(2));
    assert!(no_order.stderr.contains("one of ok, error, nonzero_exit, "), "{}", no_order.stderr);
}

#[test]
fn on_a_terminal_flags_are_cut_and_figures_are_not() {
    let folder = ended();
    let (rows, code) = Terminal::of_width(&folder, &["show", "c.lua", "--name", "nap*"], 86).end();
    assert_eq!(code, Some(0));
    let row = r"^[0-9a-f]{8}  nap with a long name n=[0-9]+ +\d+\.\d+  ms  +\[\d+\.\d+, \d+\.\d+\] +8 .*…$";
    let row = regex::Regex::new(row).unwrap();
    assert!(rows.iter().any(|line| row.is_match(line)), "{rows:#?}");
}

#[test]
fn one_task_is_shown_whole() {
    let folder = ended();
    let text = show(&folder, &["nap with a long name n=9"]);
    for part in [
        "measure nap with a long name n=9\n  median ",
        "\n  command       sleep 0.009\n",
        "\n  environment   DEPTH=9\n",
        "\n  n             8, fixed\n",
        "\nhistogram (bins of Freedman & Diaconis, at most 16)\n",
        "\n  warm-up       ",
        "\nsurroundings\n  processor     ",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = show(&folder, &["bad n=1"]);
    assert!(
        text.contains("\n  exit code     3\n") && text.contains("\n  stderr        it broke\n"),
        "{text}"
    );
    let text = show(&folder, &["said"]);
    assert!(
        text.contains("\n  stdout        hello\n") && text.contains("\n  stderr        warned\n"),
        "{text}"
    );
    let text = show(&folder, &["raises"]);
    assert!(text.contains("\n  message       c.lua:10: no such thing\n"), "{text}");
    let text = show(&folder, &["broken"]);
    assert!(text.contains("\n  diagnostics   prog.c:3: error: no such type\n"), "{text}");
    // By the beginning of its key, as the table has it.
    let table = show(&folder, &["--name", "*n=10"]);
    let key = table.lines().find(|line| line.contains(" n=10 ")).unwrap()[..8].to_owned();
    assert!(show(&folder, &[&key]).starts_with("measure nap with a long name n=10\n"), "{key}");
}

#[test]
fn lines_for_programs_are_those_of_the_journal() {
    let folder = ended();
    let journal = folder.read("c.lua.journal");
    let line = show(&folder, &["--json", "said"]);
    assert!(journal.contains(&line) && line.contains(r#""name":"said""#), "{line}");
    let lines = show(&folder, &["--json", "--sort", "name", "--name", "nap*"]);
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.lines().all(|line| journal.lines().any(|recorded| recorded == line)), "{lines}");
    assert!(lines.lines().next().unwrap().contains(r#"{"n":9}"#), "{lines}");
}

#[test]
fn what_is_not_there_is_said() {
    let folder = Folder::with("await(submit(measure { name = 'triad', cmd = { 'true' }, runs = 1 }))");
    let none = "harness: show: there is no campaign in DIR: name one, `harness show campaign.lua`\n";
    says(&folder, &["show"], 2, "", none);
    assert_eq!(folder.run(&["-q", "--start", "local", "c.lua"]).code, Some(0));
    let ran = folder.run(&["show", "c.lua", "trida"]);
    assert!(
        ran.stderr
            .starts_with("harness: show: there is no task `trida` (did you mean `triad`?); there are\n"),
        "{ran:#?}"
    );
    assert_eq!(ran.code, Some(2));
    let name_alone = "harness: show: there is no triad.journal; a campaign has a journal once it was started; one task of a \
                      campaign: `harness show c.lua.journal triad`\n";
    says(&folder, &["show", "triad"], 2, "", name_alone);
    folder.write("other.journal", "no journal\n");
    let ran = folder.run(&["show", "other.journal"]);
    assert!(ran.stderr.contains("this is no journal of harness") && ran.code == Some(4), "{ran:#?}");
}

const SEARCHES: &str = "
local search = require('harness').search
local function tune(name, baseline)
  return search.run { name = name, space = { a = { 1, 2, 4 } }, strategy = 'grid', in_flight = 1, baseline = baseline,
    confirm = { top = 2, max_rounds = 7 }, evaluate = function(p)
      return measure { name = 'of ' .. name, params = p, cmd = { 'echo', 'x: ' .. 100 * p.a }, runs = 2, warmup = 0, objective = 'x',
        metrics = { x = { 'x: ([%d.]+)', better = 'more' } } }
    end }
end
tune('given', { a = 2 })
tune('none')
";

/// The first trial of a search is no base of the others, its finalists are known by their points, and a trial by its number.
#[test]
fn a_search_has_its_baseline_and_its_finalists_their_points() {
    let folder = Folder::with(SEARCHES);
    let ran = folder.run(&["--start", "local", "--slots", "1", "c.lua"]);
    assert!(
        ran.code == Some(0) && ran.stderr.contains("  of given confirm trial 3 a=4: faster, "),
        "{ran:#?}"
    );
    let table = show(&folder, &[]);
    let line = |name: &str| {
        table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {table}"))
    };
    let speed_ups = ["of given a=1 ", "of given a=2 ", "of given a=4 "];
    for (name, speed_up) in speed_ups.into_iter().zip([" 0.50x", " 1.00x", " 2.00x"]) {
        assert!(line(name).contains(speed_up), "{table}");
    }
    assert!(!line("of none a=4 ").contains("00x") && !line("of none a=1 ").contains("base"), "{table}");
    assert!(
        line("of given confirm base a=2 ").contains(" base")
            && line("of none confirm base a=4 ").contains(" base")
    );
    let told = "\nspeed-up in the search given: over its baseline as measured at its end, of given confirm base a=2, median 200.0\n";
    assert!(table.contains(told) && table.matches("speed-up").count() == 2, "{table}");

    let ask = |question: &str| {
        let asked = folder.run(&["query", "c.lua", question, "--format", "csv"]);
        assert_eq!(asked.code, Some(0), "{asked:#?}");
        asked.stdout
    };
    let third = ask("select number, params->>'a' from measurements where search = 'given' and trial = 3");
    assert_eq!(third.lines().last(), Some("2,4"), "{third}");
    let finalist =
        ask("select params->>'a', search from comparisons where variant = 'trial 3' and search = 'given'");
    assert_eq!(finalist.lines().last(), Some("4,given"), "{finalist}");
}
