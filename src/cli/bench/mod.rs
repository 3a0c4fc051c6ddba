//! `harness bench`: measures commands without a script.
//!
//! A thin front: what is asked for on the command line becomes a plan for a small campaign (`bench.lua`), which runs on
//! this machine and says what came of it; its journal is exported. Names of options, and the exported files, are hyperfine's where
//! they mean the same. No journal is left unless one is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::files;
use super::own::{self, Own};
use super::run;
use super::usage::{duration, whole};
use crate::journal::{self, JournalError, is_journal};
use crate::model::{Detail, MeasureResult, Outcome, Record, Status, exit, nearest};
use crate::process::Signals;
use crate::query::{TextFormat, Timing, hyperfine_json, hyperfine_rows};
use crate::root::port::{PoolSpec, Start};
use crate::root::{Mpi, Started};
use crate::say::say;

/// More commands than this are more than anybody compares: a mistyped list.
const MOST: usize = 1000;
/// Names that hyperfine's `-S` is followed by.
const SHELLS: [&str; 9] = ["sh", "ash", "bash", "csh", "dash", "fish", "ksh", "tcsh", "zsh"];

#[derive(Args)]
pub(super) struct BenchArgs {
    /// The commands, each one word of the shell: 'gzip -k file'. Several are run in turns and compared with the first.
    #[arg(value_name = "COMMAND", required = true)]
    commands: Vec<String>,
    /// Runs before those that count, of each command.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = whole::<0, { u32::MAX }>)]
    warmup: u32,
    /// Exactly so many runs; of several commands so many rounds, or until it is known (default: until precise, or known).
    #[arg(short, long, value_name = "N", value_parser = whole::<1, { u32::MAX }>, conflicts_with = "max_runs")]
    runs: Option<u32>,
    /// At most so many runs, or rounds.
    #[arg(short = 'M', long, value_name = "N", value_parser = whole::<1, { u32::MAX }>)]
    max_runs: Option<u32>,
    /// At most so long (of one command "60 s" unless said).
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    max_time: Option<f64>,
    /// Replaces {VAR} in commands and names by each of the values; several lists are combined.
    #[arg(short = 'L', long, value_names = ["VAR", "VALUES"], num_args = 2, action = clap::ArgAction::Append)]
    parameter_list: Vec<String>,
    /// What a command is called, in their order.
    #[arg(short = 'n', long, value_name = "NAME")]
    command_name: Vec<String>,
    /// Run the commands by a shell (/bin/sh unless named); `none` is the default.
    #[arg(short = 'S', long, value_name = "SHELL", num_args = 0..=1, require_equals = true)]
    shell: Option<Option<String>>,
    /// As without it: no shell.
    #[arg(short = 'N', conflicts_with = "shell")]
    no_shell: bool,
    /// Any exit code will do.
    #[arg(short, long)]
    ignore_failure: bool,
    /// Write the figures as hyperfine does.
    #[arg(long, value_name = "FILE")]
    export_json: Option<PathBuf>,
    /// Likewise, a line for each command.
    #[arg(long, value_name = "FILE")]
    export_csv: Option<PathBuf>,
    /// Keep the records here (an earlier journal is set aside).
    #[arg(long, value_name = "PATH")]
    journal: Option<PathBuf>,
}

/// What the campaign is to do.
#[derive(Serialize)]
struct Plan {
    /// Where the commands run.
    cwd: String,
    commands: Vec<Command>,
    warmup: u32,
    runs: Option<u32>,
    max_runs: Option<u32>,
    max_time: Option<f64>,
    ignore_failure: bool,
    /// Where it says whose runs the records of its journal are.
    places: String,
}

#[derive(Debug, PartialEq, Serialize)]
struct Command {
    /// As it was typed, with the values of its parameters.
    text: String,
    /// What is shown.
    name: String,
    argv: Vec<String>,
    /// In the order of the lists.
    parameters: Vec<(String, String)>,
}

/// Does it; the exit code.
pub(super) fn bench(arguments: &BenchArgs) -> ExitCode {
    let ended = plan(arguments).map_err(|text| (exit::USAGE, text)).and_then(|plan| play(arguments, plan));
    ended.unwrap_or_else(|(code, text)| {
        say(format_args!("harness bench: {text}"));
        ExitCode::from(code)
    })
}

fn play(arguments: &BenchArgs, plan: Plan) -> Result<ExitCode, (u8, String)> {
    check_files(arguments)?;
    let limits = run::limits().map_err(|text| (exit::USAGE, text))?;
    let signals =
        Signals::open().map_err(|error| (exit::INTERNAL, format!("cannot receive signals: {error}")))?;
    let folder = own::folder("bench").map_err(|text| (exit::JOURNAL, text))?;
    let (file, places) = (folder.path().join("plan"), folder.path().join("places"));
    let plan = Plan { places: places.display().to_string(), ..plan };
    fs::write(&file, serde_json::to_vec(&plan).unwrap_or_default())
        .map_err(|error| (exit::JOURNAL, own::unwritten(&file, &error)))?;
    let journal = arguments.journal.clone().unwrap_or_else(|| folder.path().join("journal"));
    let campaign = Own {
        name: "bench.lua",
        text: include_str!("bench.lua"),
        folder: None,
        args: vec![file.display().to_string()],
        pool: PoolSpec { workers: Some(1), slots: Some(1), start: Some(Start::Local), ..PoolSpec::default() },
        host_file: None,
        journal: Some(journal.clone()),
        listener: None,
    };
    let started = Started { mpi: Mpi::Idle, ranks: Vec::new() };
    let ended = campaign.play(folder.path(), started, signals, limits);
    match ended.message {
        Some(text) => Err((ended.code, text)),
        None => export(arguments, &plan, &journal).map(|()| ExitCode::from(ended.code)),
    }
}

/// What could not be written would be known only when all is measured; and what is no journal is not set aside as one.
fn check_files(arguments: &BenchArgs) -> Result<(), (u8, String)> {
    for path in [&arguments.export_json, &arguments.export_csv].into_iter().flatten() {
        files::can_write(path).map_err(|error| unwritten(path, &error))?;
    }
    let json = ("--export-json", arguments.export_json.as_deref());
    if let Some(text) = files::named_twice(json, ("--export-csv", arguments.export_csv.as_deref())) {
        return Err((exit::USAGE, text));
    }
    let is_foreign = |path: &&PathBuf| {
        fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() > 0) && !is_journal(path)
    };
    match arguments.journal.as_ref().filter(is_foreign) {
        Some(path) => Err((exit::JOURNAL, JournalError::NotAJournal { path: path.clone() }.to_string())),
        None => Ok(()),
    }
}

/// Writes what is to be exported, in hyperfine's forms.
fn export(arguments: &BenchArgs, plan: &Plan, journal: &Path) -> Result<(), (u8, String)> {
    if arguments.export_json.is_none() && arguments.export_csv.is_none() {
        return Ok(());
    }
    let records = journal::read(journal).map_err(|error| (exit::JOURNAL, error.to_reader()))?.records;
    let places = fs::read(&plan.places).map_err(|error| (exit::INTERNAL, error.to_string()))?;
    let places: Vec<Vec<usize>> =
        serde_json::from_slice(&places).map_err(|error| (exit::INTERNAL, error.to_string()))?;
    let mut results = results(records, &places);
    // Exit codes are known where only 0 was let through.
    let exit_code = (!plan.ignore_failure).then_some(0);
    let timing = |(command, place): (&Command, usize)| {
        let result = results.remove(&place)?;
        Timing::new(command.name.clone(), command.parameters.clone(), exit_code, &result)
    };
    let timings: Vec<Timing> = plan.commands.iter().zip(1..).filter_map(timing).collect();
    if let Some(path) = &arguments.export_json {
        write(path, &hyperfine_json(&timings))?;
    }
    let Some(path) = &arguments.export_csv else { return Ok(()) };
    let parameters: Vec<String> =
        plan.commands.iter().take(1).flat_map(|it| &it.parameters).map(|(name, _)| name.clone()).collect();
    write(path, &TextFormat::Csv.write(&hyperfine_rows(&timings, &parameters)))
}

fn write(path: &Path, text: &str) -> Result<(), (u8, String)> {
    files::write(path, text.as_bytes()).map_err(|error| unwritten(path, &error))
}

fn unwritten(path: &Path, error: &io::Error) -> (u8, String) {
    (exit::CANNOT_WRITE, format!("cannot write {}: {error}", path.display()))
}

/// What each command did at last, by its place; nothing of one that failed.
fn results(records: Vec<Record>, places: &[Vec<usize>]) -> BTreeMap<usize, MeasureResult> {
    let ended = records.into_iter().filter_map(Record::into_task).map(|(_, outcome)| outcome);
    let sides = |outcome: Outcome| match outcome.detail {
        Detail::Measure(result) => vec![(outcome.status, *result)],
        Detail::Compare(result) => {
            result.variants.into_iter().map(|side| (side.status, side.result)).collect()
        }
        _ => Vec::new(),
    };
    let all = ended.zip(places).flat_map(|(outcome, places)| places.iter().zip(sides(outcome)));
    let mut results = BTreeMap::new();
    for (place, (status, result)) in all {
        if status == Status::Ok {
            results.insert(*place, result);
        } else {
            results.remove(place);
        }
    }
    results
}

fn plan(arguments: &BenchArgs) -> Result<Plan, String> {
    let here = std::env::current_dir().map_err(|error| format!("which folder is this? {error}"))?;
    let commands = commands(arguments)?;
    if commands.len() == 1 && arguments.runs.is_some() && arguments.max_time.is_some() {
        return Err(
            "--runs of one command are all done, and --max-time ends none of them: give one of the two, or \
                    --max-runs in the place of --runs"
                .into(),
        );
    }
    Ok(Plan {
        commands,
        warmup: arguments.warmup,
        runs: arguments.runs,
        max_runs: arguments.max_runs,
        max_time: arguments.max_time,
        ignore_failure: arguments.ignore_failure,
        places: String::new(),
        cwd: here.display().to_string(),
    })
}

/// Each command with each combination of the values, the last list changing fastest.
fn commands(arguments: &BenchArgs) -> Result<Vec<Command>, String> {
    let points = points(&arguments.parameter_list)?;
    let shell = shell(arguments)?;
    check_placeholders(arguments)?;
    let all = arguments.commands.len() * points.len();
    if all > MOST {
        return Err(format!(
            "{all} commands, which is more than {MOST}: write a campaign, `harness FILE.lua`"
        ));
    }
    if arguments.command_name.len() > all {
        return Err(format!("{} names for {all} commands", arguments.command_name.len()));
    }
    let mut list: Vec<Command> = Vec::new();
    for (nth, given) in arguments.commands.iter().enumerate() {
        for point in &points {
            let text = filled_in(given, point);
            // A name for each command as typed, or for each as run.
            let names = &arguments.command_name;
            let by_typed = names.len() <= arguments.commands.len();
            let name = names.get(if by_typed { nth } else { list.len() });
            let name = name.map_or_else(|| text.clone(), |name| filled_in(name, point));
            let argv = words(&text, shell)?;
            list.push(Command { text, name, argv, parameters: point.clone() });
        }
    }
    Ok(list)
}

/// The combinations of parameters; one empty one if there are no lists.
fn points(lists: &[String]) -> Result<Vec<Vec<(String, String)>>, String> {
    let mut points = vec![Vec::new()];
    for pair in lists.chunks_exact(2) {
        let (variable, values) = (&pair[0], pair[1].split(','));
        if points.iter().any(|point: &Vec<(String, String)>| point.iter().any(|(name, _)| name == variable)) {
            return Err(format!("there are two lists for {{{variable}}}"));
        }
        let with = |point: &Vec<_>, value: &str| {
            [point.as_slice(), &[(variable.clone(), value.to_owned())]].concat()
        };
        points = points
            .iter()
            .flat_map(|point| values.clone().map(|value| with(point, value)).collect::<Vec<_>>())
            .collect();
    }
    Ok(points)
}

/// A misspelt placeholder would go to the program as it stands.
fn check_placeholders(arguments: &BenchArgs) -> Result<(), String> {
    let lists: Vec<&str> = arguments.parameter_list.chunks_exact(2).map(|pair| pair[0].as_str()).collect();
    for text in arguments.commands.iter().chain(&arguments.command_name) {
        let unknown = placeholders(text).find(|name| !lists.contains(name));
        if let Some((name, near)) =
            unknown.and_then(|name| Some((name, nearest(name, lists.iter().copied())?)))
        {
            return Err(format!("`{text}`: there is no list for {{{name}}} (did you mean {{{near}}}?)"));
        }
    }
    let is_used =
        |name: &&str| arguments.commands.iter().any(|text| placeholders(text).any(|used| used == *name));
    match lists.iter().find(|name| !is_used(name)) {
        Some(name) => Err(format!("there is a list for {{{name}}}, which stands in no command")),
        None => Ok(()),
    }
}

/// What stands in braces and could be the name of a list.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    let could_be = |name: &&str| !name.is_empty() && !name.contains(['{', ' ', '$', ';', '"', '\'']);
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).filter(could_be)
}

fn filled_in(text: &str, point: &[(String, String)]) -> String {
    point.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// By which shell the commands are run, if by one. A word behind `--shell` is a command, whatever hyperfine makes of it.
fn shell(arguments: &BenchArgs) -> Result<Option<&str>, String> {
    let Some(shell) = &arguments.shell else { return Ok(None) };
    if let Some(shell) = shell {
        return Ok(Some(shell.as_str()).filter(|shell| *shell != "none"));
    }
    let is_shell = |text: &&String| {
        let name = text.rsplit('/').next().unwrap_or_default();
        SHELLS.contains(&name) || *text == "none"
    };
    match arguments.commands.iter().find(is_shell) {
        Some(name) => {
            Err(format!("`{name}` would be measured as a command: a shell is named --shell={name}"))
        }
        None => Ok(Some("/bin/sh")),
    }
}

fn words(text: &str, shell: Option<&str>) -> Result<Vec<String>, String> {
    if let Some(shell) = shell {
        let shell =
            shell_words::split(shell).map_err(|_| format!("--shell: a quote is not closed in `{shell}`"))?;
        return Ok([shell, vec!["-c".into(), text.into()]].concat());
    }
    let words = shell_words::split(text).map_err(|_| format!("a quote is not closed in `{text}`"))?;
    match for_a_shell(text) {
        _ if words.is_empty() => Err("a command is empty".into()),
        Some(word) => {
            Err(format!("`{text}`: `{word}` is the shell's, and none is started; ask for one with --shell"))
        }
        None => Ok(words),
    }
}

/// The first of what only a shell makes something of, which would go to the program as it stands: operators, variables,
/// patterns, `~`, and variables set before the program.
fn for_a_shell(text: &str) -> Option<&str> {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if first.split_once('=').is_some_and(|(name, _)| is_name(name)) {
        return Some(first);
    }
    let (mut quote, mut before, mut chars) = (None, ' ', text.char_indices());
    while let Some((at, c)) = chars.next() {
        let rest = &text[at..];
        let run = |also: fn(char) -> bool| {
            let end = rest.char_indices().skip(1).find(|(_, c)| !also(*c)).map_or(rest.len(), |(end, _)| end);
            Some(&rest[..end])
        };
        match (quote, c) {
            (Some('\''), _) if c != '\'' => {}
            (_, '\\') => _ = chars.next(),
            (Some(open), _) if c == open => quote = None,
            (_, '`') => return Some("`"),
            (_, '$')
                if rest[1..].starts_with(|c: char| c.is_ascii_alphanumeric() || "_{(?#@*!$-".contains(c)) =>
            {
                return run(|c| c.is_ascii_alphanumeric() || "_{}(".contains(c));
            }
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '|' | '&' | ';' | '<' | '>') => return run(|c| "|&;<>".contains(c)),
            (None, '*') => return Some("*"),
            (None, '~') if before.is_whitespace() => return Some("~"),
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        bench: BenchArgs,
    }

    fn planned(line: &[&str]) -> Result<Vec<(String, String, Vec<String>)>, String> {
        let line = Line::try_parse_from([&["bench"], line].concat()).map_err(|error| error.to_string())?;
        let commands = commands(&line.bench)?;
        Ok(commands.into_iter().map(|command| (command.text, command.name, command.argv)).collect())
    }

    fn names(line: &[&str]) -> Vec<String> {
        planned(line).unwrap().into_iter().map(|(_, name, _)| name).collect()
    }

    #[test]
    fn words_are_split_as_a_shell_does_and_a_shell_is_started_only_if_asked() {
        let argv = |line: &[&str]| planned(line).unwrap()[0].2.clone();
        assert_eq!(argv(&["grep -c 'a b' file"]), ["grep", "-c", "a b", "file"]);
        assert_eq!(argv(&["-N", "true"]), ["true"]);
        assert_eq!(argv(&["--shell", "a | b"]), ["/bin/sh", "-c", "a | b"]);
        assert_eq!(argv(&["--shell=bash -e", "a | b"]), ["bash", "-e", "-c", "a | b"]);
        assert_eq!(argv(&["--shell=none", "a"]), ["a"]);
        for (line, says) in [
            ("a | b", "`a | b`: `|` is the shell's, and none is started; ask for one with --shell"),
            ("a 'b", "a quote is not closed in `a 'b`"),
            (
                "a \"$HOME/b\"",
                "`a \"$HOME/b\"`: `$HOME` is the shell's, and none is started; ask for one with --shell",
            ),
            ("", "a command is empty"),
        ] {
            assert_eq!(planned(&[line]).unwrap_err(), says);
        }
    }

    #[test]
    fn what_only_a_shell_understands_is_found_where_it_is_not_quoted() {
        for (text, found) in [
            ("a $HOME", "$HOME"),
            ("a \"${b}\"", "${b}"),
            ("a `b`", "`"),
            ("ls *.c", "*"),
            ("ls ~/b", "~"),
            ("a & b", "&"),
            ("a;b", ";"),
            ("a 2>&1", ">&"),
            ("OMP_NUM_THREADS=4 a", "OMP_NUM_THREADS=4"),
        ] {
            assert_eq!(for_a_shell(text), Some(found), "{text}");
        }
        for text in [
            "grep 'a$|*' b",
            "grep \"a$\" b",
            "find . -name \\*.c",
            "a b~ c=1",
            "./x=1 a",
            "a \"b * c; d\"",
            "a 'it' \"'\" b",
        ] {
            assert_eq!(for_a_shell(text), None, "{text}");
        }
    }

    #[test]
    fn lists_of_parameters_are_combined() {
        let line = ["-L", "n", "1,2", "-L", "t", "a,b", "run {n} {t}"];
        assert_eq!(names(&line), ["run 1 a", "run 1 b", "run 2 a", "run 2 b"]);
        assert_eq!(names(&["-L", "n", "1,2", "-n", "size {n}", "run {n}"]), ["size 1", "size 2"]);
        assert_eq!(names(&["-n", "first", "a", "b"]), ["first", "b"]);
        assert_eq!(names(&["-n", "x", "-n", "y", "-L", "n", "1,2", "run {n}"]), ["x", "y"]);
        assert!(planned(&["-n", "x", "-n", "y", "a"]).unwrap_err().starts_with("2 names for 1 commands"));
        assert!(planned(&["-L", "n", "1", "-L", "n", "2", "a"]).unwrap_err().contains("two lists for {n}"));
        let misspelt = planned(&["-L", "var", "1,2", "sleep {var}{vra}"]).unwrap_err();
        assert_eq!(misspelt, "`sleep {var}{vra}`: there is no list for {vra} (did you mean {var}?)");
        let unused = planned(&["-L", "n", "1,2", "awk {print}"]).unwrap_err();
        assert_eq!(unused, "there is a list for {n}, which stands in no command");
        assert_eq!(names(&["-L", "n", "1", "awk {print} {n}"]), ["awk {print} 1"]);
        let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
        assert!(planned(&["-L", "n", &many.join(","), "a {n}"]).unwrap_err().starts_with("1001 commands"));
    }
}
