//! What compilers say, as messages with a place: gcc, clang, gfortran, nvcc, compilers with EDG's front end (nvc++,
//! icc), and the linker.
//!
//! Read from the text that is kept anyway, so that records say it once and old ones have it too. What has none of these
//! forms (excerpts of the source, carets, `In file included from`) is left to the text. Pure.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing was built for it.
    Error,
    /// It was built nevertheless.
    Warning,
    /// Belongs to the message before it, or tells what the compiler did: remarks, optimisations.
    Note,
}

impl Severity {
    /// The word the script uses.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }

    fn of(word: &str) -> Self {
        match word.to_ascii_lowercase() {
            word if word.ends_with("error") || word.starts_with("fatal") || word.starts_with("sorry") => {
                Severity::Error
            }
            word if word == "warning" => Severity::Warning,
            _ => Severity::Note,
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The file it is about, as the compiler names it; none for messages of the driver or the linker.
    pub file: Option<String>,
    /// Its line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
    /// How bad it is.
    pub severity: Severity,
    /// The first line of its text.
    pub text: String,
}

/// The patterns, each tried on a line in this order.
struct Patterns {
    /// `a.c:3:5: error: …`, `a.cu(3): warning #177-D: …`, `"a.cpp", line 3: error: …`, `cc1: error: …`
    placed: Regex,
    /// `nvcc fatal   : …`, `ptxas warning : …`
    nvidia: Regex,
    /// `/usr/bin/ld: a.c:(.text+0x5): undefined reference to …`
    linker: Regex,
    /// `a.f90:3:5:`, where gfortran says what is wrong some lines later.
    place_alone: Regex,
    /// `Error: …`, after that.
    of_place: Regex,
}

const SEVERITY: &str = r"(?i:(?P<severity>(?:fatal |catastrophic |internal compiler |internal |command-line )?error|warning|note|remark|optimized|missed|info|sorry, unimplemented)(?: #?[\w-]+|\[\w+\])?)";

static PATTERNS: LazyLock<Option<Patterns>> = LazyLock::new(|| {
    let placed = format!(
        r#"^(?:"(?P<q>[^"]+)", line (?P<ql>\d+)|(?P<c>[^\s:("|][^:("|]*):(?P<cl>\d+)(?::(?P<cc>\d+))?|(?P<p>[^\s:("|][^:("|]*)\((?P<pl>\d+)(?:,(?P<pc>\d+))?\)|[^\s:("|]+)\s*: {SEVERITY}\s*: *(?P<text>\S.*)$"#
    );
    Some(Patterns {
        placed: Regex::new(&placed).ok()?,
        nvidia: Regex::new(
            r"^(?:nvcc|ptxas|nvlink|cudafe\+\+) (?P<severity>fatal|error|warning|info)\s*: *(?P<text>\S.*)$",
        )
        .ok()?,
        linker: Regex::new(
            r"^(?:\S*ld(?:\.\w+)?: )?(?:(?P<c>[^\s:]+):(?:(?P<cl>\d+)|\(\.[^)]*\)): )?(?P<text>(?:undefined reference to|multiple definition of|cannot find|unable to find library) .*)$",
        )
        .ok()?,
        place_alone: Regex::new(r"^(?P<c>[^\s:][^:]*):(?P<cl>\d+)(?::(?P<cc>\d+)(?:-\d+)?)?:$").ok()?,
        of_place: Regex::new(r"^(?i:(?P<severity>(?:fatal |internal )?error|warning|note)): *(?P<text>\S.*)$").ok()?,
    })
});

/// The messages in what a compiler printed, in order.
pub fn messages(printed: &str) -> Vec<Message> {
    let Some(patterns) = &*PATTERNS else { return Vec::new() };
    let mut found = Vec::new();
    let mut place = None;
    for line in printed.lines().map(str::trim_end) {
        let placed = patterns.placed.captures(line).or_else(|| patterns.nvidia.captures(line));
        if let Some(parts) = placed.or_else(|| patterns.linker.captures(line)) {
            found.push(message(&parts));
        } else if let Some(parts) = patterns.place_alone.captures(line) {
            place = place.or_else(|| Some(message(&parts)));
        } else if let Some(parts) = patterns.of_place.captures(line) {
            let own = message(&parts);
            let at = place.take().unwrap_or_else(|| own.clone());
            found.push(Message { severity: own.severity, text: own.text, ..at });
        }
    }
    found
}

/// "2 errors, 1 warning"; empty if there are none.
pub fn counts(messages: &[Message]) -> String {
    let of = |severity| messages.iter().filter(|message| message.severity == severity).count();
    let parts = [(of(Severity::Error), "error"), (of(Severity::Warning), "warning")];
    let said =
        parts.into_iter().filter(|(number, _)| *number > 0).map(|(n, what)| super::human::count(n, what));
    said.collect::<Vec<_>>().join(", ")
}

fn message(parts: &Captures<'_>) -> Message {
    let first = |names: &[&str]| names.iter().find_map(|name| Some(parts.name(name)?.as_str().to_owned()));
    let number = |names: &[&str]| first(names).and_then(|digits| digits.parse().ok());
    Message {
        file: first(&["q", "c", "p"]),
        line: number(&["ql", "cl", "pl"]),
        column: number(&["cc", "pc"]),
        severity: first(&["severity"]).map_or(Severity::Error, |word| Severity::of(&word)),
        text: first(&["text"]).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `file:line:column severity text`, what is absent left out.
    fn lines(printed: &str) -> Vec<String> {
        let shown = |message: &Message| {
            let number = |n: Option<u32>| n.map(|n| format!(":{n}")).unwrap_or_default();
            let place = format!(
                "{}{}{}",
                message.file.as_deref().unwrap_or("-"),
                number(message.line),
                number(message.column)
            );
            format!("{place} {} {}", message.severity.word(), message.text)
        };
        messages(printed).iter().map(shown).collect()
    }

    /// gcc 12.2.
    #[test]
    fn gcc() {
        let printed = include_str!("diagnostics/gcc.txt");
        assert_eq!(
            lines(printed),
            [
                "bad.h:1:30 warning initialization of 'int' from 'char *' makes integer from pointer without a cast [-Wint-conversion]",
                "a.c:6:12 warning format '%d' expects argument of type 'int', but argument 2 has type 'char *' [-Wformat=]",
                "a.c:7:3 error 'y' undeclared (first use in this function)",
                "a.c:7:3 note each undeclared identifier is reported only once for each function it appears in",
                "a.c:8:16 error expected ';' before '}' token",
                "t2.cpp:2:44 error request for member 'none' in 'x', which is of non-class type 'int'",
                "- error unrecognized command-line option '-fwrong'",
                "- error nofile.c: No such file or directory",
                "v.c:5:21 note loop vectorized using 16 byte vectors",
                "gemm.c:13:2 error #error \"TILE must be at least 1\"",
                "- warning \"TILE\" redefined",
                "x.c:1:1 error in expand_expr, at expr.c:10000",
            ]
        );
        assert_eq!(counts(&messages(printed)), "7 errors, 3 warnings");
    }

    /// GNU ld 2.40, behind gcc and by itself.
    #[test]
    fn the_linker() {
        assert_eq!(
            lines(include_str!("diagnostics/ld.txt")),
            [
                "- error cannot find -lnot: No such file or directory",
                "- error ld returned 1 exit status",
                "/tmp/gd/l.c:2 error undefined reference to `foo'",
                "- error ld returned 1 exit status",
                "l.c error undefined reference to `foo'",
                "- warning x.o: missing .note.GNU-stack section implies executable stack",
            ]
        );
    }

    /// gfortran 12.2.
    #[test]
    fn gfortran() {
        assert_eq!(
            lines(include_str!("diagnostics/gfortran.txt")),
            [
                "f.f90:3:13 error USE statement at (1) cannot follow IMPLICIT NONE statement at (2)",
                "f.f90:3:7 error Cannot open module file 'nothere.mod' for reading at (1): No such file or directory",
                "g.f90:4:6 warning Possible change of value in conversion from REAL(4) to INTEGER(4) at (1) [-Wconversion]",
                "g.f90:4:11 warning 'x' is used uninitialized [-Wuninitialized]",
                "g.f90:3:14 note 'x' was declared here",
            ]
        );
    }

    /// After its documentation: none was at hand.
    #[test]
    fn clang() {
        assert_eq!(
            lines(include_str!("diagnostics/clang.txt")),
            [
                "a.c:7:3 error use of undeclared identifier 'y'",
                "a.c:8:16 error expected ';' after return statement",
                "a.c:6:22 warning format specifies type 'int' but the argument has type 'char *' [-Wformat]",
                "a.c:3:5 note 'foo' declared here",
                "loop.c:4:3 note vectorized loop (vectorization width: 4, interleaved count: 2) [-Rpass=loop-vectorize]",
                "- error linker command failed with exit code 1 (use -v to see invocation)",
            ]
        );
        assert_eq!(counts(&messages("2 warnings and 2 errors generated.")), "");
    }

    /// Likewise, and the NVIDIA HPC compilers.
    #[test]
    fn nvcc_and_front_ends_like_it() {
        assert_eq!(
            lines(include_str!("diagnostics/nvcc.txt")),
            [
                "axpy.cu:5 warning variable \"unused\" was declared but never referenced",
                "axpy.cu:9 error identifier \"threadIdy\" is undefined",
                "axpy.cu:1 error cannot open source file \"nothere.h\"",
                "- error Unsupported gpu architecture 'compute_10'",
                "- note Used 12 registers, 380 bytes cmem[0]",
                "loop.cpp:3 error identifier \"y\" is undefined",
            ]
        );
    }
}
