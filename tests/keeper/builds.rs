//! Builds: what they depend on, when one is not repeated, and how they fail.

use super::*;

/// Sources of a small C program, in the store and in the campaign's folder.
struct Sources {
    main: Input,
    root: PathBuf,
}

impl Sources {
    fn new(keeper: &Keeper, main: &str) -> Self {
        let root = keeper.campaign();
        fs::create_dir_all(root.join("k")).unwrap();
        let main = Input {
            path: "k/main.c".into(),
            hash: keeper.store().put_bytes(main.as_bytes(), false).unwrap(),
            executable: false,
        };
        Self { main, root }
    }

    fn header(&self, text: &str) {
        fs::write(self.root.join("k/value.h"), text).unwrap();
    }

    fn build(&self, argv: &[&str]) -> Work {
        let command = CommandSpec { inputs: vec![self.main.clone()], ..command(argv) };
        Work::Compile(CompileSpec {
            command,
            output: "prog".into(),
            folders: Vec::new(),
            include_root: self.root.to_str().unwrap().into(),
            depfile: true,
            cache: true,
            tools: Vec::new(),
        })
    }
}

fn built(outcome: &Outcome) -> &CompileResult {
    match &outcome.detail {
        Detail::Compile(result) => result,
        other => panic!("not a build: {other:?}"),
    }
}

const MAIN_C: &str =
    "#include <stdio.h>\n#include \"value.h\"\nint main(void) { printf(\"%d\\n\", VALUE); }\n";

const CC: &[&str] = &["cc", "-O1", "k/main.c", "-o", "prog"];

#[test]
fn a_build_gives_a_program_and_is_not_repeated_until_a_header_changes() {
    let mut keeper = Keeper::start();
    let sources = Sources::new(&keeper, MAIN_C);
    sources.header("#define VALUE 1\n");
    let first = keeper.run(sources.build(CC), None);
    assert!(first.ok(), "{first:?}");
    let (result, hash) = (built(&first), built(&first).artefact.unwrap());
    assert_eq!(result.cache, CacheUse::Miss);
    assert!(result.compiler.contains("/cc (") && result.content_key.is_some(), "{}", result.compiler);
    assert!(result.artefact_bytes > 1000 && result.wall_s > 0.0);
    let mut run = command(&[]);
    run.argv = vec![Arg::Artefact(hash)];
    let outcome = keeper.run(Work::Exec(ExecSpec { command: run, ..ExecSpec::default() }), None);
    assert_eq!(ran(&outcome).stdout, b"1\n");

    let again = keeper.run(sources.build(CC), None);
    assert_eq!((built(&again).cache, built(&again).artefact), (CacheUse::Hit, Some(hash)));
    assert_eq!(built(&again).content_key, result.content_key);
    sources.header("#define VALUE 2\n");
    let changed = keeper.run(sources.build(CC), None);
    assert_eq!(built(&changed).cache, CacheUse::Miss);
    assert_ne!(built(&changed).artefact, Some(hash));
    assert_ne!(built(&changed).content_key, result.content_key);
    sources.header("#define VALUE 1\n");
    let back = keeper.run(sources.build(CC), None);
    assert_eq!((built(&back).cache, built(&back).artefact), (CacheUse::Hit, Some(hash)));
}

#[test]
fn a_refusal_is_remembered_until_the_header_that_caused_it_changes() {
    let mut keeper = Keeper::start();
    let sources = Sources::new(&keeper, MAIN_C);
    sources.header("#define VALUE oops\n");
    for cache in [CacheUse::Miss, CacheUse::Negative] {
        let outcome = keeper.run(sources.build(CC), None);
        assert_eq!(outcome.status, Status::CompileFailed);
        assert!(
            reason(&outcome).contains("exit code 1: ") && reason(&outcome).contains("oops"),
            "{}",
            reason(&outcome)
        );
        let result = built(&outcome);
        assert_eq!((result.cache, result.exit_code, result.artefact), (cache, Some(1), None));
        assert!(result.diagnostics.contains("value.h:1"), "{}", result.diagnostics);
    }
    sources.header("#define VALUE 1\n");
    assert!(keeper.run(sources.build(CC), None).ok());
    // What a header that is missing would say, nobody knows: it is asked again.
    fs::remove_file(sources.root.join("k/value.h")).unwrap();
    for _ in 0..2 {
        let outcome = keeper.run(sources.build(CC), None);
        assert_eq!((outcome.status, built(&outcome).cache), (Status::CompileFailed, CacheUse::Miss));
    }
}

/// A full disk, no process, a killed linker: the next try may succeed.
#[test]
fn what_the_machine_failed_is_a_failure_of_the_setup_and_asked_again() {
    let mut keeper = Keeper::start();
    for text in [
        "cc: fatal error: cannot execute 'cc1': vfork: Resource temporarily unavailable",
        "No space left on device",
    ] {
        let shell = format!("echo \"{text}\" >&2; exit 1");
        let command = CommandSpec { shell: Some(shell), ..CommandSpec::default() };
        let spec = CompileSpec { command, output: "prog".into(), cache: true, ..CompileSpec::default() };
        for _ in 0..2 {
            let outcome = keeper.run(Work::Compile(spec.clone()), None);
            assert_eq!((outcome.status, built(&outcome).cache), (Status::SetupFailed, CacheUse::Miss));
            assert!(reason(&outcome).ends_with(&format!("the machine failed it, not the source: {text}")));
            assert!(built(&outcome).diagnostics.contains(text));
        }
    }
}

/// The last words of a linker, and the only ones with "error" in them, are that there was one.
#[test]
fn what_a_linker_misses_is_in_the_reason() {
    let mut keeper = Keeper::start();
    let sources = Sources::new(&keeper, "void dgemm_(void);\nint main(void) { dgemm_(); }\n");
    for (library, missing) in
        [(None, "undefined reference to `dgemm_'"), (Some("-lopenblas77"), "cannot find -lopenblas77")]
    {
        let argv: Vec<&str> = CC.iter().copied().chain(library).collect();
        let outcome = keeper.run(sources.build(&argv), None);
        assert_eq!(outcome.status, Status::CompileFailed);
        let says = reason(&outcome).split_once("exit code 1: ").unwrap().1;
        assert!(says.starts_with(missing), "{}", reason(&outcome));
    }
}

#[test]
fn headers_of_every_source_count() {
    let mut keeper = Keeper::start();
    let mut sources = Sources::new(&keeper, MAIN_C);
    sources.header("#define VALUE 1\n");
    let other = keeper.store().put_bytes(b"int other;\n", false).unwrap();
    let build = |sources: &Sources| {
        let Work::Compile(mut spec) = sources.build(&["cc", "k/main.c", "other.c", "-o", "prog"]) else {
            panic!()
        };
        spec.command.inputs.push(Input { path: "other.c".into(), hash: other, executable: false });
        Work::Compile(spec)
    };
    let mut cache = |sources: &Sources| built(&keeper.run(build(sources), None)).cache;
    assert_eq!([cache(&sources), cache(&sources)], [CacheUse::Miss, CacheUse::Hit]);
    sources.header("#define VALUE 2\n");
    assert_eq!(cache(&sources), CacheUse::Miss);
    sources.main.hash = other;
    assert_eq!(cache(&sources), CacheUse::Miss);
}

#[test]
fn builds_that_end_in_other_ways() {
    let mut keeper = Keeper::start();
    let sources = Sources::new(&keeper, "int main(void) { return 0; }\n");
    let outcome = keeper.run(sources.build(&["gcc-99", "k/main.c"]), None);
    assert_eq!(outcome.status, Status::SpawnFailed);
    assert!(
        reason(&outcome).starts_with("program `gcc-99` not found: load its module"),
        "{}",
        reason(&outcome)
    );
    let outcome = keeper.run(sources.build(&["cc", "k/main.c", "-o", "elsewhere"]), None);
    assert_eq!(outcome.status, Status::CompileFailed);
    assert_eq!(reason(&outcome), "it exited 0 but left no file `prog`");
    let command = CommandSpec { shell: Some("sleep 600".into()), ..CommandSpec::default() };
    let slow = CompileSpec { command, output: "prog".into(), cache: true, ..CompileSpec::default() };
    let outcome = keeper.run(Work::Compile(slow), Some(0.2));
    assert_eq!((outcome.status, built(&outcome).cache), (Status::Timeout, CacheUse::Miss));
    let command = CommandSpec { shell: Some("echo made > prog; echo note".into()), ..CommandSpec::default() };
    let any = CompileSpec { command, output: "prog".into(), cache: true, ..CompileSpec::default() };
    for cache in [CacheUse::Miss, CacheUse::Hit] {
        let outcome = keeper.run(Work::Compile(any.clone()), None);
        assert_eq!((outcome.status, built(&outcome).cache), (Status::Ok, cache));
        assert_eq!(built(&outcome).diagnostics, "note\n");
    }
}
