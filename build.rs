//! How the executable is linked. C modules for Lua (lpeg, cjson) look up Lua's symbols in it: export them. And it lies at one
//! address: moved to another one, as each process would be at its start, it has half a MiB of tables of its own in every slot.

#![allow(clippy::disallowed_methods)] // asks the MPI compiler, before there is anything of ours

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-arg-bins=-rdynamic");
    println!("cargo:rustc-link-arg-bins=-no-pie");
    // cargo does not notice another MPI behind the same wrapper name; this is the part we can tell it.
    println!("cargo:rerun-if-env-changed=MPICC");
    println!("cargo:rustc-env=HARNESS_MPI={}", mpi());
    if std::env::var_os("CARGO_FEATURE_MPI").is_some() {
        run_paths().iter().for_each(|flag| println!("cargo:rustc-link-arg={flag}"));
    }
}

/// Where the wrapper says that its libraries are found when a program starts: the bindings pass `-L` and `-l` on, not these.
/// Said as `-Wl,-rpath,/there`, `-Wl,-rpath -Wl,/there` or `-Xlinker -rpath -Xlinker /there`; `--enable-new-dtags` beside it lets
/// LD_LIBRARY_PATH go first.
fn run_paths() -> Vec<String> {
    let Some(output) = ask("-show").filter(|output| output.status.success()) else { return Vec::new() };
    let said = String::from_utf8_lossy(&output.stdout).replace("-Xlinker ", "-Wl,").replace(['"', '\''], "");
    let mut words = said.split_whitespace();
    let mut flags = Vec::new();
    while let Some(word) = words.next() {
        if word.starts_with("-Wl,-rpath") || word == "-Wl,--enable-new-dtags" {
            flags.push(word.to_owned());
        }
        if word == "-Wl,-rpath" {
            flags.extend(words.next().map(str::to_owned));
        }
    }
    flags
}

/// What the MPI compiler wrapper says it wraps, for `harness --version`.
fn mpi() -> String {
    let named = |flag: &str| {
        let output = ask(flag)?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        text.lines().find(|line| line.contains("Open MPI") || line.contains("MPICH")).map(str::to_owned)
    };
    // `--showme:version` is Open MPI's, `-v` MPICH's ("mpicc for MPICH version 4.0.2").
    named("--showme:version").or_else(|| named("-v")).unwrap_or_else(|| format!("the MPI of {}", wrapper()))
}

fn wrapper() -> String {
    std::env::var("MPICC").unwrap_or_else(|_| "mpicc".into())
}

/// What the wrapper says to this flag.
fn ask(flag: &str) -> Option<std::process::Output> {
    std::process::Command::new(wrapper()).arg(flag).output().ok()
}
