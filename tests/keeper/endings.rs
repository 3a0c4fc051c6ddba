//! How programs end when somebody else decides, who is killed with them, and what the keeper does meanwhile.

use super::*;

#[path = "../support/memory_group.rs"]
mod memory_group;
use memory_group::MemoryGroup;

#[test]
fn signals_are_named_and_a_kill_is_not_taken_for_out_of_memory() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("kill -SEGV $$");
    assert_eq!(outcome.status, Status::Signal);
    assert_eq!(reason(&outcome), "killed by signal 11 (SIGSEGV)");
    assert_eq!((ran(&outcome).exit_code, ran(&outcome).signal), (None, Some(11)));
    let outcome = keeper.sh("kill -KILL $$");
    let killed = "killed by signal 9 (SIGKILL): harness did not send that; memory may be why, though the kernel counted no \
                  kill for it here";
    assert_eq!((outcome.status, reason(&outcome)), (Status::Signal, killed));
}

#[test]
fn out_of_memory_is_told_when_the_kernel_says_so() {
    let Some(group) = MemoryGroup::of(64 << 20) else {
        println!("skipped: may not make a memory control group");
        return;
    };
    let mut keeper = Keeper::start_in(Some(&group.0));
    let outcome = keeper.exec(&["tail", "/dev/zero"]); // one endless line
    assert_eq!(outcome.status, Status::Oom);
    assert!(reason(&outcome).starts_with("the kernel killed it: out of memory"), "{}", reason(&outcome));
    assert_eq!(ran(&outcome).signal, Some(9));
    let outcome = keeper.sh("tail /dev/zero; exit $?"); // and a shell, which says so by its exit code
    assert_eq!((outcome.status, ran(&outcome).exit_code), (Status::Oom, Some(137)), "{}", reason(&outcome));
    let spec = MeasureSpec { command: command(&["tail", "/dev/zero"]), ..MeasureSpec::default() };
    let outcome = keeper.run(Work::Measure(Box::new(spec)), None);
    assert_eq!(outcome.status, Status::Oom);
    let told = "warm-up run 1: the kernel killed it: out of memory";
    assert!(reason(&outcome).starts_with(told), "{}", reason(&outcome));
    let Detail::Measure(result) = &outcome.detail else { panic!("{outcome:?}") };
    assert_eq!((result.samples.len(), &result.stats), (0, &None));
    let outcome = keeper.sh("kill -KILL $$");
    assert_eq!(outcome.status, Status::Signal);
}

#[test]
fn a_keeper_answers_that_it_lives() {
    let mut keeper = Keeper::start();
    keeper.send(&ToKeeper::Ping);
    assert_eq!(keeper.receive(), FromKeeper::Alive);
}

#[test]
fn a_timeout_takes_grandchildren_along() {
    let mut keeper = Keeper::start();
    // Children of its group, of another session, and orphans of another session.
    let line = "sleep 600 & setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600 & wait' &) ; wait";
    let outcome = keeper.run(exec(&["/bin/sh", "-c", line]), Some(1.0));
    assert_eq!(outcome.status, Status::Timeout);
    assert!(reason(&outcome).starts_with("ran into its timeout of 1 s; it "), "{}", reason(&outcome));
    assert!(outcome.elapsed_s >= 1.0);
    assert_eq!(keeper.living(), []);
}

#[test]
fn a_program_that_ignores_sigterm_is_killed_and_all_are_counted() {
    let mut keeper = Keeper::start();
    let line = "trap '' TERM; sleep 600 & (setsid sleep 600 &) ; sleep 600; sleep 600";
    let task = keeper.begin(exec(&["/bin/sh", "-c", line]), None);
    keeper.until_sleeping(3);
    keeper.kill(task);
    let outcome = keeper.outcome(task);
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(reason(&outcome), "cancelled while it ran; it and 3 processes it started were killed");
    assert_eq!(keeper.living(), []);
}

#[test]
fn a_daemon_left_behind_is_killed_and_counted() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("(setsid sleep 600 &) ; sleep 600 & exit 0");
    assert!(outcome.ok());
    assert_eq!(ran(&outcome).leftovers, 2);
    assert_eq!(keeper.living(), []);
    // It holds the pipe open, and hides what it is: still no reason to wait.
    let outcome = keeper.sh("(env -i setsid sleep 601 &) ; echo said");
    assert_eq!((ran(&outcome).leftovers, &*ran(&outcome).stdout), (1, &b"said\n"[..]));
}

#[test]
fn a_daemon_that_hides_is_found_beside_another_task() {
    let mut keeper = Keeper::start();
    let long = keeper.begin(exec(&["sleep", "600"]), None);
    for line in ["env -i sleep 601 & exit 0", "set -m; env -i sleep 601 & exit 0"] {
        let outcome = keeper.sh(line);
        assert_eq!(ran(&outcome).leftovers, 1, "{line}");
    }
    keeper.kill(long);
    assert_eq!(keeper.outcome(long).status, Status::Cancelled);
}

#[test]
fn daemons_that_hide_end_with_the_last_of_those_that_end_together() {
    let mut keeper = Keeper::start(); // two slots
    for _ in 0..300 {
        let line = "(env -i setsid sleep 601 &) ; exit 0";
        (0..2).for_each(|_| _ = keeper.begin_unheard(exec(&["/bin/sh", "-c", line]), None));
        let mut ended = 0;
        while ended < 2 {
            ended += usize::from(matches!(keeper.receive(), FromKeeper::Done(..)));
        }
        assert_eq!(process::children_of(keeper.child.pid), []);
    }
}

#[test]
fn a_daemon_of_another_task_is_left_alone() {
    let mut keeper = Keeper::start();
    let long =
        keeper.begin(exec(&["/bin/sh", "-c", "mkfifo fifo; (setsid sleep 600 &) ; read line < fifo"]), None);
    keeper.until_sleeping(1);
    let short = keeper.sh("exit 0");
    assert_eq!(ran(&short).leftovers, 0);
    keeper.until_sleeping(1);
    keeper.kill(long);
    let outcome = keeper.outcome(long);
    assert_eq!(outcome.status, Status::Cancelled);
    assert_eq!(reason(&outcome), "cancelled while it ran; it and a process it started were killed");
    assert_eq!(keeper.living(), []);
}

#[test]
fn a_program_that_meets_a_limit_says_which() {
    let mut keeper = Keeper::start();
    let mut ends = |argv: &[&str], limits: Ulimits| {
        let env = [("LC_ALL".to_owned(), "C".to_owned())].into();
        let limits = Some(Box::new(limits));
        let command = CommandSpec { limits, env, cwd: Cwd::Scratch, ..command(argv) };
        let outcome = keeper.run(Work::Exec(ExecSpec { command, ..ExecSpec::default() }), Some(60.0));
        let first = reason(&outcome).split(';').next().unwrap().to_owned();
        (outcome.status, first)
    };
    let none = Ulimits::default();
    let said = ends(&["tail", "/dev/zero"], Ulimits { memory: Some(64 << 20), ..none });
    let told = "exit code 1: it seems to have met its limit of memory, 64 MiB: raise limits.memory";
    assert_eq!(said, (Status::NonzeroExit, told.into()));
    let said = ends(&["sh", "-c", "while :; do :; done"], Ulimits { cpu_time: Some(1), ..none });
    let told = "killed by signal 24 (SIGXCPU): it met its limit of cpu_time, 1 s: raise limits.cpu_time";
    assert_eq!(said, (Status::Signal, told.into()));
    let write = ["dd", "if=/dev/zero", "of=big", "bs=65536", "count=100"];
    let said = ends(&write, Ulimits { file_size: Some(1 << 20), ..none });
    let told = "killed by signal 25 (SIGXFSZ): it met its limit of file_size, 1 MiB: raise limits.file_size";
    assert_eq!(said, (Status::Signal, told.into()));
    let paste = [&["paste"][..], &["/dev/null"; 12]].concat();
    let said = ends(&paste, Ulimits { open_files: Some(8), ..none });
    let told = "exit code 1: it seems to have met its limit of open_files, 8: raise limits.open_files";
    assert_eq!(said, (Status::NonzeroExit, told.into()));
}

/// Children that have ended and that nobody waits for; then it ends too, or stays.
const ZOMBIES: &str = r#"
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int words, char **word) {
  int ended = 0;
  for (int i = 0; i < 1000; i++) {
    siginfo_t end;
    pid_t child = fork();
    if (child == 0) _exit(0);
    ended += child > 0 && waitid(P_PID, child, &end, WEXITED | WNOWAIT) == 0;
  }
  printf("%d\n", ended);
  fflush(stdout);
  if (words > 1) pause();
  return 0;
}
"#;

#[test]
fn a_thousand_zombies_go_with_their_program() {
    let mut keeper = Keeper::start();
    fs::write(keeper.campaign().join("zombies.c"), ZOMBIES).unwrap();
    assert!(keeper.exec(&["cc", "-o", "zombies", "zombies.c"]).ok());
    let children = |keeper: &Keeper| process::children_of(keeper.child.pid);
    let outcome = keeper.exec(&["./zombies"]);
    assert_eq!((outcome.status, &*ran(&outcome).stdout), (Status::Ok, &b"1000\n"[..]));
    assert_eq!(ran(&outcome).leftovers, 0, "there was nobody to kill");
    assert_eq!(children(&keeper), []);
    let outcome = keeper.run(exec(&["./zombies", "stay"]), Some(1.0));
    assert_eq!(reason(&outcome), "ran into its timeout of 1 s; it was killed");
    assert_eq!(children(&keeper), []);
    // Left behind with its own.
    let outcome = keeper.sh("./zombies stay > out & while [ ! -s out ]; do sleep 0.01; done");
    assert_eq!((outcome.status, ran(&outcome).leftovers), (Status::Ok, 1));
    assert_eq!(children(&keeper), []);
}

#[test]
fn when_the_worker_is_gone_nothing_is_left() {
    let mut keeper = Keeper::start();
    let line =
        "trap '' TERM HUP; (env -i PATH=$PATH setsid sleep 602 &) ; (setsid sleep 600 &) ; sleep 600 & wait";
    keeper.begin(exec(&["/bin/sh", "-c", line]), None);
    keeper.begin(exec(&["sleep", "600"]), None);
    keeper.until_sleeping(3);
    keeper.worker = None;
    keeper.until_living("left behind", LEFT_LIMIT, |living| living.is_empty());
    let (exit, _) = process::wait(keeper.child.pid).unwrap();
    assert_eq!(exit, process::Exit::Code(0));
}

#[test]
fn many_programs_at_once_and_signals_of_a_batch_system_do_no_harm() {
    let mut keeper = Keeper::start();
    for _ in 0..40 {
        keeper.tasks += 1;
        let run = Run {
            task: TaskId(keeper.tasks),
            attempt: Attempt(0),
            timeout: None,
            cores: 1,
            pin: None,
            alone: false,
            gang: None,
            work: exec(&["/bin/sh", "-c", "echo $HARNESS_TASK_ID"]),
        };
        keeper.send(&ToKeeper::Run(Box::new(run)));
    }
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1] {
        kill_process(keeper.child.pid, signal).unwrap();
    }
    let mut outputs = BTreeMap::new();
    while outputs.len() < 40 {
        if let FromKeeper::Done(task, _, outcome) = keeper.receive() {
            assert_eq!(ran(&outcome).leftovers, 0);
            outputs.insert(task, String::from_utf8(ran(&outcome).stdout.clone()).unwrap());
        }
    }
    assert!(outputs.iter().all(|(task, output)| *output == format!("{task}.0\n")), "{outputs:?}");
}

/// A batch system that ends a job signals all of it: what died of that is not said to have failed.
#[test]
fn what_dies_of_a_signal_to_everybody_is_no_end_of_its_own() {
    for keeper_is_first in [true, false] {
        let mut keeper = Keeper::start();
        keeper.begin(exec(&["sleep", "600"]), None);
        keeper.until_sleeping(1);
        let program = process::Pid::from_raw(keeper.living()[0].0).unwrap();
        let mut victims = vec![program, keeper.child.pid];
        if keeper_is_first {
            victims.reverse();
        }
        victims.into_iter().for_each(|victim| kill_process(victim, Signal::TERM).unwrap());
        let worker = keeper.worker.as_mut().unwrap();
        let until = Timespec::try_from(PATIENCE).unwrap();
        loop {
            assert_eq!(worker.take::<FromKeeper>().unwrap(), None);
            assert_ne!(poll(&mut [PollFd::new(&*worker, PollFlags::IN)], Some(&until)).unwrap(), 0);
            if worker.fill().is_err() {
                break;
            }
        }
    }
}

/// What ended by itself before that is told, and read in time by a worker that is slow.
#[test]
fn what_ended_well_is_told_also_when_everybody_is_to_end() {
    let mut keeper = Keeper::start(); // two slots
    let large = keeper.begin(exec(&["head", "-c", "1000000", "/dev/zero"]), None); // more than the socket takes
    let victim = keeper.begin_unheard(exec(&["sleep", "600"]), None);
    keeper.until_sleeping(1);
    let sleeper = process::Pid::from_raw(keeper.living()[0].0).unwrap();
    keeper.until_living("the first ends", PATIENCE, |living| living.len() == 1);
    let well = keeper.begin_unheard(exec(&["sleep", "0.3"]), None);
    keeper.until_living("the last one begins", PATIENCE, |living| living.len() >= 2);
    kill_process(keeper.child.pid, Signal::STOP).unwrap();
    // The last one ends, and all the others are told to, while the keeper cannot look.
    keeper.until_living("the last one ends", PATIENCE, |living| living.len() == 1);
    [sleeper, keeper.child.pid].into_iter().for_each(|pid| kill_process(pid, Signal::TERM).unwrap());
    keeper.until_living("all end", PATIENCE, <[_]>::is_empty);
    kill_process(keeper.child.pid, Signal::CONT).unwrap();
    let _ = poll(&mut [], Some(&Timespec { tv_sec: 0, tv_nsec: 200_000_000 }));
    let mut ended = Vec::new();
    let worker = keeper.worker.as_mut().unwrap();
    loop {
        let filled = worker.fill();
        while let Some(message) = worker.take::<FromKeeper>().unwrap() {
            if let FromKeeper::Done(task, _, outcome) = message {
                ended.push((task, outcome.status));
            }
        }
        if filled.is_err() {
            break;
        }
        let until = Timespec::try_from(PATIENCE).unwrap();
        assert_ne!(poll(&mut [PollFd::new(&*worker, PollFlags::IN)], Some(&until)).unwrap(), 0);
    }
    assert_eq!(ended, [(large, Status::Ok), (well, Status::Ok)], "and not {victim}");
}

#[test]
fn a_signal_to_a_program_alone_is_its_end() {
    let mut keeper = Keeper::start();
    let outcome = keeper.sh("kill -TERM $$");
    assert_eq!((outcome.status, reason(&outcome)), (Status::Signal, "killed by signal 15 (SIGTERM)"));
}

#[test]
fn work_waits_for_free_slots_and_can_be_taken_back() {
    let mut keeper = Keeper::start(); // two slots
    let long = [0, 1].map(|_| keeper.begin(exec(&["sleep", "600"]), None));
    let order = |task, cores| {
        let work = exec(&["true"]);
        ToKeeper::Run(Box::new(Run {
            task,
            attempt: Attempt(0),
            timeout: None,
            cores,
            pin: None,
            alone: false,
            gang: None,
            work,
        }))
    };
    let [ahead, third, fourth] = [3, 4, 5].map(TaskId);
    keeper.send(&order(ahead, 1));
    assert_eq!(keeper.receive(), FromKeeper::Recalled(ahead, Attempt(0)), "all that runs is long");
    keeper.kill(long[0]);
    assert_eq!(keeper.outcome(long[0]).status, Status::Cancelled);
    keeper.send(&order(third, 2));
    keeper.send(&order(fourth, 2));
    keeper.kill(third);
    assert_eq!(keeper.receive(), FromKeeper::Recalled(third, Attempt(0)));
    keeper.kill(long[1]);
    // It begins with the end of the second, which may be told before or after.
    let mut told = [keeper.receive(), keeper.receive(), keeper.receive()];
    told.sort_by_key(|message| matches!(message, FromKeeper::Done(task, ..) if *task == long[1]));
    let [started, done, _] = told;
    assert_eq!(started, FromKeeper::Started(fourth, Attempt(0)));
    assert!(matches!(done, FromKeeper::Done(task, _, outcome) if task == fourth && outcome.ok()));
}

#[test]
fn a_slot_is_started_with_its_descriptors_and_its_end_is_told() {
    let mut keeper = Keeper::start();
    let (socket, theirs) = socket_pair().unwrap();
    let (gate, their_gate) = socket_pair().unwrap();
    let worker = keeper.worker.as_mut().unwrap();
    worker.queue_with_fds(&ToKeeper::StartSlot(SlotId(1)), vec![theirs, their_gate]);
    worker.flush().unwrap();
    // A slot ends when nobody is at the other end.
    drop((socket, gate));
    let FromKeeper::SlotEnded(slot, end) = keeper.receive() else { panic!("not the end of a slot") };
    assert!(slot == SlotId(1) && matches!(end, SlotEnd::Exited(_)), "{end:?}");
    // A slot that has ended cannot be killed, and nothing is said of it.
    keeper.send(&ToKeeper::KillSlot(SlotId(1)));
    assert!(keeper.exec(&["/bin/true"]).ok());
}

#[test]
fn work_before_the_set_up_is_refused_in_words() {
    let (ours, theirs) = socket_pair().unwrap();
    let theirs = fcntl_dupfd_cloexec(&theirs, 64).unwrap();
    let null = own::null_device().unwrap();
    let child = process::spawn(&Launch {
        program: Some(&CString::new(env!("CARGO_BIN_EXE_harness")).unwrap()),
        argv: &[c"harness".to_owned(), c"__keeper".to_owned()],
        environment: &Environment::default(),
        cwd: Some(Path::new("/")),
        stdio: [null.as_fd(), null.as_fd(), null.as_fd()],
        fds: &[(theirs.as_fd(), 3)],
    })
    .unwrap();
    drop(theirs);
    let worker = Stream::new(ours).unwrap();
    let mut keeper = Keeper {
        child,
        worker: Some(worker),
        mark: "none".into(),
        folder: tempfile::tempdir().unwrap(),
        tasks: 0,
    };
    fs::create_dir(keeper.folder.path().join("tmp")).unwrap();
    let outcome = keeper.run(exec(&["true"]), None);
    assert_eq!(outcome.status, Status::SetupFailed);
    keeper.send(&ToKeeper::StartSlot(SlotId(0)));
    let why = "its socket and its gate did not come with the message".into();
    assert_eq!(keeper.receive(), FromKeeper::SlotEnded(SlotId(0), SlotEnd::NotStarted(why)));
}
