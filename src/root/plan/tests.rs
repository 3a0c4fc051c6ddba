//! What is asked for is what is planned; a second run with other figures stops where it asks for something else.

use super::*;
use crate::model::{CompileSpec, Detail, MeasureSpec, TaskOptions};
use crate::root::port::{Baggage, CallJob, Wait};

fn order(job: Job, name: &str) -> Order {
    let options = TaskOptions { name: Some(name.into()), ..TaskOptions::default() };
    Order { pool: None, options: options.into(), job, deps: Vec::new(), known: Vec::new(), deferred: false }
}

fn build(output: &str) -> Job {
    Job::Compile(Box::new(CompileSpec { output: output.into(), ..CompileSpec::default() }))
}

fn terms(most: usize, other: bool, first: Vec<Hash>) -> Terms {
    let call = |values: u8| CallReturn { values: vec![values].into(), ..CallReturn::default() };
    let calls = (0..3).map(call).collect();
    let (campaign, index) = Default::default();
    Terms {
        campaign,
        index,
        most,
        time: Duration::from_secs(60),
        calls,
        returned: |code| code.len(),
        other,
        first,
    }
}

fn end(port: &mut Port) -> Arc<Outcome> {
    match port.take(Wait::Forever) {
        Taken::Completion(end) => end.outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_plan_is_what_was_asked_for() {
    let script = |mut port: Port| {
        for output in ["a", "b", "a"] {
            port.submit(order(build(output), output));
        }
        let reference = Order { deferred: true, ..order(Job::Exec(Box::default()), "reference") };
        let reference = port.submit(reference);
        let forgotten = Order { deferred: true, ..order(Job::Exec(Box::default()), "forgotten") };
        port.submit(forgotten);
        let measure = Job::Measure(Box::new(MeasureSpec { max_time: 3.0, ..MeasureSpec::default() }));
        port.submit(Order { deps: vec![reference], ..order(measure, "m") });
        for _ in 0..4 {
            assert!(end(&mut port).ok());
        }
        let measured = end(&mut port);
        let Detail::Measure(result) = &measured.detail else { panic!("{measured:?}") };
        assert_eq!((result.samples.len(), measured.elapsed_s), (10, 3.0));
        assert!(matches!(port.take(Wait::Forever), Taken::Nothing), "what nobody needs does not run");
        assert!(port.now() > 7.0, "four of some time, one of three seconds");
        ScriptEnd::Finished
    };
    let (plan, ended) = run(terms(100, false, Vec::new()), Box::new(script)).unwrap();
    assert_eq!(ended, Some(ScriptEnd::Finished));
    let kinds: Vec<Kind> = plan.tasks.iter().map(|task| task.kind).collect();
    assert_eq!(kinds, [Kind::Compile, Kind::Compile, Kind::Compile, Kind::Exec, Kind::Measure]);
    assert!(plan.tasks[0].build == plan.tasks[2].build && plan.tasks[0].build != plan.tasks[1].build);
    assert_eq!((plan.tasks[3].cost, plan.tasks[4].cost), (Cost::Unknown, Cost::Sampling(3.0)));
    assert_eq!((plan.made_up, plan.is_endless, plan.parts), (5, false, None));
}

#[test]
fn a_call_gives_as_many_values_as_its_function_returns() {
    let script = |mut port: Port| {
        let mut given = |class: Hash, code: Option<&[u8]>| {
            let codes = code.iter().map(|code| (class, Arc::from(*code))).collect();
            let baggage = Baggage { codes, ..Baggage::default() }.into();
            let call = CallJob { class: class.first_half(), baggage, ..CallJob::default() };
            port.submit(order(Job::Call(call), "call"));
            let Detail::Call(given) = end(&mut port).detail.clone() else { panic!("a call") };
            given.values[0]
        };
        let (two, many) = (Hash::of(b"two"), Hash::of(b"many"));
        assert_eq!(given(two, Some(b"ab")), 2);
        assert_eq!(given(many, Some(b"abcdefgh")), 2, "more than there are");
        assert_eq!((given(two, None), given(Hash::of(b"unknown"), None)), (2, 1), "its code came before");
        ScriptEnd::Finished
    };
    let (_, ended) = run(terms(100, false, Vec::new()), Box::new(script)).unwrap();
    assert_eq!(ended, Some(ScriptEnd::Finished));
}

/// Measures five, and then what was best once more.
fn search(mut port: Port) -> ScriptEnd {
    let mut best = (f64::INFINITY, 0);
    for number in 0..5 {
        port.submit(order(Job::Measure(Box::default()), &number.to_string()));
        let end = end(&mut port);
        let Detail::Measure(result) = &end.detail else { panic!("{end:?}") };
        best = if result.figures()[0] < best.0 { (result.figures()[0], number) } else { best };
    }
    port.submit(order(Job::Exec(Box::default()), &best.1.to_string()));
    match port.take(Wait::Forever) {
        Taken::Draining => ScriptEnd::Stopped,
        _ => ScriptEnd::Finished,
    }
}

#[test]
fn where_figures_decide_a_second_run_parts() {
    let (first, ended) = run(terms(100, false, Vec::new()), Box::new(search)).unwrap();
    assert_eq!((first.tasks.len(), ended), (6, Some(ScriptEnd::Finished)));
    let (second, ended) = run(terms(100, true, first.prints.clone()), Box::new(search)).unwrap();
    assert_eq!(ended, Some(ScriptEnd::Stopped));
    assert_eq!(second.parts, Some((5, "exec 4".into())));
}

#[test]
fn enough_is_enough_and_so_is_the_time() {
    let endless = |mut port: Port| {
        loop {
            port.submit(order(build("a"), "a"));
            if let Some(why) = port.objection() {
                return ScriptEnd::Failed(why);
            }
        }
    };
    let (plan, ended) = run(terms(7, false, Vec::new()), Box::new(endless)).unwrap();
    assert_eq!((plan.tasks.len(), plan.is_endless), (7, true));
    assert_eq!(ended, Some(ScriptEnd::Failed("the dry run ends here: 7 tasks are enough".into())));

    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let stuck = move |mut port: Port| {
        port.submit(order(build("a"), "a"));
        let _ = stopped.recv();
        ScriptEnd::Finished
    };
    let terms = Terms { time: Duration::from_millis(50), ..terms(7, false, Vec::new()) };
    let (plan, ended) = run(terms, Box::new(stuck)).unwrap();
    drop(stop);
    assert!(ended.is_none() && plan.tasks.len() <= 1);
}

#[test]
fn workers_are_as_many_as_were_asked_for() {
    let script = |mut port: Port| {
        let pool =
            port.spawn(super::super::PoolSpec { workers: Some(3), slots: Some(2), ..Default::default() });
        let pool = pool.unwrap();
        assert_eq!((pool.id, pool.workers.len(), pool.workers[2].slots), (PoolId(0), 3, 2));
        let grown =
            port.grow(pool.id, super::super::order::Growth { workers: Some(1), ..Default::default() });
        assert_eq!(grown.unwrap().workers.len(), 4);
        assert_eq!(port.spawn(Default::default()).unwrap().workers.len(), 1);
        let absurd = super::super::PoolSpec { workers: Some(u32::MAX), ..Default::default() };
        assert!(port.spawn(absurd).unwrap_err().0.contains("more than any job has nodes for"));
        ScriptEnd::Finished
    };
    let (_, ended) = run(terms(7, false, Vec::new()), Box::new(script)).unwrap();
    assert_eq!(ended, Some(ScriptEnd::Finished));
}
