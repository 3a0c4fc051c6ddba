//! Who reads what is typed, on a thread of its own: at a terminal with line editing, history and completion, else line by
//! line. The script's thread says when the next chunk is wanted, and gets it as a line from outside.
//!
//! What the state has to be asked for goes the same way, as a question, and is waited for a moment: the state may be busy.
//! Whether a chunk is whole an empty state knows.

use std::io::{self, BufRead};
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use mlua::Lua;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::{CHUNK, FAILURE, Named, QUESTION, Typed};
use crate::root::port::LineSender;

const PROMPT: &str = "> ";
/// So long Tab waits for a state that is busy.
const PATIENCE: Duration = Duration::from_millis(500);

/// Reads chunk after chunk, each when it is wanted, until the end of what is typed or until nobody wants another one.
pub(super) fn read(typed: &Typed, wanted: &Receiver<()>, lines: LineSender, named: Receiver<Named>) {
    let lines = Rc::new(lines);
    let mut next = match typed {
        Typed::Terminal { history } => {
            edited(history.as_deref(), lines.clone(), named).unwrap_or_else(unreadable)
        }
        Typed::Lines => plain(),
    };
    while wanted.recv().is_ok() {
        let (kind, text) = match next() {
            Ok(Some(chunk)) => (CHUNK, chunk),
            Ok(None) => return,
            Err(error) => (FAILURE, format!("cannot read what is typed: {error}").into_bytes()),
        };
        if !lines.send([&[kind], &*text].concat()) || kind == FAILURE {
            return;
        }
    }
}

/// Gives the next chunk; none after the last.
type Next = Box<dyn FnMut() -> io::Result<Option<Vec<u8>>>>;

/// From a terminal that there is not.
fn unreadable(error: ReadlineError) -> Next {
    let why = format!("the terminal: {error}");
    Box::new(move || Err(io::Error::other(why.clone())))
}

/// From a terminal.
fn edited(history: Option<&Path>, lines: Rc<LineSender>, named: Receiver<Named>) -> rustyline::Result<Next> {
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true).build();
    let mut editor: Editor<Typist, FileHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(Typist { grammar: Lua::new(), lines, named }));
    let history = history.map(Path::to_path_buf);
    if let Some(file) = &history {
        let _ = editor.load_history(file); // there is none the first time
    }
    Ok(Box::new(move || {
        loop {
            match editor.readline(PROMPT) {
                Ok(text) => {
                    if let Some(file) = &history {
                        let _ = editor.append_history(file); // a disk that is full is no reason to stop
                    }
                    return Ok(Some(text.into_bytes()));
                }
                Err(ReadlineError::Interrupted) => {} // what was typed is taken back
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }))
}

/// From standard input.
fn plain() -> Next {
    let grammar = Lua::new();
    Box::new(move || {
        let mut text = Vec::new();
        let mut input = io::stdin().lock();
        loop {
            let at_end = input.read_until(b'\n', &mut text)? == 0;
            if text.trim_ascii().is_empty() {
                text.clear();
            } else if at_end || !is_begun(&grammar, &text) {
                return Ok(Some(text));
            }
            if at_end {
                return Ok(None);
            }
        }
    })
}

/// Is this the beginning of a chunk, and not yet all of it?
fn is_begun(lua: &Lua, text: &[u8]) -> bool {
    let begun = |text: Vec<u8>| {
        let chunk = lua.load(text).set_name("=repl").set_mode(mlua::chunk::ChunkMode::Text);
        match chunk.into_function() {
            Ok(_) => Some(false),
            Err(mlua::Error::SyntaxError { incomplete_input, .. }) => incomplete_input.then_some(true),
            Err(_) => None,
        }
    };
    let text = text.strip_prefix(b"=").unwrap_or(text);
    // `f(` is no statement yet, and no expression: what it may become decides.
    begun([b"return ", text].concat()).or_else(|| begun(text.into())).unwrap_or(false)
}

/// What the editor knows of Lua.
struct Typist {
    /// Nothing runs in it.
    grammar: Lua,
    lines: Rc<LineSender>,
    named: Receiver<Named>,
}

impl Typist {
    /// The names there are in what `path` leads to; none if the state has no time to say.
    fn names(&self, path: &str) -> Vec<String> {
        let question = [&[QUESTION], path.as_bytes()].concat();
        if !self.lines.send(question) {
            return Vec::new();
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.named.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Named { path: of, names }) if of == path => return names,
                Ok(_) => {} // an answer that nobody waited for any more
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Vec::new(),
            }
        }
    }
}

impl Completer for Typist {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let typed = &line[..at];
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_.:".contains(c);
        let word = typed.rfind(|c| !is_word(c)).map_or(typed, |last| &typed[last + 1..]);
        let (path, name) = word.rfind(['.', ':']).map_or(("", word), |dot| (&word[..dot], &word[dot + 1..]));
        let names = self.names(path).into_iter().filter(|candidate| candidate.starts_with(name)).collect();
        Ok((at - name.len(), names))
    }
}

impl Validator for Typist {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_begun(&self.grammar, context.input().as_bytes()) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Valid(None),
        })
    }
}

impl Hinter for Typist {
    type Hint = String;
}

impl Highlighter for Typist {}

impl Helper for Typist {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_whole_when_nothing_is_missing() {
        let lua = Lua::new();
        for (text, begun) in [
            ("1 + 1", false),
            ("x = 3", false),
            ("f(", true),
            ("=f(1)", false),
            ("{ 1,", true),
            ("for i = 1, 3 do", true),
            ("for i = 1, 3 do\nprint(i)\nend", false),
            ("function f()\n", true),
            ("print [[\nlong", true),
            ("x = = 3", false),
            ("", false),
        ] {
            assert_eq!(is_begun(&lua, text.as_bytes()), begun, "{text}");
        }
    }
}
