//! Lua patterns as regular expressions, so that keepers find figures in output without Lua.
//!
//! Bytes, not characters, as in Lua. What a regular expression cannot say (`%b`, `%f`, back-references,
//! position captures) is an error that says what to write instead.

use std::fmt::Write;

/// A translated pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Translated {
    /// For `regex::bytes`.
    pub regex: String,
    /// Captures it has.
    pub groups: usize,
}

/// Translates a Lua pattern.
pub fn translate(pattern: &[u8]) -> Result<Translated, String> {
    let mut out = Translator { rest: pattern, regex: "(?s-u)".into(), groups: 0, open: 0 };
    if let Some(rest) = pattern.strip_prefix(b"^") {
        out.regex.push_str(r"\A");
        out.rest = rest;
    }
    while !out.rest.is_empty() {
        out.item()?;
    }
    if out.open > 0 {
        return Err("unfinished capture: a `(` without its `)`".into());
    }
    regex::bytes::Regex::new(&out.regex).map_err(|error| format!("the pattern is too large: {error}"))?;
    Ok(Translated { regex: out.regex, groups: out.groups })
}

struct Translator<'a> {
    rest: &'a [u8],
    regex: String,
    groups: usize,
    open: usize,
}

impl Translator<'_> {
    fn item(&mut self) -> Result<(), String> {
        match self.rest {
            [b'(', b')', ..] => {
                Err("a position capture `()` is not a number of the output; capture text".into())
            }
            [b'(', rest @ ..] => {
                self.groups += 1;
                self.open += 1;
                self.regex.push('(');
                self.rest = rest;
                Ok(())
            }
            [b')', rest @ ..] => {
                if self.open == 0 {
                    return Err("a `)` without its `(`; write `%)` for the character".into());
                }
                self.open -= 1;
                self.regex.push(')');
                self.rest = rest;
                Ok(())
            }
            [b'$'] => {
                self.regex.push_str(r"\z");
                self.rest = &[];
                Ok(())
            }
            _ => {
                self.single()?;
                self.quantifier();
                Ok(())
            }
        }
    }

    /// One character class.
    fn single(&mut self) -> Result<(), String> {
        match self.rest {
            [b'%'] => Err("it ends with `%`; write `%%` for the character".into()),
            [b'%', b'b', ..] => Err(
                "`%b` (balanced text) is not possible here; capture the number with a class such as `([%d.]+)`"
                    .into(),
            ),
            [b'%', b'f', ..] => Err(
                "`%f` (frontier) is not possible here; write what stands before the number, such as `[^%d]`".into(),
            ),
            [b'%', b'0'..=b'9', ..] => {
                Err("back-references `%1` are not possible here; write the text out".into())
            }
            [b'%', letter, rest @ ..] => {
                match class(*letter) {
                    Some((inside, negated)) => {
                        let not = if negated { "^" } else { "" };
                        let _ = write!(self.regex, "[{not}{inside}]");
                    }
                    None => literal(&mut self.regex, *letter),
                }
                self.rest = rest;
                Ok(())
            }
            [b'[', ..] => self.set(),
            [b'.', rest @ ..] => {
                self.regex.push('.');
                self.rest = rest;
                Ok(())
            }
            [byte, rest @ ..] => {
                literal(&mut self.regex, *byte);
                self.rest = rest;
                Ok(())
            }
            [] => Ok(()),
        }
    }

    fn quantifier(&mut self) {
        let [sign @ (b'*' | b'+' | b'?' | b'-'), rest @ ..] = self.rest else { return };
        self.regex.push_str(match sign {
            b'*' => "*",
            b'+' => "+",
            b'?' => "?",
            _ => "*?",
        });
        self.rest = rest;
    }

    fn set(&mut self) -> Result<(), String> {
        const UNFINISHED: &str = "unfinished set: a `[` without its `]`; write `%[` for the character";
        self.rest = &self.rest[1..];
        self.regex.push('[');
        if let [b'^', rest @ ..] = self.rest {
            self.regex.push('^');
            self.rest = rest;
        }
        let mut first = true;
        loop {
            match self.rest {
                [] => return Err(UNFINISHED.into()),
                [b']', rest @ ..] if !first => {
                    self.regex.push(']');
                    self.rest = rest;
                    return Ok(());
                }
                [b'%', letter, rest @ ..] => {
                    match class(*letter) {
                        Some((inside, false)) => self.regex.push_str(inside),
                        Some((inside, true)) => {
                            let _ = write!(self.regex, "[^{inside}]");
                        }
                        None => literal(&mut self.regex, *letter),
                    }
                    self.rest = rest;
                }
                // To Lua it is the range up to `%`, and what stands behind that is part of the set, `]` too.
                [low, b'-', b'%', ..] => {
                    return Err(format!(
                        "the range `{}-%` in a set has no end that means anything; write `%-` for the character `-`",
                        char::from(*low)
                    ));
                }
                [low, b'-', high, rest @ ..] if *high != b']' => {
                    if low > high {
                        return Err(format!(
                            "the range `{}-{}` in a set is upside down",
                            char::from(*low),
                            char::from(*high)
                        ));
                    }
                    literal(&mut self.regex, *low);
                    self.regex.push('-');
                    literal(&mut self.regex, *high);
                    self.rest = rest;
                }
                [byte, rest @ ..] => {
                    literal(&mut self.regex, *byte);
                    self.rest = rest;
                }
            }
            first = false;
        }
    }
}

/// What stands inside the brackets for a class letter, and whether it is negated.
fn class(letter: u8) -> Option<(&'static str, bool)> {
    let inside = match letter.to_ascii_lowercase() {
        b'a' => "A-Za-z",
        b'c' => r"\x00-\x1f\x7f",
        b'd' => "0-9",
        b'g' => r"\x21-\x7e",
        b'l' => "a-z",
        b'p' => r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
        b's' => r"\x09-\x0d\x20",
        b'u' => "A-Z",
        b'w' => "0-9A-Za-z",
        b'x' => "0-9A-Fa-f",
        b'z' => r"\x00",
        _ => return None,
    };
    Some((inside, letter.is_ascii_uppercase()))
}

/// A byte that stands for itself, inside and outside brackets.
fn literal(regex: &mut String, byte: u8) {
    if byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b':' | b'=' | b',' | b';' | b'/') {
        regex.push(char::from(byte));
    } else {
        let _ = write!(regex, r"\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::translate;

    /// What Lua itself captures with `string.match` is what the translation captures.
    #[test]
    fn it_captures_what_lua_captures() {
        let subjects: &[&[u8]] = &[
            b"GFLOPS: 12.50\n",
            b"time = 3.2e-4 s",
            b"a]b-c^d[e]",
            b"x = {y}",
            b"  \tlead",
            b"\xff\x00bin\n7",
            b"++ (1) **",
            b"",
            b"key:value;key2:value2",
        ];
        let patterns: &[&[u8]] = &[
            b"GFLOPS: ([%d.]+)",
            b"([%d.eE+-]+) s",
            b"^(%a)",
            b"(%w+)$",
            b"(.-):(.-);",
            b"([^%s]+)",
            b"([]%]]+)",
            b"([a%-]+)",
            b"(%S+)",
            b"\xff(.)",
            b"%((%d)%)",
            b"(%+)+",
            b"(a?)b",
            b"([%W]+)",
            b"(%p)%p",
            b"(x*)",
            b"^$",
            b"$x",
            b"(%c)",
            b"([a-c]+)",
            b"(%x%x)",
            b"*()",
            b"(%Z+)%z",
        ];
        let lua = mlua::Lua::new();
        let find: mlua::Function = lua.load("return function(s, p) return s:match(p) end").eval().unwrap();
        for pattern in patterns {
            let Ok(translated) = translate(pattern) else { continue };
            let regex = regex::bytes::Regex::new(&translated.regex).unwrap();
            for subject in subjects {
                let (s, p) = (lua.create_string(subject).unwrap(), lua.create_string(pattern).unwrap());
                let lua_says: Option<mlua::LuaString> = find.call((s, p)).unwrap();
                let ours = regex.captures(subject).map(|c| c.get(usize::from(c.len() > 1)).unwrap());
                assert_eq!(
                    ours.map(|m| m.as_bytes().to_vec()),
                    lua_says.map(|s| s.as_bytes().to_vec()),
                    "{} on {}",
                    pattern.escape_ascii(),
                    subject.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn what_cannot_be_said_is_an_error_with_a_way_out() {
        for (pattern, part) in [
            ("%b()", "balanced"),
            ("%f[%d]", "frontier"),
            ("(%d)%1", "back-references"),
            ("()", "position capture"),
            ("[abc", "unfinished set"),
            ("(abc", "unfinished capture"),
            ("abc)", "write `%)`"),
            ("abc%", "write `%%`"),
            ("[z-a]", "upside down"),
            ("[!-%]x]", "write `%-`"),
        ] {
            let error = translate(pattern.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{pattern}: {error}");
        }
    }
}
