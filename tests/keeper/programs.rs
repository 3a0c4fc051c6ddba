//! Programs that run: where, with what, what is told of them, and why one cannot be started.

use super::*;

#[test]
fn a_program_that_succeeds() {
    let mut keeper = Keeper::start();
    let outcome = keeper.exec(&["/bin/true"]);
    assert!(outcome.ok());
    let result = ran(&outcome);
    assert_eq!((result.exit_code, result.signal, result.leftovers), (Some(0), None, 0));
    assert!(result.usage.wall_s > 0.0 && result.usage.wall_s <= outcome.elapsed_s);
    assert!(result.usage.maxrss_bytes > 0);
    assert_eq!(result.argv, ["/bin/true"]);
}

#[test]
fn its_surroundings() {
    let mut keeper = Keeper::start();
    let mut spec = command(&[
        "sh",
        "-c",
        "pwd; cat; echo $HARNESS_TASK_ID $POOL_VARIABLE $OWN; env | grep -c ^OMPI_COMM_WORLD; ls /proc/self/fd | wc -l; ps -o sid= -p $$; echo $$; awk '/^Sig(Blk|Ign|Cgt):/ {print $2}' /proc/self/status",
    ]);
    spec.stdin = Stdin::Bytes(b"input\n".to_vec());
    spec.env = BTreeMap::from([("OWN".into(), "own".into())]);
    let outcome = keeper.run(Work::Exec(ExecSpec { command: spec, ..ExecSpec::default() }), None);
    let output = String::from_utf8(ran(&outcome).stdout.clone()).unwrap();
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!(lines[..2], [keeper.campaign().to_str().unwrap(), "input"]);
    assert_eq!(lines[2], "1.0 pool own");
    assert_eq!(lines[3], "0", "the launcher's variables");
    assert_eq!(lines[4], "4", "0, 1, 2 and the folder that `ls` reads");
    assert_eq!(lines[5], lines[6], "a session of its own");
    // The C library lets nobody touch its own two, 32 and 33: they are as whoever started us left them.
    let signals = lines[7..].iter().map(|set| u64::from_str_radix(set, 16).unwrap() & !(0b11 << 31));
    assert_eq!(
        signals.collect::<Vec<_>>(),
        [0; 3],
        "signals that are blocked, ignored or caught: none of ours"
    );
}

#[test]
fn exit_code_and_standard_error_are_told() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("echo out; echo 'bad luck' >&2; exit 3");
    assert_eq!(outcome.status, Status::NonzeroExit);
    assert_eq!(reason(&outcome), "exit code 3; the end of its standard error:\nbad luck");
    assert_eq!((ran(&outcome).exit_code, &*ran(&outcome).stdout), (Some(3), &b"out\n"[..]));
    let spec =
        ExecSpec { command: command(&["sh", "-c", "exit 3"]), ok_codes: vec![3], ..ExecSpec::default() };
    assert!(keeper.run(Work::Exec(spec), None).ok());
}

#[test]
fn programs_that_cannot_be_started() {
    let mut keeper = Keeper::start();
    let file = keeper.campaign().join("file");
    let mut said = |argv: &[&str]| {
        let outcome = keeper.exec(argv);
        assert_eq!((outcome.status, &outcome.detail), (Status::SpawnFailed, &Detail::None));
        reason(&outcome).to_string()
    };
    assert!(said(&["no-such-program"]).starts_with("program `no-such-program` not found: load its module"));
    assert_eq!(said(&["/none"]), "program `/none` does not exist");
    let place = format!("does not exist in {}", file.parent().unwrap().display());
    assert_eq!(said(&["./none"]), format!("program `./none` {place}"));
    assert_eq!(
        said(&["./a.out 64"]),
        format!(
            "program `./a.out 64` {place}: a program name with a blank: give arguments one by one, or use shell="
        )
    );
    assert_eq!(said(&["/tmp"]), "`/tmp` is a folder, not a program");
    assert_eq!(said(&[]), "the command is empty");
    fs::write(&file, "echo no interpreter line\n").unwrap();
    assert_eq!(said(&["./file"]), "`./file` is not executable (try: chmod +x)");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(said(&["./file"]).starts_with("`./file` is neither a program for this machine nor a script"));
    fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    assert!(said(&["./file"]).starts_with("`./file` is there, but the interpreter"));
    let long = "x".repeat(3 << 20);
    assert!(said(&["/bin/true", &long]).contains("too long for the system (31"));
}

#[test]
fn a_folder_that_is_not_there() {
    let mut keeper = Keeper::start();
    let command = CommandSpec { cwd: Cwd::Path("none".into()), ..command(&["true"]) };
    let outcome = keeper.run(Work::Exec(ExecSpec { command, ..ExecSpec::default() }), None);
    assert_eq!(outcome.status, Status::SetupFailed);
    assert!(reason(&outcome).contains("/campaign/none` is not there on this node"), "{}", reason(&outcome));
}

#[test]
fn output_that_is_not_text_arrives_as_it_is() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh(r"printf 'a\377\000b'; printf '\376' >&2; exit 1");
    assert_eq!(ran(&outcome).stdout, b"a\xff\0b");
    assert_eq!(reason(&outcome), "exit code 1; the end of its standard error:\n\\xfe");
}

#[test]
fn a_gigabyte_of_output_costs_neither_memory_nor_the_end() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("echo first; head -c 1073741824 /dev/zero; echo last");
    assert!(outcome.ok());
    let result = ran(&outcome);
    assert_eq!(result.stdout_bytes, (1 << 30) + 11);
    assert!(result.stdout.starts_with(b"first\n") && result.stdout.ends_with(b"last\n"));
    assert!(result.stdout.len() < (1 << 20) + 100);
    assert!(keeper.peak_memory() < 40 << 20, "{} B", keeper.peak_memory());
}

#[test]
fn output_goes_where_it_was_sent() {
    let mut keeper = Keeper::start();
    let command = CommandSpec {
        stdout: Sink::File("out.txt".into()),
        stderr: Sink::Null,
        ..command(&["sh", "-c", "echo out; echo err >&2"])
    };
    let outcome = keeper.run(Work::Exec(ExecSpec { command, ..ExecSpec::default() }), None);
    assert!(outcome.ok() && ran(&outcome).stdout.is_empty() && ran(&outcome).stderr.is_empty());
    assert_eq!(fs::read(keeper.campaign().join("out.txt")).unwrap(), b"out\n");
}

/// Opening a named pipe waits for its reader: not in the keeper, which has others to look after.
#[test]
fn a_named_pipe_as_output_needs_its_reader_first() {
    let mut keeper = Keeper::start();
    let fifo = keeper.campaign().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RWXU).unwrap();
    let to_fifo = |stderr: bool| {
        let sink = Sink::File("fifo".into());
        let mut command = command(&["sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"]);
        *(if stderr { &mut command.stderr } else { &mut command.stdout }) = sink;
        Work::Exec(ExecSpec { command, ..ExecSpec::default() })
    };
    for stderr in [false, true] {
        let outcome = keeper.run(to_fifo(stderr), None);
        assert_eq!(outcome.status, Status::SetupFailed);
        let text = "cannot write its output to `fifo`: a named pipe that nobody on this node reads; start its reader first";
        assert_eq!(reason(&outcome), text);
        // More than a pipe holds: the program waits for its reader, as it would with any pipe.
        let path = fifo.clone();
        let reader = std::thread::spawn(move || fs::read(path).unwrap().len());
        // The reader may not have opened its end yet.
        let outcome = loop {
            let outcome = keeper.run(to_fifo(stderr), None);
            if outcome.status != Status::SetupFailed {
                break outcome;
            }
        };
        assert_eq!((outcome.status, reader.join().unwrap()), (Status::Ok, 1_000_000));
    }
}

#[test]
fn what_is_no_file_is_not_taken_for_an_output() {
    let mut keeper = Keeper::start();
    for (line, what) in [("mkfifo x", "a named pipe"), ("mkdir x", "a folder")] {
        let command = CommandSpec { cwd: Cwd::Scratch, ..command(&["sh", "-c", line]) };
        let spec = ExecSpec { command, outputs: vec!["x".into()], ..ExecSpec::default() };
        let outcome = keeper.run(Work::Exec(spec), None);
        assert_eq!(outcome.status, Status::VerifyFailed);
        assert_eq!(reason(&outcome), format!("it ended well, but `x` is {what}, not a file"));
    }
}

#[test]
fn files_travel_by_content_into_a_fresh_folder_and_back() {
    let mut keeper = Keeper::start();
    let input = Input {
        path: "data/in.txt".into(),
        hash: keeper.store().put_bytes(b"7\n", false).unwrap(),
        executable: false,
    };
    let mut spec = ExecSpec {
        command: CommandSpec {
            cwd: Cwd::Scratch,
            inputs: vec![input],
            ..command(&["sh", "-c", "cat data/in.txt data/in.txt > out.txt"])
        },
        outputs: vec!["out.txt".into()],
        ..ExecSpec::default()
    };
    let outcome = keeper.run(Work::Exec(spec.clone()), None);
    let hash = ran(&outcome).outputs["out.txt"];
    assert_eq!(fs::read(keeper.store().path(hash)).unwrap(), b"7\n7\n");
    spec.outputs = vec!["other.txt".into()];
    let outcome = keeper.run(Work::Exec(spec.clone()), None);
    assert_eq!(outcome.status, Status::VerifyFailed);
    assert_eq!(reason(&outcome), "it ended well but left no file `other.txt`");
    spec.command.inputs[0].hash = Hash::of(b"never stored");
    let outcome = keeper.run(Work::Exec(spec.clone()), None);
    assert_eq!(outcome.status, Status::SetupFailed);
    assert!(reason(&outcome).starts_with("input `data/in.txt`: artefact "), "{}", reason(&outcome));
    spec.command.inputs[0].path = "../out".into();
    assert_eq!(keeper.run(Work::Exec(spec), None).status, Status::Refused);
}
