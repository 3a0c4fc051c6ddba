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
}

/// What the MPI compiler wrapper says it wraps, for `harness --version`.
fn mpi() -> String {
    let wrapper = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".into());
    let ask = |flag: &str| {
        let output = std::process::Command::new(&wrapper).arg(flag).output().ok()?;
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        text.lines().find(|line| line.contains("Open MPI") || line.contains("MPICH")).map(str::to_owned)
    };
    // `--showme:version` is Open MPI's, `-v` MPICH's ("mpicc for MPICH version 4.0.2").
    ask("--showme:version").or_else(|| ask("-v")).unwrap_or_else(|| format!("the MPI of {wrapper}"))
}
