//! Gangs in the simulator: how well they fill a cluster, and that nobody passes them beyond what they were promised.

use harness::core::{End, Explanation};
use harness::model::{Exclusive, Kind, TaskId};

use super::Seed;
use super::random::Random;
use super::world::{Weather, World};

const SECOND: u64 = 1_000_000;

/// Sizes of the gangs of a mix.
#[derive(Clone, Copy, Debug)]
enum Sizes {
    /// Each size as often.
    Even,
    /// Each doubling as often.
    Doublings,
}

/// What became of a mix of whole-node gangs that were all there from the beginning.
struct Figure {
    makespan_s: f64,
    /// The larger of work / nodes and the longest.
    bound_s: f64,
    /// Started before one submitted earlier.
    passed: usize,
    events: u64,
}

fn mixed_gangs(kind: Kind, nodes: u64, gangs: u64, sizes: Sizes, slack: u64) -> Figure {
    let seed = 2024;
    let mut rng = Random(seed);
    let mut world = World::new(seed, Weather::default());
    (world.thorough, world.punctual) = (false, true);
    world.open(0, nodes - 1, 8);
    // Beside the root: it keeps nothing off but measurements.
    world.join_on(0, 8, 0, false, "root".into());
    let (mut area, mut longest) = (0, 0);
    for _ in 0..gangs {
        let size = match sizes {
            Sizes::Even => 1 + rng.below(512),
            Sizes::Doublings => (1 << rng.below(9)) + rng.below(2) * rng.below(256),
        };
        let duration = (1 << rng.below(6)) * 10 * SECOND + rng.below(10 * SECOND);
        let mut request = world.request(kind);
        (request.placement.nodes, request.placement.exclusive) = (Some(size as u32), Some(Exclusive::Node));
        request.timeout_us = Some(duration + rng.below(duration / 100 * slack + 1));
        (area, longest) = (area + size * duration, longest.max(duration));
        world.submit(request, duration);
    }
    world.finish();
    assert!(world.tasks.iter().all(|task| task.end == Some(End::Finished)));
    let starts: Vec<u64> = world.tasks.iter().filter_map(|task| task.started_at).collect();
    let mut latest = 0;
    let passed = starts.iter().filter(|at| (**at < latest, latest = latest.max(**at)).0).count();
    let ends = starts.iter().zip(&world.tasks).map(|(at, task)| at + task.duration);
    Figure {
        makespan_s: ends.max().unwrap_or(0) as f64 / SECOND as f64,
        bound_s: (area / nodes).max(longest) as f64 / SECOND as f64,
        passed,
        events: world.events,
    }
}

#[test]
fn mixed_gangs_fill_a_thousand_nodes() {
    // Measurements keep off the node beside the root. Which others would do is asked for each in every walk.
    let mixes = [
        (Kind::Exec, Sizes::Even, 0),
        (Kind::Exec, Sizes::Doublings, 50),
        (Kind::Measure, Sizes::Even, 0),
        (Kind::Compare, Sizes::Doublings, 50),
    ];
    for (kind, sizes, slack) in mixes {
        let figure = mixed_gangs(kind, 1000, 600, sizes, slack);
        let ratio = figure.makespan_s / figure.bound_s;
        println!(
            "600 gangs ({kind:?}) of 1-512 nodes on 1000, {sizes:?}, timeouts up to {slack} % too long: {:.0} s, \
             {ratio:.3} x the bound of {:.0} s; {} started before their turn; {} events",
            figure.makespan_s, figure.bound_s, figure.passed, figure.events
        );
        assert!(figure.passed > 50, "nobody fills the gaps");
        assert!(ratio <= 1.25, "{sizes:?}: {ratio:.3}");
        // Each is submitted, begun and ended once; now and then an alarm is looked at. Waiting costs no events.
        assert!(figure.events <= 4 * 600 + 1100, "{} events", figure.events);
    }
}

/// Gangs that share and that do not, with GPUs, among programs and calls with and without timeouts, coming in one after another.
fn promises(seed: u64) -> (usize, usize) {
    let _seed = Seed(seed);
    let mut rng = Random(seed);
    let mut world = World::new(seed, Weather::default());
    world.punctual = true;
    let nodes = 3 + rng.below(9);
    world.open(0, nodes, 4);
    for _ in 0..40 + rng.below(60) {
        let gang = rng.permille(500);
        let kind =
            if gang { Kind::Exec } else { [Kind::Call, Kind::Exec, Kind::Measure][rng.below(3) as usize] };
        let mut request = world.request(kind);
        let duration = 1 + rng.below(20 * SECOND);
        request.timeout_us = rng.permille(800).then(|| duration + 1_000 + rng.below(5 * SECOND));
        request.class = 1 + rng.below(3);
        let wish = &mut request.placement;
        if gang {
            wish.nodes = Some(1 + rng.below(nodes) as u32);
            wish.exclusive = rng.permille(500).then_some(Exclusive::No);
            wish.gpus = rng.permille(300).then(|| 1 + rng.below(2) as u32);
        }
        wish.cores = rng.permille(400).then(|| 1 + rng.below(4) as u32);
        if kind == Kind::Measure {
            wish.exclusive = Some(Exclusive::Node);
        }
        world.submit(request, duration);
        if rng.permille(500) {
            world.run_until(world.now + rng.below(4 * SECOND));
        }
    }
    world.finish();
    assert!(world.tasks.iter().all(|task| task.end == Some(End::Finished)));
    let late = |task: &TaskId| world.tasks[task.0 as usize].started_at > Some(world.promises[task]);
    (world.promises.len(), world.promises.keys().filter(|task| late(task)).count())
}

#[test]
fn no_gang_is_overtaken_beyond_its_reservation() {
    // Each start is judged where it happens: `World::judge_start`.
    let made: usize = (0..super::seeds(300)).map(|seed| promises(seed).0).sum();
    println!("{made} reservations with a time, all kept");
    assert!(made > 500, "{made}");
}

#[test]
fn a_gang_of_all_nodes_is_not_starved_by_singles() {
    let mut world = World::new(3, Weather::default());
    world.punctual = true;
    world.open(0, 16, 1);
    let single = |world: &mut World| {
        let mut request = world.request(Kind::Exec);
        request.timeout_us = Some(2 * SECOND);
        world.submit(request, SECOND)
    };
    for _ in 0..40 {
        single(&mut world);
    }
    let mut request = world.request(Kind::Exec);
    (request.placement.nodes, request.timeout_us) = (Some(16), Some(SECOND));
    let gang = world.submit(request, SECOND);
    for _ in 0..400 {
        single(&mut world);
        world.run_until(world.now + SECOND / 16);
    }
    // 40 singles on 16 nodes are three rounds; what came later filled what was idle, but delayed nobody.
    let started = world.tasks[gang.0 as usize].started_at;
    assert!(started.is_some_and(|at| at < 5 * SECOND), "{started:?}");
    assert_eq!(world.core.explain(gang), Explanation::Unknown, "it has ended");
    world.finish();
}
