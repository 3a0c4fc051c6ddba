//! Finds the paths in a Rust file: drops comments, strings and test code, and spells out what is left.
//! Knows nothing of rooms or rules.

/// An identifier, `::`, or one character of punctuation.
#[derive(Clone, Debug)]
pub struct Token {
    /// From 1.
    pub line: usize,
    /// As it stands in the file.
    pub text: String,
}

/// The code of a Rust file without comments and the contents of strings.
pub fn tokens(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let (mut at, mut line, mut found) = (0, 1, Vec::new());
    while at < bytes.len() {
        let rest = &text[at..];
        let length = match bytes[at] {
            b'/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => block_comment(rest),
            b'"' => quoted_length(rest, '"'),
            b'r' | b'b' | b'c' if raw_string(rest).is_some() => raw_string(rest).unwrap_or(1),
            b'\'' => char_or_lifetime(rest),
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                found.push(Token { line, text: rest[..end].to_owned() });
                end
            }
            _ if rest.starts_with("::") => {
                found.push(Token { line, text: "::".to_owned() });
                2
            }
            byte => {
                if !byte.is_ascii_whitespace() {
                    found.push(Token { line, text: rest.chars().take(1).collect() });
                }
                rest.chars().next().map_or(1, char::len_utf8)
            }
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    found
}

/// Length of a `/* … */`, which may contain others.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of what stands between two `quote`s, both included.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Length of a raw string such as `r#"…"#`, if one begins here. (`b"…"` is an identifier and a string.)
fn raw_string(rest: &str) -> Option<usize> {
    let open = rest.trim_start_matches(['b', 'c']).strip_prefix('r')?;
    let hashes = open.len() - open.trim_start_matches('#').len();
    let start = rest.len() - open.len() + hashes;
    let body = rest[start..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(body.find(&end).map_or(rest.len(), |at| start + 1 + at + end.len()))
}

/// Length of `'x'`, `'\n'` or of the quote that begins a lifetime.
fn char_or_lifetime(rest: &str) -> usize {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => quoted_length(rest, '\''),
        (Some(c), Some('\'')) => 2 + c.len_utf8(),
        _ => 1,
    }
}

/// Drops every item under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
pub fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let texts: Vec<&str> = tokens[at..].iter().take(7).map(|token| token.text.as_str()).collect();
        match texts[..] {
            ["#", "[", "cfg", "(", "test", ..] | ["#", "[", "cfg", "(", "all", "(", "test"] => {
                at = end_of_item(tokens, at);
            }
            _ => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// Index behind the item that begins at `start` with its attributes: behind its `;` or its closing brace.
fn end_of_item(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth -= 1,
            "}" => {
                depth -= 1;
                // The braces of `use crate::{…};` are closed by the semicolon.
                if depth == 0 && tokens.get(at + 1).is_none_or(|next| next.text != ";") {
                    return at + 1;
                }
            }
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Every path that begins at the root of the crate or of `std`, with groups in braces spelt out:
/// `crate::a::{b, c}` is two. `super` is `crate` when it climbs out of a module `depth` deep; `harness::` is how
/// `main.rs` says it.
pub fn paths(tokens: &[Token], depth: usize) -> Vec<(usize, Vec<String>)> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let supers = |at| (0..).take_while(|n| is(at + 2 * n, "super") && is(at + 2 * n + 1, "::")).count();
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let root = match tokens[at].text.as_str() {
            "crate" | "harness" if is(at + 1, "::") => Some(("crate", at + 2)),
            "std" if is(at + 1, "::") => Some(("std", at + 2)),
            "super" if supers(at) >= depth.max(1) => Some(("crate", at + 2 * supers(at))),
            _ => None,
        };
        at = match root {
            Some((root, behind)) => spell_out(tokens, behind, &[root.to_owned()], &mut found),
            None => at + (2 * supers(at)).max(1),
        };
    }
    found
}

/// Reads one path of a `use` tree or expression from `at` on; returns the index behind it.
fn spell_out(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let mut path = prefix.to_vec();
    let line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        if token.text == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| token.text != "}") {
                at = if tokens[at].text == "," { at + 1 } else { spell_out(tokens, at, &path, found) };
            }
            return at + 1;
        }
        if token.text != "self" && token.text != "*" {
            path.push(token.text.clone());
        }
        at += 1;
        match tokens.get(at).map(|token| token.text.as_str()) {
            Some("::") => at += 1,
            Some("as") => {
                at += 2;
                break;
            }
            _ => break,
        }
    }
    found.push((line, path));
    at
}
