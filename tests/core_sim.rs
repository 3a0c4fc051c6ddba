//! The scheduler against a simulated cluster (`core_sim/world.rs`): whatever the weather, every task ends once, nothing
//! runs twice or beside a measurement, and the books agree after every event.

#[path = "core_sim/gangs.rs"]
mod gangs;
#[path = "../src/stats/random.rs"]
#[allow(dead_code, reason = "no target draws all of it")]
mod random;
#[path = "core_sim/world.rs"]
mod world;

use harness::core::{End, Event};
use harness::model::{Exclusive, Hash, Kind, PoolId, TaskId};
use random::Random;
use world::{Weather, World};

/// Says which seed failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("core_sim: seed {}", self.0);
        }
    }
}

const STORM: Weather = Weather {
    repeats: 50,
    lost_starts: 30,
    mute: 4,
    crashes: 8,
    replaced: 800,
    failures: 60,
    gone: 100,
    unfit: 0,
};

/// Workers that are lost one after the other, on nodes of which every other one cannot run most of what it gets.
const PLAGUE: Weather = Weather {
    repeats: 20,
    lost_starts: 30,
    mute: 2,
    crashes: 60,
    replaced: 900,
    failures: 20,
    gone: 20,
    unfit: 600,
};

/// So many, or as many as `CORE_SIM_SEEDS` says.
fn seeds(usual: u64) -> u64 {
    std::env::var("CORE_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A random campaign: all kinds, wishes, dependencies and accidents. Where it is `crowded` much waits for several things at once and
/// most ends in time: nodes are kept for some, and others borrow them.
fn random_task(world: &mut World, rng: &mut Random, crowded: bool) -> TaskId {
    let or_often = |usual, often| if crowded { often } else { usual };
    let kinds = [Kind::Call, Kind::Call, Kind::Exec, Kind::Compile, Kind::Measure, Kind::Compare];
    let kind = kinds[rng.below(6) as usize];
    let mut request = world.request(kind);
    let known = world.tasks.len() as u64;
    request.pool = PoolId(rng.below(2) as u32);
    request.class = rng.below(4);
    request.retries = rng.below(4) as u32;
    request.accept_failed = rng.permille(200);
    request.timeout_us = rng.permille(or_often(300, 900)).then(|| 1_000 + rng.below(3_000_000));
    let wish = &mut request.placement;
    wish.priority = rng.permille(200).then(|| rng.below(5) as i32 - 2);
    wish.cores = rng.permille(150).then(|| 1 + rng.below(6) as u32);
    wish.host = rng.permille(60).then(|| format!("n{}", rng.below(9)));
    wish.not_on = rng.permille(60).then(|| format!("n{}", rng.below(6)));
    wish.group = rng.permille(150).then(|| format!("g{}", rng.below(4)));
    wish.nodes = rng.permille(or_often(60, 200)).then(|| 1 + rng.below(4) as u32);
    if matches!(kind, Kind::Measure | Kind::Compare) && rng.permille(800) || rng.permille(20) {
        let sorts = [Exclusive::Node, Exclusive::Node, Exclusive::Cores, Exclusive::Cores, Exclusive::Socket];
        wish.exclusive = Some(sorts[rng.below(5) as usize]);
    } else if rng.permille(500) {
        wish.exclusive = Some(Exclusive::No);
    }
    wish.gpus = rng.permille(60).then(|| 1 + rng.below(3) as u32);
    if rng.permille(or_often(60, 250)) {
        wish.needs.insert("license".into(), 1 + rng.below(4) as u32);
    }
    if rng.permille(or_often(100, 400)) {
        request.inputs = vec![Hash::of(&[rng.below(or_often(8, 64)) as u8])];
    }
    if known > 0 && rng.permille(350) {
        let deps = 1 + rng.below(3);
        request.deps = (0..deps).map(|_| world.dep(TaskId(known - 1 - rng.below(known.min(30))))).collect();
    }
    let duration = [30, 400, 9_000, 150_000][request.class as usize] + rng.below(300);
    world.submit(request, duration)
}

fn campaign(seed: u64, weather: Weather) -> World {
    campaign_that_ends(seed, weather, None)
}

/// The same in so much time: what is left then is drained.
fn campaign_that_ends(seed: u64, weather: Weather, within: Option<u64>) -> World {
    let _seed = Seed(seed);
    let mut rng = Random(seed ^ 0xabcd);
    let mut world = World::new(seed, weather);
    world.allocations = 1 + (seed % 2) as u16;
    within.into_iter().for_each(|us| world.ends_in(us));
    world.open(0, 1 + rng.below(4), 1 + rng.below(4) as u16);
    if rng.permille(500) {
        world.join_on(0, 1 + rng.below(6) as u16, 2, false, "n0".into());
    }
    world.feed(Event::PoolOpened { pool: PoolId(1) });
    if weather.unfit > 0 {
        world.quarantine(0, 1 + rng.below(3) as u32);
        world.quarantine(1, 1 + rng.below(5) as u32);
    }
    world.counter(0, "license", 2);
    world.counter(1, "license", 3);
    for _ in 0..1 + rng.below(3) {
        let slots = 1 + rng.below(6) as u16;
        // Two workers on a host sometimes, and a host of both pools.
        let host = format!("n{}", rng.below(7));
        let measures = rng.permille(600);
        world.join_on(1, slots, 2, measures, host);
    }
    let (settles, crowded) = (rng.below(60), rng.permille(250));
    for step in 0..60 + rng.below(100) {
        if step == settles {
            world.feed(Event::PoolSettled { pool: PoolId(1) });
        }
        let task = random_task(&mut world, &mut rng, crowded);
        if rng.permille(60) {
            world.cancel(TaskId(rng.below(task.0 + 1)));
        }
        if rng.permille(400) {
            let pause = rng.below(20_000);
            world.run_until(world.now + pause);
        }
    }
    world.feed(Event::PoolSettled { pool: PoolId(1) });
    if rng.permille(150) {
        world.run_until(world.now + 50_000);
        world.drain();
    } else if let Some(us) = within {
        world.run_until(us);
        world.drain();
    }
    world.finish();
    world
}

#[test]
fn nothing_starts_that_would_not_end_in_time() {
    let mut held = 0;
    for seed in 20_000_000..20_000_000 + seeds(300) {
        let within = 500_000 + seed % 7 * 800_000;
        held +=
            campaign_that_ends(seed, if seed % 2 == 0 { STORM } else { Weather::default() }, Some(within))
                .held();
    }
    assert!(held > 100, "{held}");
}

#[test]
fn every_task_ends_once_in_fair_weather() {
    for seed in 0..seeds(300) {
        campaign(seed, Weather::default());
    }
}

#[test]
fn every_task_ends_once_in_a_storm() {
    for seed in 10_000_000..10_000_000 + seeds(1000) {
        campaign(seed, STORM);
    }
}

/// Whatever is lost and whatever a node cannot run: tasks end, none takes more workers than it may, and nothing starts in
/// quarantine, from where the least faulty comes back when nobody else is left.
#[test]
fn every_task_ends_once_in_a_plague() {
    let (mut quarantines, mut readmissions, mut killed, seeds) = (0, 0, 0, seeds(1000));
    for seed in 30_000_000..30_000_000 + seeds {
        let world = campaign(seed, PLAGUE);
        quarantines += world.quarantines;
        readmissions += world.readmissions;
        killed += world.tasks.iter().filter(|task| task.killed > 0).count();
    }
    assert!(quarantines as u64 > seeds && killed as u64 > seeds, "{quarantines} {killed}");
    assert!(readmissions as u64 > seeds / 10, "{readmissions}");
}

/// Calls that end their worker before it is heard that they began, and those beside them.
#[test]
fn a_call_that_ends_every_worker_it_meets_is_stopped() {
    for (retries, slots) in [(0, 1), (1, 4), (3, 4)] {
        let _seed = Seed(retries);
        let mut world = World::new(retries, Weather::default());
        world.open(0, 10, slots);
        let mut request = world.request(Kind::Call);
        request.retries = retries as u32;
        let poison = world.submit(request, 1_000_000_000);
        let mut lost = 0;
        while world.tasks[poison.0 as usize].end.is_none() {
            let before = world.tasks[poison.0 as usize].starts;
            let Some(worker) = world.tasks[poison.0 as usize].placed else { break };
            world.crash(worker);
            lost += 1;
            world.run_until(world.now + 3_000_000);
            let track = &world.tasks[poison.0 as usize];
            let until = world.now + 70_000_000;
            if track.end.is_none() && track.starts == before {
                world.run_until(until);
            }
        }
        assert_eq!(lost, retries + 1);
        world.finish();
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    for seed in 0..20 {
        let (one, two) = (campaign(seed, STORM), campaign(seed, STORM));
        assert_eq!((one.digest, one.events), (two.digest, two.events), "seed {seed}");
    }
    assert_ne!(campaign(1, STORM).digest, campaign(2, STORM).digest);
}

#[test]
fn equal_tasks_are_spread_evenly() {
    for kind in [Kind::Call, Kind::Exec] {
        let mut world = World::new(5, Weather::default());
        world.open(0, 3, 64);
        for _ in 0..64 {
            world.submit(world.request(kind), 1_000_000);
        }
        world.run_until(10_000);
        let loads = world.loads();
        assert!(loads.iter().all(|load| (21..=22).contains(load)), "{loads:?}");
        world.finish();
    }
}

#[test]
fn long_calls_do_not_wait_behind_long_calls() {
    let mut world = World::new(5, Weather::default());
    world.open(0, 2, 2);
    for _ in 0..40 {
        world.submit(world.request(Kind::Call), 1_000_000);
    }
    world.finish();
    // Ten rounds of four; nothing is known of the first ones, so a call or two may have waited for a recall.
    assert!(world.now < 11_500_000, "{} µs", world.now);
}

#[test]
fn calls_stuck_behind_a_long_one_are_recalled() {
    let mut world = World::new(5, Weather::default());
    world.open(0, 2, 1);
    for duration in [60_000_000, 1_000, 1_000, 1_000] {
        world.submit(world.request(Kind::Call), duration);
    }
    world.run_until(2_000_000);
    assert!(world.recalls > 0);
    assert!(
        world.tasks[1..].iter().all(|task| task.end == Some(End::Finished)),
        "the short ones ended elsewhere"
    );
    world.finish();
}

#[test]
fn programs_that_come_back_from_behind_long_ones_all_end() {
    let mut world = World::new(5, Weather::default());
    world.open(0, 2, 1);
    for _ in 0..200 {
        world.submit(world.request(Kind::Exec), 1000);
    }
    world.run_until(5_000_000);
    assert!(world.given_back > 0);
    assert!(world.tasks.iter().all(|task| task.end == Some(End::Finished)));
    world.finish();
}

#[test]
fn exclusive_and_shared_tasks_both_advance() {
    let mut world = World::new(5, Weather::default());
    world.open(0, 1, 4);
    for n in 0..400 {
        let mut request = world.request(if n % 2 == 0 { Kind::Measure } else { Kind::Exec });
        if n % 2 == 0 {
            request.placement.exclusive = Some(Exclusive::Node);
        }
        world.submit(request, 10_000);
    }
    // After about half of the time, about half of each kind is done.
    world.run_until(1_300_000);
    for kind in [Kind::Measure, Kind::Exec] {
        let done = world.core.counts(kind).done;
        assert!((60..=160).contains(&done), "{kind:?}: {done} of 200");
    }
    world.finish();
}

#[test]
fn a_stream_side_by_side_and_what_needs_the_node_both_advance() {
    for (nodes, kind) in [(1, Kind::Measure), (2, Kind::Measure), (2, Kind::Exec)] {
        let mut world = World::new(5, Weather::default());
        world.open(0, 2, 4);
        // Parts come faster than they end, for as long as the other ones take.
        let mut others = Vec::new();
        for n in 0..400u64 {
            let mut request = world.request(Kind::Measure);
            request.placement.exclusive = Some(Exclusive::Cores);
            world.submit(request, 10_000);
            if n % 20 == 10 {
                let mut request = world.request(kind);
                (request.placement.nodes, request.placement.exclusive) = (Some(nodes), Some(Exclusive::Node));
                others.push(world.submit(request, 10_000));
            }
            world.run_until(world.now + 1_100);
        }
        world.run_until(world.now + 100_000);
        let waited = others.iter().filter(|task| world.tasks[task.0 as usize].started_at.is_none()).count();
        assert!(waited <= 10, "{waited} of {} never had {nodes} nodes", others.len());
        let parts = world.core.counts(Kind::Measure).done;
        assert!(parts > 200, "{parts}");
        world.finish();
    }
}

#[test]
fn side_by_side_is_faster() {
    for (sort, at_once) in [(Exclusive::Cores, 4), (Exclusive::Socket, 2), (Exclusive::Node, 1)] {
        let mut world = World::new(5, Weather::default());
        world.open(0, 1, 4);
        for _ in 0..80 {
            let mut request = world.request(Kind::Measure);
            request.placement.exclusive = Some(sort);
            world.submit(request, 100_000);
        }
        world.finish();
        let rounds = 80 / at_once;
        assert!((rounds * 100_000..rounds * 102_000).contains(&world.now), "{sort:?}: {} µs", world.now);
    }
}

#[test]
fn ten_thousand_workers_and_a_million_tasks() {
    let weather = Weather {
        repeats: 5,
        lost_starts: 5,
        mute: 0,
        crashes: 1,
        replaced: 900,
        failures: 10,
        gone: 0,
        unfit: 0,
    };
    let _seed = Seed(42);
    let mut rng = Random(42);
    let mut world = World::new(42, weather);
    world.thorough = false;
    world.open(0, 10_000, 4);
    for n in 0..1_000_000u64 {
        let kind = [Kind::Call, Kind::Exec, Kind::Call, Kind::Call][(n % 4) as usize];
        let mut request = world.request(kind);
        request.class = n % 3;
        request.retries = 20;
        request.placement.priority = (n % 1000 == 0).then_some(1);
        if n % 5_000 == 7 {
            request.placement.exclusive = Some(Exclusive::Node);
        }
        if n % 10 == 3 {
            request.deps = vec![world.dep(TaskId(n - 1))];
        }
        let duration = [50, 2_000, 100_000][(n % 3) as usize] + rng.below(100);
        world.submit(request, duration);
        if n % 100 == 99 {
            world.run_until(world.now + 100);
        }
    }
    world.finish();
    let ended = world.tasks.iter().filter(|task| task.end == Some(End::Finished)).count();
    assert!(ended > 985_000, "{ended}");
}
