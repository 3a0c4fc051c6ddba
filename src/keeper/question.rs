//! The question a build answers: all that goes into it and can be known before it runs. Equal questions
//! have equal answers as long as the headers are the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::site::Failure;
use crate::machine;
use crate::model::{Arg, CompileSpec, GPU_VARIABLES, Hash};
use crate::process::Environment;

/// Variables that change what a compiler does.
const VARIABLES: &[&str] = &[
    "CC",
    "CFLAGS",
    "COMPILER_PATH",
    "CPATH",
    "CPLUS_INCLUDE_PATH",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CMAKE_GENERATOR",
    "C_INCLUDE_PATH",
    "F77",
    "F90",
    "FC",
    "FFLAGS",
    "GCC_EXEC_PREFIX",
    "INCLUDE",
    "I_MPI_CC",
    "I_MPI_CXX",
    "I_MPI_FC",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LIBRARY_PATH",
    "LIBS",
    "MPICH_CC",
    "MPICH_CXX",
    "MPICH_FC",
    "OMPI_CC",
    "OMPI_CFLAGS",
    "OMPI_CXX",
    "OMPI_CXXFLAGS",
    "OMPI_FC",
    "OMPI_FCFLAGS",
    "OMPI_LDFLAGS",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "SDKROOT",
    "SOURCE_DATE_EPOCH",
];

/// Arguments that ask for the processor the compiler runs on.
const NATIVE: &[&str] = &[
    "-march=native",
    "-mtune=native",
    "-mcpu=native",
    "-xHost",
    "-xhost",
    "-tp=native",
    "-tp=host",
    "target-cpu=native",
];

/// Parts of the file names, without a version, of programs that answer `--version` and do nothing else then.
const COMPILERS: &[&str] = &[
    "CC",
    "c++",
    "cargo",
    "cc",
    "clang",
    "clang++",
    "cmake",
    "flang",
    "ftn",
    "g++",
    "gcc",
    "gfortran",
    "hipcc",
    "icc",
    "icpc",
    "icpx",
    "icx",
    "ifort",
    "ifx",
    "make",
    "mpic++",
    "mpicc",
    "mpicxx",
    "mpif",
    "mpifort",
    "nvc",
    "nvc++",
    "nvcc",
    "nvfortran",
    "ninja",
    "rustc",
];

#[derive(Serialize)]
struct Question<'a> {
    compiler: &'a str,
    argv: &'a [Arg],
    shell: &'a Option<String>,
    stdin: &'a crate::model::Stdin,
    output: &'a str,
    inputs: BTreeMap<&'a str, (Hash, bool)>,
    folders: &'a [String],
    own_env: BTreeMap<&'a str, &'a str>,
    env: Vec<(&'a str, String)>,
    include_dirs: &'a [PathBuf],
    processor: Option<String>,
}

/// The hash of the question. `compiler` is path and version line.
pub fn question(
    spec: &CompileSpec,
    compiler: &str,
    environment: &Environment,
    include_dirs: &[PathBuf],
) -> Result<Hash, Failure> {
    let command = &spec.command;
    let variables = VARIABLES
        .iter()
        .filter_map(|name| Some((*name, String::from_utf8_lossy(environment.get(name)?).into_owned())));
    let variables: Vec<(&str, String)> = variables.collect();
    let native = asks_for_this_processor(spec) || variables.iter().any(|(_, value)| is_native(value));
    let own = command.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let question = Question {
        compiler,
        argv: &command.argv,
        shell: &command.shell,
        stdin: &command.stdin,
        output: &spec.output,
        inputs: command.inputs.iter().map(|i| (i.path.as_str(), (i.hash, i.executable))).collect(),
        folders: &spec.folders,
        // Which GPUs it was given does not change what is built.
        own_env: own.filter(|(name, _)| !GPU_VARIABLES.contains(name)).collect(),
        env: variables,
        include_dirs,
        processor: native.then(machine::cpu_model),
    };
    serde_json::to_vec(&question).map(|text| Hash::of(&text)).map_err(Failure::refused)
}

/// The key of one answer: the question and what was in the headers.
pub fn content_key(question: Hash, headers: &[(String, Hash)]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&question.0);
    for (name, hash) in headers {
        hasher.update(name.as_bytes()).update(&[0]).update(&hash.0);
    }
    Hash::finish(&hasher)
}

/// Folders of the campaign that hold headers for these sources, where this node can reach them.
pub fn include_dirs(spec: &CompileSpec) -> Vec<PathBuf> {
    let root = Path::new(&spec.include_root);
    if !spec.depfile || !root.is_absolute() {
        return Vec::new();
    }
    let parents = spec.command.inputs.iter().filter_map(|input| Path::new(&input.path).parent());
    let mut dirs: Vec<PathBuf> = parents.map(|parent| root.join(parent)).filter(|dir| dir.is_dir()).collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

/// May it be asked for its version? Anything else might take `--version` for an order to build.
pub fn tells_version(program: &Path) -> bool {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.split('-')
        .any(|part| COMPILERS.contains(&part.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')))
}

fn asks_for_this_processor(spec: &CompileSpec) -> bool {
    // In an argument as `CFLAGS=-O3 -march=native` too.
    let in_arg = |arg: &Arg| matches!(arg, Arg::Text(text) if is_native(&String::from_utf8_lossy(text)));
    let command = &spec.command;
    command.argv.iter().any(in_arg)
        || command.shell.iter().chain(command.env.values()).any(|text| is_native(text))
}

fn is_native(text: &str) -> bool {
    NATIVE.iter().any(|native| text.contains(native))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CommandSpec, Input};

    fn spec(argv: &[&str], source: &[u8]) -> CompileSpec {
        let argv = argv.iter().map(|arg| Arg::Text(arg.as_bytes().to_vec())).collect();
        let inputs = vec![Input { path: "a.c".into(), hash: Hash::of(source), executable: false }];
        CompileSpec {
            command: CommandSpec { argv, inputs, ..CommandSpec::default() },
            ..CompileSpec::default()
        }
    }

    fn key(spec: &CompileSpec, compiler: &str) -> Hash {
        question(spec, compiler, &Environment::default(), &[]).unwrap()
    }

    #[test]
    fn whatever_changes_the_build_changes_the_question() {
        let base = spec(&["cc", "a.c"], b"1");
        assert_eq!(key(&base, "cc 1"), key(&base.clone(), "cc 1"));
        assert_ne!(key(&base, "cc 1"), key(&base, "cc 2"));
        assert_ne!(key(&base, "cc 1"), key(&spec(&["cc", "a.c"], b"2"), "cc 1"));
        assert_ne!(key(&base, "cc 1"), key(&spec(&["cc", "-O2", "a.c"], b"1"), "cc 1"));
        let mut cpath = Environment::default();
        cpath.set(b"CPATH", b"/opt").unwrap();
        assert_ne!(question(&base, "cc 1", &cpath, &[]).unwrap(), key(&base, "cc 1"));
        let mut home = Environment::default();
        home.set(b"HOME", b"/root").unwrap();
        assert_eq!(question(&base, "cc 1", &home, &[]).unwrap(), key(&base, "cc 1"));
        let mut given = base.clone();
        given.command.env.insert("CUDA_VISIBLE_DEVICES".into(), "1".into());
        assert_eq!(key(&given, "cc 1"), key(&base, "cc 1"));
        given.command.env.insert("CFLAGS".into(), "-g".into());
        assert_ne!(key(&given, "cc 1"), key(&base, "cc 1"));
    }

    #[test]
    fn what_is_laid_out_counts_with_its_modes_and_empty_folders() {
        let base = spec(&["make"], b"");
        let mut program = base.clone();
        program.command.inputs[0].executable = true;
        let folders = CompileSpec { folders: vec!["obj".into()], ..base.clone() };
        let keys = [&base, &program, &folders].map(|spec| key(spec, "make 1"));
        assert!(keys[0] != keys[1] && keys[0] != keys[2] && keys[1] != keys[2]);
    }

    #[test]
    fn only_native_code_is_bound_to_the_processor() {
        assert!(asks_for_this_processor(&spec(&["cc", "-march=native"], b"")));
        assert!(!asks_for_this_processor(&spec(&["cc", "-march=x86-64-v3"], b"")));
        assert!(asks_for_this_processor(&spec(&["make", "CFLAGS=-O3 -march=native"], b"")));
        assert!(is_native("-Copt-level=3 -Ctarget-cpu=native"));
    }

    #[test]
    fn compilers_are_known_by_name_with_versions_and_prefixes() {
        for name in ["gcc", "gcc-12", "/usr/bin/x86_64-linux-gnu-g++-12", "clang-15", "mpif90", "c++"] {
            assert!(tells_version(Path::new(name)), "{name}");
        }
        for name in ["build.sh", "accurate", "/bin/sh", "configure"] {
            assert!(!tells_version(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn the_content_key_depends_on_what_is_in_the_headers() {
        let question = Hash::of(b"q");
        let header = |content: &[u8]| vec![("/a.h".to_string(), Hash::of(content))];
        assert_eq!(content_key(question, &header(b"1")), content_key(question, &header(b"1")));
        assert_ne!(content_key(question, &header(b"1")), content_key(question, &header(b"2")));
        assert_ne!(content_key(question, &header(b"1")), content_key(question, &[]));
    }
}
