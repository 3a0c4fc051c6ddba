//! A campaign of 200 tasks, of which again and again somebody is killed, until it is done: each result is in the journal
//! once, and they are those of a campaign that nobody disturbed. A search takes the decisions again that it took.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::random::Random;
use super::support::{Folder, LIMIT, Ran, Role, Running, await_that, signal};
use super::{GONE, seeds};

/// All kinds that are recorded, short ones. What each came to is printed: number, status, value.
const STATIC: &str = "
local pool <close> = spawn { workers = 1, slots = 2 }
local tasks, number = {}, {}
for i = 1, 200 do
  local f
  if i % 5 == 0 then
    f = submit(measure { name = 't', params = { i = i }, runs = 1, warmup = 0, exclusive = false, metrics = { v = 'v (%d+)' },
      objective = 'v', cmd = { 'sh', '-c', 'sleep 0.01; echo v ' .. 7 * i } })
  elseif i % 5 == 1 then
    f = submit(call { function(x) return 3 * x end, i, name = 't', params = { i = i }, key = i })
  else
    f = submit(exec { name = 't', params = { i = i }, key = i, cmd = { 'sh', '-c', 'sleep 0.00' .. i % 8 .. '; echo ' .. i * i } })
  end
  tasks[i], number[f] = f, i
end
for f, result, e in as_completed(tasks) do
  local value = not e and (type(result) ~= 'table' and result or result.stdout or result.stats and result.stats.median)
  print(number[f], f:status(), (tostring(value):gsub('%s', '')))
  io.stdout:flush()
end
print 'over'
";
const TASKS: usize = 200;

/// Each step depends on the one before it.
const SEARCH: &str = "
local best
for step = 1, 40 do
  local x = math.random(0, 1000)
  local m = await(submit(measure { name = 'f', params = { x = x, step = step }, runs = 1, warmup = 0, exclusive = false,
    cmd = { 'sh', '-c', 'sleep 0.01; echo v ' .. math.abs(x - (best and best // 2 or 500)) }, metrics = { v = 'v (%d+)' },
    objective = 'v' }))
  if not m.ok then os.exit(9) end
  if not best or m.stats.median < 100 then best = x end
  print(step, x, best)
  io.stdout:flush()
end
";

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    One(Role),
    /// Everything at once, as when a batch system ends a job or a node goes down.
    All,
    /// What started the root.
    Launcher,
}

/// In this order, unless the seed says otherwise.
const VICTIMS: [Victim; 6] = [
    Victim::One(Role::Root),
    Victim::One(Role::Worker),
    Victim::One(Role::Slot),
    Victim::One(Role::Keeper),
    Victim::All,
    Victim::Launcher,
];

/// What is used here of the numbers of a seed is drawn in one order.
fn shuffled(dice: &mut Random) -> Vec<Victim> {
    let mut victims = VICTIMS.to_vec();
    for last in (1..victims.len()).rev() {
        victims.swap(last, dice.index(last + 1));
    }
    victims
}

/// Whole lines that were printed: number, status, value.
fn printed(ran: &Ran) -> BTreeMap<u64, (String, String)> {
    let whole = ran.stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let fields = whole.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let end = |fields: Vec<&str>| match fields[..] {
        [number, status, value] => Some((number.parse().ok()?, (status.into(), value.into()))),
        _ => None,
    };
    fields.filter_map(end).collect()
}

/// How often each task is recorded to have ended well. The last line may be torn.
fn recorded(folder: &Folder) -> BTreeMap<u64, usize> {
    let mut times = BTreeMap::new();
    for line in folder.read("c.lua.journal").lines() {
        let Ok(record) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let status = record["status"].as_str().or(record["outcome"]["status"].as_str());
        if let (Some(number), Some("ok")) = (record["params"]["i"].as_u64(), status) {
            *times.entry(number).or_default() += 1;
        }
    }
    times
}

/// The campaign under what is to be killed; none if there is no such launcher here.
#[allow(clippy::disallowed_methods)] // mpirun is no task
fn command(folder: &Folder, victim: Victim) -> Option<Command> {
    if victim != Victim::Launcher {
        return Some(folder.harness(&["-q", "c.lua"]));
    }
    if cfg!(not(feature = "mpi")) {
        return None;
    }
    let mpirun = std::env::var_os("HARNESS_MPIRUN").unwrap_or("mpirun".into());
    Command::new(&mpirun).arg("--version").output().ok()?;
    let mut command = Command::new(mpirun);
    command.args(["-n", "1", env!("CARGO_BIN_EXE_harness"), "-q", "--start", "local", "c.lua"]);
    folder.at_home(&mut command);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    Some(command)
}

/// Runs the campaign and kills at a moment the dice say; nothing is left then.
fn disturbed(folder: &Folder, victim: Victim, lines: usize, dice: &mut Random) -> Option<Ran> {
    let mut running = Running::start(command(folder, victim)?);
    running.await_lines(lines);
    match victim {
        Victim::One(role) => {
            await_that(&format!("there is a {role:?}"), || {
                !folder.of(role).is_empty() || folder.processes().is_empty()
            });
            let found = folder.of(role);
            if !found.is_empty() {
                signal(&found[dice.index(found.len())], Signal::KILL);
            }
        }
        Victim::All => folder.processes().iter().for_each(|process| signal(process, Signal::KILL)),
        Victim::Launcher => running.signal(Signal::KILL),
    }
    let ran = running.end(LIMIT);
    folder.assert_nothing_left(GONE);
    Some(ran)
}

#[test]
fn a_campaign_of_which_everybody_is_killed_comes_to_what_an_undisturbed_one_does() {
    let calm = Folder::with(STATIC);
    let expected = calm.run(&["-q", "c.lua"]);
    assert_eq!(expected.code, Some(0), "{expected:#?}");
    let expected = printed(&expected);
    assert_eq!(expected.len(), TASKS);

    // Several rounds take long: only where they are asked for.
    let rounds = if std::env::var_os("HARNESS_CHAOS_ROUNDS").is_some() { usize::MAX } else { 1 };
    for seed in seeds().take(rounds) {
        let mut dice = Random(seed);
        let folder = Folder::with(STATIC);
        for (round, victim) in shuffled(&mut dice).into_iter().enumerate() {
            // Some further than the last time, so that each finds something to do.
            let lines = 25 * round + 1 + dice.index(20);
            let Some(ran) = disturbed(&folder, victim, lines, &mut dice) else { continue };
            let times = recorded(&folder);
            for (number, (status, value)) in printed(&ran) {
                if status == "ok" {
                    assert_eq!(
                        times.get(&number),
                        Some(&1),
                        "seed {seed}: {number}, {victim:?} killed: {ran:#?}"
                    );
                    assert_eq!(value, expected[&number].1, "seed {seed}: {number}");
                }
            }
            assert!(times.values().all(|times| *times == 1), "seed {seed}: recorded twice: {times:?}");
        }
        // What a killed slot or keeper made of the tasks it had is an end of theirs too: a signal is tried again on demand.
        let last = folder.run(&["-q", "--retry", "failed", "c.lua"]);
        assert_eq!((last.code, printed(&last)), (Some(0), expected.clone()), "seed {seed}: {last:#?}");
        assert!(
            recorded(&folder).into_iter().eq((1..=TASKS as u64).map(|number| (number, 1))),
            "seed {seed}"
        );
        folder.assert_nothing_left(GONE);
    }
}

#[test]
fn a_search_that_is_killed_again_and_again_repeats_what_it_decided() {
    for seed in seeds().take(2) {
        let mut dice = Random(seed);
        let folder = Folder::with(SEARCH);
        let mut before = String::new();
        for kill in 0..3 {
            let mut running = folder.start(&["-q", "c.lua"]);
            running.await_lines(10 * kill + 1 + dice.index(8));
            match dice.index(2) {
                0 => running.signal(Signal::KILL),
                _ => folder.processes().iter().for_each(|process| signal(process, Signal::KILL)),
            }
            let ran = running.end(LIMIT);
            folder.assert_nothing_left(Duration::from_secs(10));
            let (whole, _) = ran.stdout.rsplit_once('\n').unwrap();
            assert!(
                ran.stdout.starts_with(&before),
                "seed {seed}, kill {kill}:\n{before}\nthen:\n{}",
                ran.stdout
            );
            before = whole.to_owned();
        }
        let last = folder.run(&["-q", "c.lua"]);
        assert_eq!((last.code, last.stdout.lines().count()), (Some(0), 40), "{last:#?}");
        assert!(last.stdout.starts_with(&before), "seed {seed}:\n{before}\nat the end:\n{}", last.stdout);
        assert_eq!(folder.run(&["-q", "c.lua"]).stdout, last.stdout);
    }
}
