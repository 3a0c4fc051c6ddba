//! What is wrong with a command line, and what to type instead: said as everything else is said.
//!
//! Knows the words of the line; what they do is the subcommands'.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::Cli;
use crate::model::exit;
use crate::model::human::seconds;
use crate::model::nearest;
use crate::root::port::Start;
use crate::say::say;

/// Says what clap found, which may be that help is wanted; the exit code, which is `code` if it is an error.
pub(super) fn complain(error: &clap::Error, code: u8) -> ExitCode {
    match wrong_value(error) {
        Some(text) => say(format_args!("harness: {text}")),
        None => drop(error.print()),
    }
    ExitCode::from(if error.use_stderr() { code } else { exit::OK })
}

/// A value that one of the parsers below refused: they say what they expect.
fn wrong_value(error: &clap::Error) -> Option<String> {
    let expected = error.source().filter(|_| error.kind() == ErrorKind::ValueValidation)?;
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    };
    let option = text(ContextKind::InvalidArg)?.split([' ', '[', '=']).next()?;
    Some(format!("{option}: expected {expected}, got '{}'", text(ContextKind::InvalidValue)?))
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
        Err(_) => Err(format!(
            "what stands before `{name}` are options of a campaign, and not all are its own: they go after its name, and \
             `harness {name} --help` lists them"
        )),
    }
}

fn is_subcommand(word: &str) -> bool {
    Cli::command().get_subcommands().any(|command| command.get_name() == word)
}

pub(super) fn unknown_option(word: &str) -> String {
    let name = word.split('=').next().unwrap_or(word);
    let command = Cli::command();
    let options: Vec<String> =
        command.get_arguments().filter_map(|option| Some(format!("--{}", option.get_long()?))).collect();
    let near = nearest(name, options.iter().map(String::as_str));
    let hint = near.map(|option| format!(" (did you mean '{option}'?)")).unwrap_or_default();
    format!(
        "unknown option '{name}'{hint}; `harness --help` lists them, and options of the script go after its name"
    )
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
