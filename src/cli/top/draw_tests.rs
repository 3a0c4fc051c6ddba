//! Pictures of a campaign, as a terminal without a screen has them.

use super::*;
use crate::model::{BatchJob, FailureStatus, Kind, RunningStatus, WaitingStatus};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

fn running(name: &str, since_s: f64) -> RunningStatus {
    RunningStatus { task: 0, name: name.into(), since_s }
}

fn worker_on(id: u32, host: &str, tasks: Vec<RunningStatus>) -> WorkerStatus {
    WorkerStatus { id, host: host.into(), stage: "ready".into(), slots: 4, tasks, ..WorkerStatus::default() }
}

fn state() -> State {
    let mut measured = worker_on(1, "node2", vec![running("gemm tile=32 (task 5)", 12.3)]);
    measured.measured = true;
    let mut gone = worker_on(2, "node3", vec![]);
    gone.stage = "gone".into();
    let runs = (0..6).map(|n| running(&format!("stress n={n} (task {})", n + 10), 61.0)).collect();
    let busy = WorkerStatus { gpus: 2, ahead: 7, ..worker_on(0, "node1", runs) };
    let status = CampaignStatus {
        state: "running".into(),
        script: "tune.lua".into(),
        host: "node1".into(),
        pid: 4711,
        job: Some(BatchJob { scheduler: "Slurm".into(), id: "17".into() }),
        running_s: 123.0,
        left_s: Some(40.2),
        kinds: [
            (Kind::Compile, KindStatus { submitted: 4, running: 0, done: 4, failed: 1 }),
            (Kind::Measure, KindStatus { submitted: 40, running: 1, done: 10, failed: 2 }),
        ]
        .into(),
        ended: [(Status::Ok, 11), (Status::Timeout, 2), (Status::CompileFailed, 1)].into(),
        replayed: 3,
        failures: vec![FailureStatus {
            count: 1,
            text: "compile gemm on node1: compile_failed: no `flaot`".into(),
        }],
        workers: vec![busy, measured, gone],
        waiting: vec![WaitingStatus {
            reason: "room".into(),
            count: 29,
            why: "it needs a whole node with 1 core".into(),
            first: vec!["gemm tile=33 (task 6)".into()],
        }],
        ..CampaignStatus::default()
    };
    let mut state = State::default();
    state.answered(0.0, CampaignStatus { kinds: Default::default(), ..status.clone() });
    state.answered(10.0, CampaignStatus { replayed: 0, ..status });
    let figures = "median 12.49 GFLOP/s, 95 % CI [12.29, 12.61], n = 20, precise";
    state.measured.push_front(("gemm compiler=gcc tile=31".into(), figures.into()));
    state
}

fn picture(state: &State, now: f64, width: u16, height: u16) -> (Vec<String>, usize) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut scrollable = 0;
    terminal.draw(|frame| scrollable = draw(frame, state, now)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_string();
    ((0..height).map(row).collect(), scrollable)
}

#[track_caller]
fn looks(state: &State, now: f64, size: (u16, u16), expected: &str) {
    let (rows, _) = picture(state, now, size.0, size.1);
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(rows, expected, "\n{}\n", rows.join("\n"));
}

#[test]
fn a_screen_has_all_of_it() {
    let picture = "\
tune.lua on node1 (pid 4711, Slurm job 17): running
for 2 min 3 s · about 40 s left · 84 tasks a minute
 compile [█████████████████████████████xxxxxxxxx] 4 of 4 done, 1 failed
 measure [█████████x▒···························] 10 of 40 done, 2 failed, 1 running, 29 waiting

workers: 2 ready, 1 gone; 8 slots
node1  worker 0 (4 slots, 2 GPUs): 6 run, 7 sent ahead
        61 s  stress n=0 (task 10)
        61 s  stress n=1 (task 11)
        61 s  stress n=2 (task 12)
        61 s  stress n=3 (task 13)
        61 s  stress n=4 (task 14)
        61 s  stress n=5 (task 15)
node2  worker 1 (4 slots): a measurement has the node
        12 s  gemm tile=32 (task 5)

waiting: 29 tasks
29 tasks waiting for room: gemm tile=33 (task 6) and 28 more
  the first: it needs a whole node with 1 core

failed: 2 timeout, 1 compile_failed
compile gemm on node1: compile_failed: no `flaot`

measured last
gemm compiler=gcc tile=31: median 12.49 GFLOP/s, 95 % CI [12.29, 12.61], n = 20, precise




q quit · ↑ ↓ PgUp PgDn workers · p pause · ? help
";
    looks(&state(), 10.0, (100, 30), picture);
}

#[test]
fn what_stands_behind_figures_gives_way_before_the_name() {
    let figures = "median 368.9 MLUP/s, min 352.6, max 922.6, n = 5 (n < 7, no interval), fixed; unstable, noisy_env:load";
    for (room, expected) in [
        (120, figures),
        (92, "median 368.9 MLUP/s, min 352.6, max 922.6, n = 5 (n < 7, no interval), fixed; unstable, noi…"),
        (76, "median 368.9 MLUP/s, min 352.6, max 922.6, n = 5 (n < 7, no interval), fixed"),
        (60, "median 368.9 MLUP/s, min 352.6, max 922.6, n = 5, fixed"),
        (50, "median 368.9 MLUP/s, min 352.6, max 922.6, n = 5"),
    ] {
        let shown = in_short(figures, room);
        assert_eq!(shown, expected, "{room}");
    }
}

#[test]
fn a_narrow_and_low_one_shows_the_most_important() {
    let picture = "\
tune.lua on node1 (pid 4711, Slurm job 17): running
for 2 min 3 s · about 40 s left · 84 tasks a minute
 compile 4 of 4 done, 1 failed
 measure 10 of 40 done, 2 failed, 1 running, 29 waiting

workers: 2 ready, 1 gone; 8 slots (line 1 of 9)
node1  worker 0 (4 slots, 2 GPUs): 6 run, 7 sent ahead

waiting: 29 tasks (line 1 of 2)
29 tasks waiting for room: gemm tile=33 (task 6) and 28 more

failed: 2 timeout, 1 compile_failed
compile gemm on node1: compile_failed: no `flaot`
q quit · ↑ ↓ PgUp PgDn workers · p pause · ? help
";
    looks(&state(), 10.0, (60, 14), picture);
    // Of a line that is too long what stands behind the figures is cut, and then the name.
    let figures = "median 12.49 GFLOP/s, 95 % CI [12.29, 12.61], n = 20";
    for (width, name) in [(80, "gemm compiler=gcc tile=31"), (71, "gemm compiler=gc…")] {
        let (rows, _) = self::picture(&state(), 10.0, width, 30);
        assert!(rows.iter().any(|row| *row == format!("{name}: {figures}")), "{rows:#?}");
    }
}

#[test]
fn what_stands_in_the_way_is_said_with_how_old_the_picture_is() {
    let notice = |state: &State| picture(state, 32.0, 140, 12).0[2].clone();
    let mut late = State { word: Word::Late, ..state() };
    let says =
        "a measurement has the root's node: the answer comes when it ends, or to `harness status --now`";
    assert_eq!(notice(&late), format!("{says}; this is how it was 22 s ago"));
    late.paused = true;
    assert_eq!(notice(&late), "paused, p goes on; this is how it was 22 s ago");
    let unheard = State { word: Word::Unheard("node1 does not answer".into()), ..state() };
    assert_eq!(notice(&unheard), "node1 does not answer; this is how it was 22 s ago");
    let mut stopping = state();
    stopping.status.as_mut().unwrap().stopping = Some("by SIGTERM".into());
    assert_eq!(notice(&stopping), "stopping by SIGTERM: nothing starts any more");
    let first = State { word: Word::Late, ..State::default() };
    let (rows, _) = picture(&first, 3.0, 100, 5);
    assert_eq!(rows[0], says);
}

#[test]
fn after_the_end_nothing_runs_any_more() {
    let over = State { word: Word::Over("the script came to its end (exit code 0)".into()), ..state() };
    let (rows, scrollable) = picture(&over, 99.0, 100, 30);
    assert_eq!(rows[2], "the script came to its end (exit code 0); this is what the journal has; q leaves");
    assert!(!rows.iter().any(|row| row.contains("workers:") || row.contains("waiting:")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.starts_with("measured last")), "{rows:#?}");
    assert_eq!(scrollable, 0);
}

#[test]
fn workers_are_scrolled_and_help_explains() {
    let mut state = state();
    let (rows, scrollable) = picture(&state, 10.0, 80, 18);
    assert!(scrollable > 0 && rows.iter().any(|row| row.starts_with("node1  worker 0")), "{rows:#?}");
    state.scroll = 99;
    let (rows, again) = picture(&state, 10.0, 80, 18);
    assert_eq!(again, scrollable);
    assert!(!rows.iter().any(|row| row.starts_with("node1  worker 0")), "{rows:#?}");
    assert!(rows.iter().any(|row| row.contains("12 s  gemm tile=32 (task 5)")), "{rows:#?}");
    state.help = true;
    let (rows, _) = picture(&state, 10.0, 80, 18);
    assert!(rows.iter().any(|row| row.starts_with("p                pause")), "{rows:#?}");
}

#[test]
fn no_size_is_too_small() {
    for size in [(1, 1), (3, 2), (20, 3), (10, 40), (300, 100)] {
        picture(&state(), 10.0, size.0, size.1);
    }
}

#[test]
fn lines_are_shared_out_fairly() {
    assert_eq!(share(14, &[3, 20, 0, 4]), [3, 7, 0, 4]);
    assert_eq!(share(100, &[3, 20, 0, 3]), [3, 20, 0, 3]);
    assert_eq!(share(8, &[5, 5, 5, 5]), [4, 4, 0, 0], "one that shows nothing is none");
    assert_eq!(share(2, &[5, 0, 0, 0]), [0; 4]);
}

#[test]
fn a_bar_is_as_long_as_it_should_be() {
    let shown = |counts: KindStatus| {
        let line = bar("exec", &counts, 102);
        line.spans.iter().map(|span| span.content.to_string()).collect::<String>()
    };
    let all = shown(KindStatus { submitted: 3, running: 0, done: 3, failed: 0 });
    assert_eq!(all, format!("    exec [{}] 3 of 3 done", "█".repeat(40)));
    let some = shown(KindStatus { submitted: 1000, running: 1, done: 2, failed: 1 });
    let cells = format!("█x▒{}", "·".repeat(37));
    assert!(some.contains("] 2 of 1000 done, 1 failed, 1 running, 997 waiting"), "{some}");
    let bar: String = some.chars().skip_while(|c| *c != '[').skip(1).take(40).collect();
    assert_eq!((bar.matches('x').count(), bar.matches('▒').count()), (1, 1), "{cells} or so: {bar}");
}
