//! What compilers and linkers print when the machine failed them and not the source: no memory, no space, no process, no
//! file system, no licence.
//!
//! Such a build may succeed the next time, so nobody is to remember its end; and where it is this node that failed it, another
//! one may not. Texts only: that a signal ended the compiler is told by its exit. A text that is missed costs an answer that
//! must be asked for anew; one that is found in a refusal of the source costs that it is tried again.

/// In small letters, as the C library, the compilers, their drivers and their licence managers write it.
const OF_NODE: [&str; 25] = [
    // Processes and memory.
    "resource temporarily unavailable",
    "cannot allocate memory",
    "out of memory",
    "memory exhausted",
    "std::bad_alloc",
    "insufficient memory",
    "killed signal",
    "signal 9 [killed]",
    "signal 7 [bus error]",
    "internal compiler error: killed",
    "unable to execute command: killed",
    "unable to execute command: bus error",
    // Files and file systems.
    "no space left on device",
    "disk quota exceeded",
    "quota exceeded",
    "input/output error",
    "i/o error",
    "stale file handle",
    "stale nfs file handle",
    "too many open files",
    "read-only file system",
    "text file busy",
    "device or resource busy",
    "no locks available",
    // Ours: a folder that the other nodes may have.
    "is not there on this node",
];

/// The same of what all nodes share: the network, and who gives licences.
const OF_ALL: [&str; 15] = [
    "transport endpoint is not connected",
    "cannot send after transport endpoint shutdown",
    "communication error on send",
    "connection timed out",
    "connection refused",
    "connection reset by peer",
    "host is down",
    "no route to host",
    // Licences.
    "a license for",
    "checkout license",
    "check out license",
    "license checkout failed",
    "checkout flexlm license",
    "check out a license",
    "license manager problem",
];

/// The first line that says so.
pub fn machine_fault(diagnostics: &str) -> Option<&str> {
    let says = |line: &&str| {
        let line = line.to_lowercase();
        OF_NODE.iter().chain(&OF_ALL).any(|words| line.contains(words))
    };
    diagnostics.lines().filter(|line| !quotes_source(line)).find(says).map(str::trim)
}

/// Does a reason say that this node, and not what all of them share, could not run the task?
pub fn blames_node(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    OF_NODE.iter().any(|words| reason.contains(words))
}

/// `   12 |   puts("out of memory");`
fn quotes_source(line: &str) -> bool {
    let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
    rest.trim_start().starts_with('|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_texts_are_known() {
        for text in [
            "cc1: fatal error: error closing -: No space left on device\ncompilation terminated.",
            "/usr/bin/ld: final link failed: No space left on device\ncollect2: error: ld returned 1 exit status",
            "cc: fatal error: cannot create temporary file in /full/: No space left on device",
            "cc: fatal error: cannot execute \u{2018}cc1\u{2019}: vfork: Resource temporarily unavailable",
            "sh: 1: Cannot fork: Resource temporarily unavailable",
            "a.c:1:1: fatal error: error writing to /tmp/ccX.s: Disk quota exceeded",
            "collect2: fatal error: ld terminated with signal 9 [Killed]\ncompilation terminated.",
            "collect2: fatal error: ld terminated with signal 7 [Bus error], core dumped",
            "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.",
            "g++: internal compiler error: Killed (program cc1plus)",
            "clang: error: unable to execute command: Killed\nclang: error: clang frontend command failed",
            "LLVM ERROR: out of memory",
            "cc1plus: out of memory allocating 65536 bytes after a total of 1052672 bytes",
            "virtual memory exhausted: Cannot allocate memory",
            "terminate called after throwing an instance of 'std::bad_alloc'",
            "as: a.o: Input/output error",
            "cc1: error: /shared/include: Stale file handle",
            "ld: cannot open /shared/lib/libx.a: Too many open files in system",
            "Error: A license for Comp-CL is not available now (-15,570:115)",
            "pgcc-Error-Not able to checkout license",
            "icc: error #10052: could not checkout FLEXlm license",
            "LICENSE MANAGER PROBLEM: Failed to checkout a license.",
        ] {
            assert_eq!(machine_fault(&format!("note\n{text}\n")), text.lines().next(), "{text}");
        }
    }

    #[test]
    fn what_all_nodes_share_is_no_fault_of_one() {
        assert!(blames_node("cannot make /scratch/x: No space left on device (os error 28)"));
        assert!(blames_node("working folder `/data` is not there on this node: use cwd=\"scratch\""));
        for reason in
            ["pgcc-Error-Not able to checkout license", "ld: Connection refused", "init of its slot: no"]
        {
            assert!(!blames_node(reason), "{reason}");
        }
    }

    #[test]
    fn what_the_source_says_is_not_the_machine() {
        for text in [
            "a.c:1:10: fatal error: no.h: No such file or directory\n    1 | #include <no.h>",
            "a.c:4:3: error: expected ';' before 'puts'\n    4 |   puts(\"out of memory\");\n      |   ^~~~ out of memory",
            "ld: a.o: undefined reference to `main'\ncollect2: error: ld returned 1 exit status",
        ] {
            assert_eq!(machine_fault(text), None, "{text}");
        }
    }
}
