//! Ends of tasks that never ran: well, and with figures that look like some. Nobody may take them for measured: they are
//! given to a script whose output is thrown away, and to nobody else.

use std::collections::BTreeMap;

use crate::model::{
    Arg, CallReturn, CommandSpec, CompareResult, Compared, Comparison, CompileResult, CounterValues,
    Counters, Detail, Energy, Hash, HookSpec, HookTimes, Hooks, Interval, Launched, MeasureResult,
    MeasureSpec, Metric, Outcome, Phase, RunResult, Sample, Status, StopReason, Summary, TaskId, Usage,
    Verdict, VerifyResult, VerifySpec,
};
use crate::root::order::{Job, Order};

/// What a program prints that does not run: few scripts look for less than a number.
const PRINTED: &[u8] = b"1\n";
/// Nobody needs more samples to see what a script does with them (`runs` may be millions).
const MOST_RUNS: u32 = 1000;
const HOST: &str = "made-up";

/// How a task might end. `other`: with other figures, in another order.
pub(super) fn outcome(
    order: &Order,
    task: TaskId,
    elapsed_s: f64,
    call: Option<&CallReturn>,
    other: bool,
) -> Outcome {
    let figure = figure(task, other);
    let nodes = order.options.placement.nodes.unwrap_or(1);
    let detail = match &order.job {
        Job::Call(_) => Detail::Call(call.cloned().unwrap_or_default()),
        Job::Exec(spec) => Detail::Exec(Box::new(RunResult {
            exit_code: Some(spec.ok_codes.first().copied().unwrap_or(0)),
            stdout: PRINTED.to_vec(),
            stdout_bytes: PRINTED.len() as u64,
            usage: usage(figure),
            outputs: spec.outputs.iter().map(|path| (path.clone(), Hash::of(path.as_bytes()))).collect(),
            argv: argv(&spec.command),
            launched: launched(&spec.command, nodes),
            ..RunResult::default()
        })),
        Job::Compile(spec) => {
            let artefact = Hash::of(&serde_json::to_vec(spec).unwrap_or_default());
            Detail::Compile(Box::new(CompileResult {
                artefact: Some(artefact),
                text_hash: Some(artefact),
                wall_s: figure,
                argv: argv(&spec.command),
                exit_code: Some(0),
                ..CompileResult::default()
            }))
        }
        Job::Measure(spec) => Detail::Measure(Box::new(measured(spec, figure, nodes))),
        Job::Compare(spec) => {
            let comparison = comparison(spec.max_rounds, other);
            let variants = spec.variants.iter().enumerate().map(|(number, variant)| Compared {
                name: variant.name.clone(),
                params: variant.params.clone(),
                status: Status::Ok,
                reason: None,
                result: measured(&variant.spec, figure, nodes),
                comparison: (number > 0).then_some(comparison),
            });
            Detail::Compare(Box::new(CompareResult {
                variants: variants.collect(),
                rounds: spec.max_rounds,
                order_seed: spec.seed,
                min_effect: spec.min_effect,
                stop_reason: StopReason::Settled,
            }))
        }
    };
    Outcome { status: Status::Ok, reason: None, host: HOST.into(), detail, elapsed_s, conditions: None }
}

/// Later ones are larger, or smaller: who takes the best takes another.
fn figure(task: TaskId, other: bool) -> f64 {
    let step = (task.0 % 10_000) as f64 * 1e-4;
    if other { 2.0 - step } else { 1.0 + step }
}

fn comparison(rounds: u32, other: bool) -> Comparison {
    let (verdict, ratio) = if other { (Verdict::Faster, 1.1) } else { (Verdict::Equivalent, 1.0) };
    Comparison { verdict, ratio, ci: Some(interval(ratio)), rounds }
}

fn measured(spec: &MeasureSpec, figure: f64, nodes: u32) -> MeasureResult {
    let runs = spec.runs.unwrap_or(spec.min_runs).clamp(1, MOST_RUNS);
    let each = || spec.metrics.keys().map(|name| (name.clone(), figure)).collect();
    let energy = spec.energy.then_some(figure);
    let sample = |run: u32| Sample {
        phase: Phase::Sample,
        t_start_s: f64::from(run) * figure,
        usage: usage(figure),
        metrics: each(),
        output_hash: None,
        energy: Energy { pkg_j: energy, dram_j: energy },
    };
    let metrics = spec.metrics.iter().map(|(name, metric)| {
        let value = vec![figure; runs as usize];
        let stats = Some(summary(runs, figure));
        (name.clone(), Metric { unit: metric.unit.clone(), better: metric.better, value, stats })
    });
    let count = |name: &String| {
        let value = CounterValues { value: vec![Some(figure)], pcnt_running: vec![Some(100.0)], note: None };
        (name.clone(), value)
    };
    let verified = if spec.verify == VerifySpec::default() { "none" } else { "ok" };
    MeasureResult {
        samples: (0..runs).map(sample).collect(),
        stats: Some(summary(runs, figure)),
        metrics: metrics.collect::<BTreeMap<_, _>>(),
        objective: spec.objective.clone(),
        better: spec.better,
        stop_reason: if spec.runs.is_some() { StopReason::Fixed } else { StopReason::Precise },
        flags: Vec::new(),
        counters: (!spec.counters.is_empty())
            .then(|| Counters { pass: "separate".into(), events: spec.counters.iter().map(count).collect() }),
        verify: VerifyResult { status: verified.into(), ..VerifyResult::default() },
        floor_s: None,
        maxrss_floor_bytes: None,
        exit_code: None,
        signal: None,
        stderr_tail: String::new(),
        argv: argv(&spec.command),
        launched: launched(&spec.command, nodes),
        same_as: None,
        hooks: (spec.hooks != Hooks::default()).then(|| hooks(spec, runs, figure)),
    }
}

fn hooks(spec: &MeasureSpec, runs: u32, figure: f64) -> HookTimes {
    let once = |hook: &Option<HookSpec>| hook.as_ref().map(|_| figure);
    let each = |hook: &Option<HookSpec>| hook.iter().flat_map(|_| vec![figure; runs as usize]).collect();
    HookTimes {
        setup_s: once(&spec.hooks.setup),
        prepare_s: each(&spec.hooks.prepare),
        conclude_s: each(&spec.hooks.conclude),
        cleanup_s: once(&spec.hooks.cleanup),
        cleanup_failure: None,
    }
}

fn summary(n: u32, figure: f64) -> Summary {
    Summary {
        n,
        min: figure,
        p05: figure,
        q1: figure,
        median: figure,
        q3: figure,
        p95: figure,
        max: figure,
        mean: figure,
        sd: 0.0,
        mad: 0.0,
        ci: Some(interval(figure)),
        rel_half_width: Some(0.0),
    }
}

fn interval(figure: f64) -> Interval {
    Interval { lo: figure, hi: figure, level: 0.95, exact_level: 0.95 }
}

fn usage(figure: f64) -> Usage {
    Usage { wall_s: figure, user_s: figure, sys_s: figure, maxrss_bytes: 1 << 20, ..Usage::default() }
}

fn launched(command: &CommandSpec, nodes: u32) -> Option<Launched> {
    let launch = command.launch.as_ref()?;
    let hosts = (1..=nodes).map(|node| format!("{HOST}-{node}")).collect();
    Some(Launched { hosts, ranks: launch.ranks, argv: Vec::new() })
}

fn argv(command: &CommandSpec) -> Vec<String> {
    let word = |arg: &Arg| match arg {
        Arg::Text(text) => String::from_utf8_lossy(text).into_owned(),
        Arg::Task(_) | Arg::Artefact(_) => HOST.into(),
    };
    command.argv.iter().map(word).chain(command.shell.clone()).collect()
}
