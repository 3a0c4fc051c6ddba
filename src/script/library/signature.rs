//! What a C function takes and gives, read from its declaration: `double dot(int n, const double *x)`.
//!
//! Numbers, text, and pointers to buffers or to what only the library knows. Structures by value, functions as
//! arguments and variable arguments are refused, with what to do instead. Pure: knows neither Lua nor libffi.

use std::fmt;

/// A number, by its size and kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `bool`: true or false.
    Bool,
    /// Signed, of this many bytes.
    Int(u8),
    /// Unsigned, of this many bytes.
    Uint(u8),
    /// `float`.
    Float,
    /// `double`.
    Double,
}

/// The type of an argument or of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// No result.
    Void,
    /// By value.
    Scalar(Scalar),
    /// `const char *`; as a result also `char *`: text that ends with a zero byte.
    Text,
    /// To a buffer of these.
    Buffer(Scalar),
    /// `void *`, `struct name *`: to any buffer, or to what only the library knows.
    Pointer,
}

/// A declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Of the function.
    pub name: String,
    /// What it gives.
    pub result: Type,
    /// What it takes, with the types as they were written.
    pub arguments: Vec<(Type, String)>,
}

impl Scalar {
    /// Bytes.
    pub fn size(self) -> usize {
        match self {
            Scalar::Bool => 1,
            Scalar::Int(bytes) | Scalar::Uint(bytes) => usize::from(bytes),
            Scalar::Float => 4,
            Scalar::Double => 8,
        }
    }

    /// The type of this name, in C's words.
    pub fn named(text: &str) -> Result<Self, String> {
        let tokens = tokens(text)?;
        match base(&tokens)? {
            (Base::Scalar(scalar), read) if read == tokens.len() => Ok(scalar),
            _ => Err(format!("expected the type of a number, such as double or int, got '{text}'")),
        }
    }
}

/// As [`Scalar::named`] reads it.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool => write!(f, "bool"),
            Scalar::Int(bytes) => write!(f, "int{}", 8 * bytes),
            Scalar::Uint(bytes) => write!(f, "uint{}", 8 * bytes),
            Scalar::Float => write!(f, "float"),
            Scalar::Double => write!(f, "double"),
        }
    }
}

/// What a type begins with.
enum Base {
    Void,
    Struct,
    Scalar(Scalar),
}

/// Names of one word; `int`, `long` and their company are in `integer`.
const NAMES: [(&str, Scalar); 21] = [
    ("bool", Scalar::Bool),
    ("_Bool", Scalar::Bool),
    ("float", Scalar::Float),
    ("double", Scalar::Double),
    ("int8", Scalar::Int(1)),
    ("int16", Scalar::Int(2)),
    ("int32", Scalar::Int(4)),
    ("int64", Scalar::Int(8)),
    ("uint8", Scalar::Uint(1)),
    ("uint16", Scalar::Uint(2)),
    ("uint32", Scalar::Uint(4)),
    ("uint64", Scalar::Uint(8)),
    ("uchar", Scalar::Uint(1)),
    ("ushort", Scalar::Uint(2)),
    ("uint", Scalar::Uint(4)),
    ("ulong", Scalar::Uint(size_of::<usize>() as u8)),
    ("size", Scalar::Uint(size_of::<usize>() as u8)),
    ("ssize", Scalar::Int(size_of::<usize>() as u8)),
    ("ptrdiff", Scalar::Int(size_of::<usize>() as u8)),
    ("intptr", Scalar::Int(size_of::<usize>() as u8)),
    ("uintptr", Scalar::Uint(size_of::<usize>() as u8)),
];
const INTEGER_WORDS: [&str; 6] = ["char", "int", "long", "short", "signed", "unsigned"];
const QUALIFIERS: [&str; 6] = ["const", "restrict", "__restrict", "__restrict__", "volatile", "extern"];

impl Signature {
    /// Reads a declaration; a semicolon at its end is taken too.
    pub fn parse(text: &str) -> Result<Self, String> {
        let tokens = tokens(text.trim().trim_end_matches(';'))?;
        let shape = || {
            format!(
                "expected the declaration of a function, such as \"double dot(int n, const double *x)\", got \"{text}\""
            )
        };
        let open = tokens.iter().position(|token| *token == "(").ok_or_else(shape)?;
        if tokens.last() != Some(&")") || open == 0 || !is_word(tokens[open - 1]) {
            return Err(shape());
        }
        let name = tokens[open - 1].to_owned();
        let (result, _) =
            of(&tokens[..open - 1], true).map_err(|why| format!("{name}: its result: {why}"))?;
        let inside = &tokens[open + 1..tokens.len() - 1];
        if inside.contains(&"(") {
            return Err(format!("{name}: pointers to functions cannot be passed"));
        }
        let mut arguments = Vec::new();
        if !inside.is_empty() && inside != ["void"] {
            for (i, argument) in inside.split(|token| *token == ",").enumerate() {
                let told = |why| format!("{name}: argument {}: {why}", i + 1);
                arguments.push(of(argument, false).map_err(told)?);
            }
        }
        Ok(Self { name, result, arguments })
    }
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// Words, numbers and signs.
fn tokens(text: &str) -> Result<Vec<&str>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = match first {
            c if is_inside(c) => rest.find(|c| !is_inside(c)).unwrap_or(rest.len()),
            '*' | '(' | ')' | ',' | '[' | ']' => 1,
            '.' if rest.starts_with("...") => {
                return Err("functions with variable arguments cannot be called: write one in C that takes fixed ones".into());
            }
            _ => return Err(format!("unexpected '{first}' in \"{text}\"")),
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The type that these words begin with, and how many words it takes.
fn base(tokens: &[&str]) -> Result<(Base, usize), String> {
    let Some(first) = tokens.first() else { return Err("expected a type".into()) };
    if *first == "void" {
        return Ok((Base::Void, 1));
    }
    if matches!(*first, "struct" | "union") {
        return Ok((Base::Struct, 2));
    }
    let words = tokens.iter().take_while(|word| INTEGER_WORDS.contains(*word)).count();
    if words > 0 {
        // `long double` is none of ours.
        if tokens.get(words) == Some(&"double") {
            return Err("long double is not supported".into());
        }
        return Ok((Base::Scalar(integer(&tokens[..words])), words));
    }
    let plain = first.strip_suffix("_t").unwrap_or(first);
    match NAMES.iter().find(|(name, _)| *name == plain) {
        Some((_, scalar)) => Ok((Base::Scalar(*scalar), 1)),
        None => Err(unknown(first)),
    }
}

fn unknown(word: &str) -> String {
    let known = NAMES.iter().map(|(name, _)| *name).chain(INTEGER_WORDS).chain(["void", "struct"]);
    let near = known.map(|name| (strsim::damerau_levenshtein(name, word), name)).min();
    let hint = match near {
        Some((distance, name)) if distance <= 2 && distance * 2 < word.len() => {
            format!(" (did you mean '{name}'?)")
        }
        _ => ": what is behind a pointer of the library's own is a void *".into(),
    };
    format!("unknown type '{word}'{hint}")
}

/// `unsigned long int` and the like.
fn integer(words: &[&str]) -> Scalar {
    let count = |word: &str| words.iter().filter(|other| **other == word).count();
    let bytes = match (count("char"), count("short"), count("long")) {
        (1.., _, _) => 1,
        (_, 1.., _) => 2,
        (_, _, 0) => 4,
        (_, _, 1) => size_of::<std::ffi::c_long>() as u8,
        _ => 8,
    };
    if count("unsigned") > 0 { Scalar::Uint(bytes) } else { Scalar::Int(bytes) }
}

/// A whole type, of a result or of an argument, which may have a name; and how it was written.
fn of(tokens: &[&str], is_result: bool) -> Result<(Type, String), String> {
    let is_const = tokens.contains(&"const");
    let is_char = tokens.contains(&"char") && !tokens.contains(&"unsigned") && !tokens.contains(&"signed");
    let words: Vec<&str> = tokens.iter().copied().filter(|token| !QUALIFIERS.contains(token)).collect();
    let (base, read) = base(&words)?;
    let mut rest = words.get(read..).unwrap_or_default();
    let mut stars = rest.iter().take_while(|token| **token == "*").count();
    rest = &rest[stars..];
    if !is_result && rest.first().is_some_and(|word| is_word(word)) {
        rest = &rest[1..];
    }
    if rest.first() == Some(&"[") && rest.last() == Some(&"]") && rest.len() <= 3 {
        (stars, rest) = (stars + 1, &[]);
    }
    if let Some(token) = rest.first() {
        return Err(format!("unexpected '{token}' in its type"));
    }
    let written = format!(
        "{}{}{}",
        if is_const { "const " } else { "" },
        words[..read.min(words.len())].join(" "),
        " *".repeat(stars.min(1))
    );
    let of = match (base, stars) {
        (_, 2..) => return Err("a pointer to a pointer is not supported: declare it as void *".into()),
        (Base::Void, 0) if is_result => Type::Void,
        (Base::Void, 0) => return Err("nothing can be passed as void".into()),
        (Base::Struct, 0) => {
            return Err("structures by value are not supported: pass a pointer, struct name *".into());
        }
        (Base::Void | Base::Struct, _) => Type::Pointer,
        (Base::Scalar(scalar), 0) => Type::Scalar(scalar),
        (Base::Scalar(_), _) if is_char && (is_const || is_result) => Type::Text,
        (Base::Scalar(_), _) if is_result => Type::Pointer,
        (Base::Scalar(scalar), _) => Type::Buffer(scalar),
    };
    Ok((of, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> String {
        match Signature::parse(text) {
            Ok(Signature { name, result, arguments }) => {
                let arguments: Vec<Type> = arguments.into_iter().map(|(of, _)| of).collect();
                format!("{name} {result:?} {arguments:?}")
            }
            Err(why) => why,
        }
    }

    #[test]
    fn declarations_are_read_as_c_means_them() {
        let expected = "dot Scalar(Double) [Scalar(Int(4)), Buffer(Double), Buffer(Float)]";
        assert_eq!(parse("double dot(int n, const double *restrict x, float y[n]);"), expected);
        assert_eq!(parse("double dot(int, double*, float *)"), expected);
        assert_eq!(parse("void f(void)"), "f Void []");
        assert_eq!(
            parse("f_t f()"),
            "f: its result: unknown type 'f_t': what is behind a pointer of the library's own is a void *"
        );
        assert_eq!(
            parse("const char *name(const char *, char *out, size_t n)"),
            "name Text [Text, Buffer(Int(1)), Scalar(Uint(8))]"
        );
        assert_eq!(
            parse("struct state *make(uint8_t, unsigned long long int x, unsigned char *)"),
            "make Pointer [Scalar(Uint(1)), Scalar(Uint(8)), Buffer(Uint(1))]"
        );
        assert_eq!(
            parse("bool has(void *state, struct key const *key)"),
            "has Scalar(Bool) [Pointer, Pointer]"
        );
    }

    #[test]
    fn what_cannot_be_called_is_refused_with_the_reason() {
        for (text, why) in [
            ("int f", "expected the declaration of a function, such as"),
            ("(int)", "expected the declaration of a function"),
            ("int printf(const char *, ...)", "variable arguments"),
            ("void sort(int *x, int (*less)(int, int))", "sort: pointers to functions cannot be passed"),
            ("void f(struct point p)", "f: argument 1: structures by value"),
            ("void f(int n, char **argv)", "f: argument 2: a pointer to a pointer"),
            ("void f(doubel x)", "f: argument 1: unknown type 'doubel' (did you mean 'double'?)"),
            ("void f(long double x)", "long double is not supported"),
            ("void f(int, )", "f: argument 2: expected a type"),
            ("void f(int a b)", "f: argument 1: unexpected 'b'"),
            ("void f(int $)", "unexpected '$'"),
        ] {
            assert!(parse(text).contains(why), "{text}: {}", parse(text));
        }
        assert_eq!(Scalar::named("unsigned int"), Ok(Scalar::Uint(4)));
        assert!(Scalar::named("double *").unwrap_err().contains("the type of a number"));
    }
}
