//! What is wrong with a command line, and what to type instead: said as everything else is said.
//!
//! Knows the words of the line; what they do is the subcommands'.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::{Cli, print};
use crate::model::exit;
use crate::model::human::seconds;
use crate::model::nearest;
use crate::root::port::Start;
use crate::say::say;

/// Says what clap found of a line with this first word, which may be that help is wanted; the exit code, which is `code` if
/// it is an error.
pub(super) fn complain(error: &clap::Error, command: Option<&str>, code: u8) -> ExitCode {
    let unknown = || command.filter(|command| *command == "batch").and_then(|_| unknown_in_batch(error));
    match wrong_value(error).or_else(unknown) {
        Some(text) => say(format_args!("harness: {text}")),
        None if error.use_stderr() => drop(error.print()),
        None => return ExitCode::from(print::told("help", error.print(), exit::OK)),
    }
    ExitCode::from(code)
}

/// A value that one of the parsers below refused: they say what they expect.
fn wrong_value(error: &clap::Error) -> Option<String> {
    let expected = error.source().filter(|_| error.kind() == ErrorKind::ValueValidation)?;
    let option = context(error, ContextKind::InvalidArg)?.split([' ', '[', '=']).next()?;
    Some(format!("{option}: expected {expected}, got '{}'", context(error, ContextKind::InvalidValue)?))
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

/// A word of `harness batch` that is none of its options: harness's own, the batch system's or the script's?
fn unknown_in_batch(error: &clap::Error) -> Option<String> {
    let word =
        context(error, ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)?;
    let name = word.split('=').next().unwrap_or(word);
    let command = Cli::command();
    let options = command.find_subcommand("batch").map(options).unwrap_or_default();
    let hint = match name {
        "--fresh" => "; each further job would begin anew, too: move the journal away instead".into(),
        "--deadline" => "; the job's own end is kept, which --time asks for".into(),
        "--hostfile" => "; the nodes are those of the job".into(),
        name => nearly(name, &options),
    };
    Some(format!(
        "batch: unknown option '{name}'{hint}. `harness batch --help` lists its options, --directive hands others to the \
         batch system, and what the script gets goes after `--`: `harness batch FILE.lua --nodes 2 -- {name}`"
    ))
}

/// Options before a subcommand are taken for its own where it has them. Without a subcommand the line is as it is.
pub(super) fn in_order(cli: Cli, arguments: &[OsString]) -> Result<Cli, String> {
    let words = &cli.run.script;
    let is_option = |word: &&OsString| word.to_string_lossy().starts_with('-');
    let options = words.iter().take_while(is_option).count();
    let named = words.get(options).and_then(|word| word.to_str());
    let Some(name) = named.filter(|name| is_subcommand(name) && !Path::new(name).exists()) else {
        return Ok(cli);
    };
    let at = arguments.len() - words.len() + options;
    let line = [&arguments[..1], &[name.into()], &arguments[1..at], &arguments[at + 1..]].concat();
    match Cli::try_parse_from(line) {
        Ok(meant) => Ok(meant),
        // The first of them is none of harness's own; an error of `compare` has its own exit code.
        Err(_) if options > 0 && name != "compare" => Ok(cli),
        Err(_) => {
            let hint = cli
                .run
                .common
                .journal
                .as_deref()
                .and_then(|journal| with_journal(name, journal))
                .unwrap_or_default();
            Err(format!(
                "what stands before `{name}` are options of a campaign, and not all are its own: they go after its name{hint}, \
                 and `harness {name} --help` lists them"
            ))
        }
    }
}

/// The line that names a journal to a subcommand that takes one.
fn with_journal(name: &str, journal: &Path) -> Option<String> {
    let cli = Cli::command();
    let command = cli.find_subcommand(name)?;
    let takes = |word: &clap::Arg| {
        word.get_value_names().is_some_and(|names| names.iter().any(|name| name.contains("JOURNAL")))
    };
    let words = command.get_positionals().filter(|word| takes(word) || word.is_required_set());
    let words = words.map(|word| {
        if takes(word) { journal.display().to_string() } else { word.get_id().as_str().to_uppercase() }
    });
    let line: Vec<String> = words.collect();
    let names_it = command.get_positionals().any(takes);
    names_it.then(|| format!(" (the journal without --journal: `harness {name} {}`)", line.join(" ")))
}

fn is_subcommand(word: &str) -> bool {
    Cli::command().get_subcommands().any(|command| command.get_name() == word)
}

pub(super) fn unknown_option(word: &str) -> String {
    if Path::new(word).is_file() {
        return format!("'{word}' is taken for an option: the script of that name is `harness ./{word}`");
    }
    let name = word.split('=').next().unwrap_or(word);
    let hint = nearly(name, &options(&Cli::command()));
    format!(
        "unknown option '{name}'{hint}; `harness --help` lists them, and options of the script go after its name"
    )
}

/// The options of a command, by their long names.
fn options(command: &clap::Command) -> Vec<String> {
    let names = command.get_arguments().filter_map(|option| option.get_long_and_visible_aliases());
    names.flatten().map(|name| format!("--{name}")).collect()
}

fn nearly(name: &str, options: &[String]) -> String {
    let near = nearest(name, options.iter().map(String::as_str));
    near.map(|option| format!(" (did you mean '{option}'?)")).unwrap_or_default()
}

/// What a script gets of the words behind it, and whether a `--` says that all of them are its own.
pub(super) fn script_args(words: &[OsString]) -> (Vec<String>, bool) {
    let are_meant = words.first().is_some_and(|word| word == "--");
    let words = words.iter().skip(usize::from(are_meant));
    (words.map(|word| word.to_string_lossy().into_owned()).collect(), are_meant)
}

/// Those of harness's own that many scripts have, too.
const OF_SCRIPTS: [&str; 5] = ["--help", "--version", "--seed", "--quiet", "--verbose"];

/// Options that harness has too, in the arguments of a script: they may be the script's own, and are often not meant so.
pub(super) fn misplaced(args: &[String], script: &Path) -> Option<String> {
    let mut ours = options(&Cli::command());
    ours.retain(|option| !OF_SCRIPTS.contains(&option.as_str()));
    let names =
        args.iter().take_while(|word| *word != "--").map(|word| word.split('=').next().unwrap_or(word));
    let mut found: Vec<&str> = names.filter(|name| ours.iter().any(|option| option == name)).collect();
    found.dedup();
    let (first, script) = (found.first()?, script.display());
    Some(format!(
        "`{}` after the script {} the script's; harness's own go before it: `harness {first} … {script}` (if the script's are \
         meant: `harness {script} -- {first} …`)",
        found.join("`, `"),
        if found.len() == 1 { "is" } else { "are" }
    ))
}

/// What a script that is not there may have meant: one with `.lua` behind its name, or nearly a subcommand.
pub(super) fn meant(word: &str) -> String {
    let script = format!("{word}.lua");
    let command = Cli::command();
    let names =
        command.get_subcommands().filter(|command| !command.is_hide_set()).map(|command| command.get_name());
    let near = if Path::new(&script).is_file() { Some(script.as_str()) } else { nearest(word, names) };
    near.map(|name| format!("; did you mean `harness {name}`?")).unwrap_or_default()
}

// What options of harness may be: the value, or what is expected.

pub(super) fn duration(word: &str) -> Result<f64, String> {
    seconds(word).ok_or_else(|| "a duration such as \"90 s\" or \"5 min\"".into())
}

pub(super) fn part(word: &str) -> Result<f64, String> {
    let part = word.parse().ok().filter(|part| *part > 0.0 && *part < 1.0);
    part.ok_or_else(|| "a part between 0 and 1, such as 0.01 for 1 %".into())
}

pub(super) fn whole<const LOW: u32, const HIGH: u32>(word: &str) -> Result<u32, String> {
    let number = word.parse().ok().filter(|number| (LOW..=HIGH).contains(number));
    number.ok_or_else(|| match HIGH {
        u32::MAX => format!("a whole number from {LOW}"),
        high => format!("a whole number from {LOW} to {high}"),
    })
}

pub(super) fn seed(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("a whole number from 0 to {}", u64::MAX))
}

pub(super) fn start(word: &str) -> Result<Start, String> {
    Start::of_word(word).ok_or_else(|| format!("one of {}", Start::ALL.map(Start::word).join(", ")))
}
