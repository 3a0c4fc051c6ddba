//! The protocol of docs/protocol.md with the real scheduler, in every order in which few tasks on few workers can go
//! (`model/explore.rs`): whatever crashes, when, and whatever crosses what on the way. `tests/core_sim.rs` draws runs of
//! any size; here none is left out.
#![allow(clippy::unwrap_used)] // it is a test

#[path = "model/explore.rs"]
mod explore;
#[path = "model/world.rs"]
mod world;

use explore::{Explored, Violation, explore};
use harness::model::Kind;
use world::{Accidents, Campaign, Fault, Wish, World};

const CALL: Wish = Wish { kind: Kind::Call, retries: 1, dep: None, timeout_us: None };
const EXEC: Wish = Wish { kind: Kind::Exec, ..CALL };
const COMPILE: Wish = Wish { kind: Kind::Compile, ..CALL };
const MEASURE: Wish = Wish { kind: Kind::Measure, ..CALL };
const NONE: Accidents = Accidents {
    crashes: 0,
    resumes: 0,
    failures: 0,
    repeats: 0,
    hangs: 0,
    cancels: 0,
    hurries: 0,
    drains: 0,
};

fn campaign(workers: u32, slots: u16, wishes: &[Wish], accidents: Accidents) -> Campaign {
    Campaign { workers, slots, wishes: wishes.to_vec(), accidents, fault: Fault::Nothing }
}

/// All of it holds, in more states than this.
fn holds(name: &str, campaign: Campaign, at_least: usize) {
    let began = std::time::Instant::now();
    let Explored { states, steps, deepest, rests } = explore(World::new(campaign)).unwrap();
    let took = began.elapsed().as_secs_f64();
    println!(
        "{name}: {states} states, {steps} steps, the longest run {deepest}, {rests} at rest, {took:.1} s"
    );
    assert!(states > at_least, "{states}");
}

/// With this fault it does not hold, and this is said.
fn is_found(fault: Fault, campaign: Campaign, expected: &str) {
    let Violation { what, path } = explore(World::new(Campaign { fault, ..campaign })).unwrap_err();
    println!("{fault:?}: {what}, after {} steps", path.len());
    assert!(what.contains(expected), "{what}, after {path:#?}");
}

#[test]
fn whatever_dies_and_whenever() {
    let accidents = Accidents { crashes: 1, resumes: 1, ..NONE };
    holds("two workers", campaign(2, 1, &[EXEC, EXEC], accidents), 1000);
}

#[test]
fn both_workers_die() {
    let accidents = Accidents { crashes: 2, resumes: 1, ..NONE };
    holds("both die", campaign(2, 1, &[EXEC, CALL], accidents), 1000);
    let then = Wish { dep: Some(0), ..EXEC };
    let crashes = Accidents { crashes: 2, ..NONE };
    holds("two of three die", campaign(3, 1, &[EXEC, EXEC], crashes), 1000);
    let accidents = Accidents { crashes: 1, resumes: 1, ..NONE };
    holds("three tasks", campaign(2, 1, &[CALL, then, EXEC], accidents), 5000);
}

#[test]
fn the_root_dies_twice() {
    let accidents = Accidents { resumes: 2, failures: 1, ..NONE };
    let then = Wish { dep: Some(0), ..EXEC };
    holds("the root dies twice", campaign(1, 2, &[CALL, then, EXEC], accidents), 1000);
}

#[test]
fn calls_that_wait_in_a_pipe_are_recalled_for_a_measurement() {
    let repeats = Accidents { repeats: 1, ..NONE };
    holds("recalled, and said again", campaign(1, 1, &[CALL, CALL, MEASURE], repeats), 100);
    let crashes = Accidents { crashes: 1, ..NONE };
    holds("recalled, and a worker dies", campaign(2, 1, &[CALL, CALL, MEASURE], crashes), 100);
    holds("recalled, no accidents", campaign(2, 1, &[CALL, CALL, CALL, MEASURE], NONE), 100);
}

#[test]
fn calls_behind_a_long_one_go_elsewhere() {
    let accidents = Accidents { hurries: 1, repeats: 1, ..NONE };
    holds("stolen", campaign(2, 1, &[CALL, CALL, CALL], accidents), 1000);
}

#[test]
fn programs_behind_a_long_one_come_back() {
    let accidents = Accidents { crashes: 1, cancels: 1, ..NONE };
    holds("given back", campaign(2, 1, &[EXEC, EXEC, EXEC, EXEC], NONE), 1000);
    holds("given back, one worker", campaign(1, 1, &[EXEC, EXEC, EXEC, EXEC], accidents), 1000);
}

#[test]
fn what_is_built_is_brought_where_it_is_measured() {
    let accidents = Accidents { crashes: 1, failures: 1, resumes: 1, ..NONE };
    let then = Wish { dep: Some(0), ..MEASURE };
    holds("built", campaign(2, 1, &[COMPILE, then], accidents), 1000);
}

#[test]
fn what_hangs_is_killed_or_its_worker_given_up() {
    let accidents = Accidents { hangs: 1, cancels: 1, hurries: 1, ..NONE };
    let limited = Wish { timeout_us: Some(1_000_000), ..EXEC };
    holds("hangs", campaign(2, 1, &[limited, CALL], accidents), 1000);
    let hangs = Accidents { hangs: 1, hurries: 1, ..NONE };
    holds("hangs, and others wait for it", campaign(1, 1, &[limited, EXEC, CALL], hangs), 100);
}

#[test]
fn a_campaign_that_is_stopped_goes_on_later() {
    let accidents = Accidents { drains: 1, resumes: 1, ..NONE };
    holds("stopped", campaign(2, 1, &[CALL, MEASURE], accidents), 1000);
    holds("stopped, one worker", campaign(1, 1, &[CALL, CALL, MEASURE], accidents), 1000);
}

#[test]
fn each_fault_is_found() {
    let dies = Accidents { crashes: 1, resumes: 1, ..NONE };
    let small = || campaign(2, 1, &[EXEC, EXEC], dies);
    is_found(Fault::ReportsBeforeWriting, small(), "was reported, and its record is lost");
    is_found(Fault::LosesWhatWasWritten, small(), "was reported, and its record is lost");
    is_found(Fault::JournalNotAsked, small(), "starts although it has ended");
    // What was lost rests for a while.
    let later = Accidents { hurries: 1, ..dies };
    is_found(Fault::LostGoesOn, campaign(2, 1, &[EXEC, EXEC], later), "runs twice at once");
    is_found(Fault::LossUnnoticed, small(), "never ends");
    is_found(Fault::EndUntold, small(), "never ends");
    is_found(Fault::ReturnUntold, campaign(1, 1, &[EXEC, EXEC, EXEC], NONE), "never ends");
    let late = campaign(1, 1, &[CALL, CALL, MEASURE], Accidents { repeats: 1, ..NONE });
    is_found(Fault::AttemptUnchecked, late, "another attempt");
}
